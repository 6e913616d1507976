"""A sound card that stops for 300 ms: what has waited meanwhile goes within a second, and nobody hears a click.

A click is energy above 12 kHz, where a voice has hardly any, in a window of 2.5 ms: what a step in the samples makes.
"""

from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from media.codecs.opus import OpusDecoder, OpusEncoder
from media.jitterbuffer.jitter_buffer import JitterBuffer
from media.simulation.voice import generate_voice

Samples = NDArray[np.int16]
STALL = 0.3


def highs(sound: Samples) -> NDArray[np.float64]:
    """RMS above 12 kHz of every 2.5 ms."""
    spectrum = np.fft.rfft(sound.astype(float))
    spectrum[: len(sound) // 4] = 0
    high = np.fft.irfft(spectrum, len(sound))
    rms: NDArray[np.float64] = high[: len(high) // 120 * 120].reshape(-1, 120).std(axis=1)
    return rms[8:-8]  # the ends meet in the transform


def play(packets: list[bytes], stall_at: float, jitter: float = 0.0) -> tuple[Samples, dict[int, float]]:
    """-> (the sound, the delay at every pull by its number)."""
    rng = Random(1)
    arrivals = sorted((n * 0.02 + rng.uniform(0, jitter), n) for n in range(len(packets)))
    buffer, out, delays = JitterBuffer(OpusDecoder()), [], {}
    for tick in range(len(packets) * 2):
        now = tick * 0.01 + 0.003
        while arrivals and arrivals[0][0] <= now:
            at, n = arrivals.pop(0)
            buffer.insert(n * 960, packets[n], at)
        if stall_at <= now < stall_at + STALL:
            continue
        out.append(buffer.get_audio(now).copy())
        delays[tick] = buffer._playout_delay(now)
    return np.concatenate(out), delays


@pytest.mark.parametrize("speaker", [1, 2])
@pytest.mark.parametrize("jitter", [0.0, 0.04])
def test_a_backlog_of_300_ms_is_gone_within_a_second(speaker: int, jitter: float) -> None:
    encoder = OpusEncoder()
    voice = generate_voice(speaker, 6.0)
    packets = [encoder.encode(frame) for frame in voice.reshape(-1, 960)]
    plain, _ = play(packets, 99.0, jitter)
    for stall_at in (2.0, 3.1, 4.2):
        sound, delays = play(packets, stall_at, jitter)
        before, resumed = round(stall_at * 100) - 1, round((stall_at + STALL) * 100)
        assert delays[resumed] > delays[before] + 0.2
        assert delays[resumed + 100] < delays[before] + 0.050
        drained = sound[(before - 50) * 480 : (resumed + 70) * 480]
        # Joins are cross-fades, so not one window is louder than the consonants of the voice itself.
        assert highs(drained).max() < 1.5 * highs(plain).max() + 1


def test_a_step_of_the_samples_would_be_found() -> None:
    voice = generate_voice(1, 3.0)
    loud = int(np.argmax(np.abs(voice)))
    assert highs(np.delete(voice, slice(loud, loud + 100))).max() > 3 * highs(voice).max() + 20
