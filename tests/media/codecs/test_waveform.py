"""PCMU, PCMA and G.722 against FFmpeg's, by ear (signal to noise), and where packets are missing."""

from collections.abc import Callable

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from media.codecs import g711
from media.codecs.waveform import MAX_PAYLOAD_BYTES, NAMES, WaveformDecoder, WaveformEncoder
from media.errors import CodecError
from media.simulation.voice import generate_voice, tone

Samples = NDArray[np.int16]
ALL = np.arange(-32768, 32768).astype(np.int16)


def ffmpeg(name: str, data: Samples | bytes) -> Samples | bytes:
    """Compress or expand by FFmpeg's codec of that name."""
    context = av.CodecContext.create(name, "r" if isinstance(data, bytes) else "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = 8000, "mono"
    if isinstance(data, bytes):
        return np.concatenate([f.to_ndarray()[0] for f in context.decode(av.Packet(data))])
    context.format = "s16"
    frame = av.AudioFrame.from_ndarray(data.reshape(1, -1), "s16", "mono")
    frame.sample_rate = 8000
    return b"".join(bytes(p) for p in context.encode(frame))


@pytest.mark.parametrize(("law", "name"), [(g711.mu_law, "pcm_mulaw"), (g711.a_law, "pcm_alaw")])
def test_every_byte_and_every_sample_of_g711(law: Callable[[], g711.Law], name: str) -> None:
    codes = bytes(range(256))
    levels = law().expand(codes)
    assert np.array_equal(levels, ffmpeg(name, codes))
    error = np.abs(law().expand(law().compress(ALL)).astype(int) - ALL)
    # Half a step: 16 steps to the octave, and the finest are 8 (PCMU) and 16 wide.
    assert (error <= np.abs(ALL.astype(int)) / 32 + 8)[1000:-1000].all()
    ours, theirs = (
        np.abs(law().expand(d).astype(int) - ALL) for d in (law().compress(ALL), ffmpeg(name, ALL))
    )
    assert ours.sum() <= theirs.sum() * 1.01
    assert law().compress(levels) in (codes, codes.replace(b"\x7f", b"\xff")), "a level stays what it is"


def through(name: str, sound: Samples, *, frame: int = 960, lost: tuple[int, ...] = ()) -> Samples:
    encoder, decoder = WaveformEncoder(name, frame), WaveformDecoder(name)
    out = []
    for n, piece in enumerate(sound[: len(sound) // frame * frame].reshape(-1, frame)):
        payload = encoder.encode(piece)
        assert decoder.duration(payload) == frame and len(payload) == frame // 6
        out.append(decoder.conceal(frame) if n in lost else decoder.decode(payload))
        assert len(out[-1]) == frame
    return np.concatenate(out)


def snr(sound: Samples, heard: Samples) -> tuple[int, float]:
    """(delay in samples, dB)."""
    x = sound.astype(float)
    size = 1 << 16
    cross = np.fft.irfft(np.fft.rfft(heard[:24000], size) * np.conj(np.fft.rfft(x[:24000], size)))
    delay = int(np.argmax(cross[:2400]))
    error = heard[delay:].astype(float) - x[: len(x) - delay]
    return delay, float(10 * np.log10((x**2).mean() / (error**2).mean()))


@pytest.mark.parametrize(
    ("name", "hz", "least"), [("PCMU", 1000, 34), ("PCMA", 1000, 34), ("G722", 1000, 38), ("G722", 6000, 20)]
)
@pytest.mark.parametrize("frame", [480, 960, 2880])
def test_a_tone_comes_through(name: str, hz: int, least: float, frame: int) -> None:
    sound = tone(hz, 0, 48000, 0.3)
    heard = through(name, sound, frame=frame)
    reference = np.fft.rfft(heard[9600:33600] * np.hanning(24000))
    peak = int(np.argmax(np.abs(reference)))
    assert peak * 2 == pytest.approx(hz, abs=2)
    power = np.abs(reference) ** 2
    noise = power.sum() - power[peak - 8 : peak + 9].sum()
    assert 10 * np.log10(power.sum() / noise) > least
    assert heard[9600:].astype(float).std() == pytest.approx(sound.astype(float).std(), rel=0.06)


@pytest.mark.parametrize(("name", "most_ms"), [("PCMU", 3.2), ("PCMA", 3.2), ("G722", 3.1)])
def test_the_delay_is_that_of_the_filters(name: str, most_ms: float) -> None:
    delay, quality = snr(voice := generate_voice(3, 2.0), through(name, voice))
    assert delay / 48 < most_ms
    assert quality > 12  # of a voice whose band the codec cuts


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_frame_of_a_tone_is_hardly_heard(name: str) -> None:
    sound = tone(200, 0, 48000, 0.3)
    whole, heard = through(name, sound), through(name, sound, lost=(20,))
    inside = slice(20 * 960 + 200, 21 * 960)
    assert heard[inside].astype(float).std() > 0.7 * whole[inside].astype(float).std()
    steps = np.abs(np.diff(heard.astype(int)))
    assert steps.max() < 3 * np.abs(np.diff(whole.astype(int))).max(), "no click"


@pytest.mark.parametrize("name", NAMES)
def test_a_long_gap_fades_into_the_background(name: str) -> None:
    rng = np.random.default_rng(1)
    sound = (generate_voice(4, 3.0) + rng.normal(0, 40, 144000)).astype(np.int16)
    heard = through(name, sound, lost=tuple(range(100, 125)))
    levels = heard.astype(float).reshape(-1, 960).std(axis=1)
    assert levels[104:125].max() < 150, "after 80 ms nothing of the voice is left"
    assert levels[104:125].min() > 10, "and the line is not dead"
    assert levels[126:].max() > 500, "it goes on"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_payload(name: str) -> None:
    decoder = WaveformDecoder(name)
    assert decoder.duration(b"") == decoder.duration(bytes(MAX_PAYLOAD_BYTES + 1)) == 0
    for payload in (b"", bytes(MAX_PAYLOAD_BYTES + 1)):
        with pytest.raises(CodecError):
            decoder.decode(payload)
    with pytest.raises(CodecError):
        WaveformEncoder(name, 960).encode(np.zeros(480, np.int16))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.lists(st.binary(max_size=200) | st.integers(1, 48), max_size=12))
def test_any_payloads_and_gaps(name: str, steps: list[bytes | int]) -> None:
    decoder = WaveformDecoder(name)
    for step in steps:
        if isinstance(step, int):
            assert len(decoder.conceal(step * 120)) == step * 120
        elif step:
            assert len(decoder.decode(step)) == decoder.duration(step) == 6 * len(step)
