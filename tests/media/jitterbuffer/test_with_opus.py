"""The jitter buffer with the real codec: what one would hear."""

from collections.abc import Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from media.codecs.opus import OpusDecoder, OpusEncoder
from media.jitterbuffer.jitter_buffer import JitterBuffer
from media.simulation.voice import generate_voice, tone

Samples = NDArray[np.int16]


def encoded(count: int, *, hz: float = 250.0, expected_loss: int = 0) -> list[bytes]:
    encoder = OpusEncoder()
    encoder.set_expected_loss(expected_loss)
    return [encoder.encode(tone(hz, n * 960, 960, 0.3)) for n in range(count)]


def play(
    buffer: JitterBuffer, packets: Iterable[tuple[float, int, bytes]], until: float, start: float = 0.0
) -> tuple[Samples, list[float]]:
    """(arrival, timestamp, payload)s -> the sound, and the delay after every 10 ms."""
    waiting = sorted(packets)
    out, delays, now = [], [], start
    while now < until:
        while waiting and waiting[0][0] <= now:
            at, timestamp, payload = waiting.pop(0)
            buffer.insert(timestamp & 0xFFFFFFFF, payload, at)
        out.append(buffer.get_audio(now).copy())
        delays.append(buffer._playout_delay(now))
        now += 0.01
    return np.concatenate(out), delays


def frequencies(sound: Samples, window: int = 4800) -> NDArray[np.float64]:
    """The dominant frequency of every 100 ms."""
    pieces = sound[: len(sound) // window * window].reshape(-1, window) * np.hanning(window)
    return np.argmax(np.abs(np.fft.rfft(pieces, axis=1)), axis=1) * 48000 / window


def test_a_tone_stays_a_tone_through_loss_jitter_and_stretching() -> None:
    rng = Random(5)
    sent = encoded(500, expected_loss=10)
    packets = [
        (n * 0.02 + rng.uniform(0, 0.09 if 100 <= n < 250 else 0.01), n * 960, p)
        for n, p in enumerate(sent)
        if rng.random() > 0.05
    ]
    buffer = JitterBuffer(OpusDecoder())
    sound, _ = play(buffer, packets, 9.9)
    heard = frequencies(sound[24000:])
    assert np.abs(heard - 250).max() <= 20
    levels = sound[24000 : 24000 + 4800 * 90].reshape(-1, 4800).astype(float).std(axis=1)
    assert levels.min() > 0.5 * np.median(levels), "no hole"
    counters = buffer.counters
    assert counters.removed_samples_for_acceleration + counters.inserted_samples_for_deceleration > 0


@pytest.mark.parametrize("expected_loss", [0, 20])
def test_one_lost_packet(expected_loss: int) -> None:
    sent = encoded(300, expected_loss=expected_loss)
    packets = [(n * 0.02, n * 960, p) for n, p in enumerate(sent) if n != 150]
    buffer = JitterBuffer(OpusDecoder())
    sound, delays = play(buffer, packets, 5.9)
    assert buffer.counters.concealed_samples <= 960
    assert max(delays[330:]) <= 0.045 and delays[-1] < 0.030
    assert np.abs(frequencies(sound[24000:]) - 250).max() <= 20
    assert sound[140000:150000].astype(float).std() > 3000, "no hole where the packet was"


def test_recovery_is_counted_and_saves_concealment() -> None:
    rng = Random(6)
    kept = [n for n in range(500) if rng.random() > 0.1]
    speech = generate_voice(1, 10.0).reshape(-1, 960)
    concealed = {}
    for expected_loss in (0, 20):
        encoder = OpusEncoder()
        encoder.set_expected_loss(expected_loss)
        sent = [encoder.encode(frame) for frame in speech]
        buffer = JitterBuffer(OpusDecoder())
        play(buffer, [(n * 0.02, n * 960, sent[n]) for n in kept], 9.8)
        concealed[expected_loss] = buffer.counters.concealed_samples
        assert (buffer.counters.recovered_frames > 0) is (expected_loss > 0)
    assert concealed[20] < 0.65 * concealed[0]


def test_a_peer_with_60_ms_frames() -> None:
    encoder = OpusEncoder()
    packets = [(n * 0.06, n * 2880, encoder.encode(tone(250, n * 2880, 2880, 0.3))) for n in range(100)]
    buffer = JitterBuffer(OpusDecoder())
    sound, _ = play(buffer, packets, 5.9)
    assert buffer.counters.concealed_samples <= 2 * 2880
    assert np.abs(frequencies(sound[24000:]) - 250).max() <= 20


@pytest.mark.parametrize("samples", [120, 480])
def test_a_peer_with_short_frames(samples: int) -> None:
    encoder = OpusEncoder(bitrate_bps=64000)
    count, step = 4 * 48000 // samples, samples / 48000
    packets = [
        (n * step, n * samples, encoder.encode(tone(250, n * samples, samples, 0.3))) for n in range(count)
    ]
    buffer = JitterBuffer(OpusDecoder())
    sound, _ = play(buffer, packets, 3.9)
    assert buffer.counters.concealed_samples <= 960
    assert np.abs(frequencies(sound[24000:]) - 250).max() <= 20


def test_a_sender_with_discontinuous_transmission() -> None:
    """A packet every 400 ms in pauses is no outage and makes no delay."""
    sent = encoded(500)
    packets = [(n * 0.02, n * 960, p) for n, p in enumerate(sent) if n < 100 or n >= 400 or n % 20 == 0]
    buffer = JitterBuffer(OpusDecoder())
    sound, delays = play(buffer, packets, 9.9)
    assert delays[-1] < 0.060
    assert np.abs(frequencies(sound[48000 * 9 :]) - 250).max() <= 20


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 0.1),
            st.integers(0, 100).map(lambda n: n * 240) | st.integers(0, 0xFFFFFFFF),
            st.binary(max_size=30),
        ),
        max_size=25,
    )
)
def test_any_payload_bytes(packets: list[tuple[float, int, bytes]]) -> None:
    buffer = JitterBuffer(OpusDecoder())
    now, timed = 0.0, []
    for pause, timestamp, payload in packets:
        now += pause
        timed.append((now, timestamp, payload))
    sound, _ = play(buffer, timed, now + 0.3)
    assert sound.dtype == np.int16
    good = encoded(50)
    # far from any time line that was drawn, so that it is a new one
    last = packets[-1][1] if packets else 0
    more = [(now + 0.5 + n * 0.02, last + (1 << 31) - 1 + n * 960, p) for n, p in enumerate(good)]
    after, _ = play(buffer, more, now + 1.4, start=now + 0.3)
    assert after[-4800:].astype(float).std() > 1000, "and it plays what comes after"
