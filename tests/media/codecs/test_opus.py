"""Opus by libopus: RFC 6716, RFC 7587."""

import gc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from media.codecs.libopus import libopus, version
from media.codecs.opus import OpusDecoder, OpusEncoder, has_lbrr
from media.errors import CodecError
from media.simulation.voice import generate_voice, tone

Samples = NDArray[np.int16]


def payloads(encoder: OpusEncoder, count: int = 25, hz: float = 300.0) -> list[bytes]:
    return [encoder.encode(tone(hz, n * 960, 960, 0.3)) for n in range(count)]


def frequency(samples: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * 48000 / len(samples)


def test_the_library_tells_its_version() -> None:
    assert version().startswith("libopus 1.")


def test_a_tone_comes_out_as_it_went_in() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    out = np.concatenate([decoder.decode(p).copy() for p in payloads(encoder, 50)])
    assert len(out) == 50 * 960
    assert frequency(out[9600:]) == pytest.approx(300, abs=3)
    reference = np.concatenate([tone(300, n * 960, 960, 0.3) for n in range(50)])
    assert np.std(out[9600:]) == pytest.approx(np.std(reference[9600:]), rel=0.2)


@pytest.mark.parametrize("samples", [120, 240, 480, 960, 1920, 2880])
def test_frames_of_every_length(samples: int) -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    payload = encoder.encode(tone(300, 0, samples, 0.3))
    assert decoder.duration(payload) == samples
    assert len(decoder.decode(payload)) == samples


@pytest.mark.parametrize("samples", [0, 1, 959, 961, 5761])
def test_frames_of_no_legal_length_are_refused(samples: int) -> None:
    with pytest.raises(CodecError, match="Opus encode"):
        OpusEncoder().encode(np.zeros(samples, np.int16))


@pytest.mark.parametrize("bitrate_bps", [12000, 24000, 48000])
def test_the_bitrate_is_kept(bitrate_bps: int) -> None:
    encoder = OpusEncoder(bitrate_bps=24000)
    encoder.set_bitrate(bitrate_bps)
    noise = np.random.default_rng(1).normal(0, 3000, 960 * 100).astype(np.int16)
    size = sum(len(encoder.encode(noise[n : n + 960])) for n in range(0, len(noise), 960))
    assert size * 8 / 2.0 == pytest.approx(bitrate_bps, rel=0.2)
    assert encoder.bitrate_bps == bitrate_bps


def test_a_bitrate_that_the_library_refuses() -> None:
    with pytest.raises(CodecError, match="ctl"):
        OpusEncoder(bitrate_bps=-5)


def test_the_copy_in_the_next_packet() -> None:
    encoder = OpusEncoder()
    decoder = OpusDecoder()
    speech = generate_voice(1, 4.0).reshape(-1, 960)
    assert not any(decoder.has_fec(encoder.encode(frame)) for frame in speech)
    encoder.set_expected_loss(20)
    assert encoder.expected_loss_percent == 20
    sent = [encoder.encode(frame) for frame in speech]
    assert sum(decoder.has_fec(p) for p in sent) > 0.5 * len(sent), "of speech; pauses need no copy"
    assert all(has_lbrr(p) == decoder.has_fec(p) for p in sent), "our own reading of the bit agrees"
    encoder.set_expected_loss(0)
    after = [decoder.has_fec(encoder.encode(frame)) for frame in speech]
    assert not any(after[5:])


def test_what_is_recovered_is_nearer_to_the_truth_than_what_is_concealed() -> None:
    """A tone that changes in the lost frame: concealment cannot know."""

    def voice(n: int) -> Samples:
        return tone(300 if n < 20 else 900, n * 960, 960, 0.3)

    encoder = OpusEncoder()
    encoder.set_expected_loss(25)
    sent = [encoder.encode(voice(n)) for n in range(24)]
    full, recovering, concealing = OpusDecoder(), OpusDecoder(), OpusDecoder()
    for n in range(20):
        for decoder in (full, recovering, concealing):
            truth = decoder.decode(sent[n]).copy()
    truth = full.decode(sent[20]).astype(float)
    recovered = recovering.decode_fec(sent[21], 960).astype(float)
    concealed = concealing.conceal(960).astype(float)
    assert len(recovered) == len(concealed) == 960
    assert np.std(recovered - truth) < 0.7 * np.std(concealed - truth)


def test_expected_loss_is_raised_to_where_copies_are_worth_something() -> None:
    encoder = OpusEncoder()
    for asked, got in ((1, 10), (15, 15), (500, 100), (0, 0)):
        encoder.set_expected_loss(asked)
        assert encoder.expected_loss_percent == got


def test_concealment_fades_to_silence() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    for payload in payloads(encoder):
        decoder.decode(payload)
    levels = [float(np.std(decoder.conceal(480))) for _ in range(100)]
    assert levels[0] > 1000
    assert levels[-1] < 20


def test_the_result_is_a_view_that_the_next_call_overwrites() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    first, second = (decoder.decode(p) for p in payloads(encoder, 2))
    assert np.shares_memory(first, second)


@given(st.binary(max_size=60))
def test_any_payload_gives_samples_or_a_codec_error(payload: bytes) -> None:
    decoder = OpusDecoder()
    duration = decoder.duration(payload)
    assert 0 <= duration <= 5760
    decoder.has_fec(payload)
    has_lbrr(payload)
    calls: list[Callable[[], Samples]] = [
        lambda: decoder.decode(payload),
        lambda: decoder.decode_fec(payload, 960),
        lambda: decoder.conceal(480),
    ]
    for call in calls:
        try:
            assert 0 < len(call()) <= 5760
        except CodecError:
            continue
    assert len(decoder.conceal(960)) == 960, "the decoder still works"


@given(st.binary(min_size=1, max_size=20))
def test_what_is_read_from_the_first_byte_is_what_libopus_says(payload: bytes) -> None:
    library, decoder = libopus(), OpusDecoder()
    samples = library.samples(payload, len(payload), 48000)
    assert decoder.duration(payload) == (samples if 0 < samples <= 5760 else 0)
    if library.has_lbrr is not None:
        assert decoder.has_fec(payload) == (library.has_lbrr(payload, len(payload)) == 1)


def test_a_long_payload() -> None:
    decoder = OpusDecoder()
    for payload in (bytes(65000), b"\xff" * 65000, b"\x03\x30" + bytes(3000)):
        decoder.duration(payload)
        try:
            decoder.decode(payload)
        except CodecError:
            pass


def test_an_empty_payload_is_not_taken_for_a_loss() -> None:
    with pytest.raises(CodecError, match="empty"):
        OpusDecoder().decode(b"")
    assert OpusDecoder().duration(b"") == 0
    assert not OpusDecoder().has_fec(b"")


def test_close_twice_and_use_after_close() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    for codec in (encoder, decoder):
        codec.close()
        codec.close()
    with pytest.raises(CodecError, match="closed"):
        encoder.encode(np.zeros(960, np.int16))
    for call in (lambda: decoder.decode(b"\x08"), lambda: decoder.conceal(480)):
        with pytest.raises(CodecError, match="closed"):
            call()
    with pytest.raises(CodecError, match="closed"):
        encoder.set_bitrate(9000)
    with pytest.raises(CodecError, match="closed"):
        encoder.set_expected_loss(20)


def test_codecs_that_are_forgotten_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    freed = []
    library = libopus()
    destroy = library.decoder_destroy
    monkeypatch.setattr(library, "decoder_destroy", lambda state: (freed.append(state), destroy(state)))
    decoder = OpusDecoder()
    state = decoder._state
    del decoder
    gc.collect()
    assert state in freed


def test_less_effort_where_bits_are_plenty_and_least_in_a_hurry() -> None:
    """By what it does: the same bytes as an encoder with that complexity, from the first frame after the change."""
    voice = generate_voice(5, 1.0)
    frames = [voice[n : n + 960] for n in range(0, len(voice) - 959, 960)]

    def encoded(encoder: OpusEncoder) -> list[bytes]:
        return [encoder.encode(frame) for frame in frames]

    for bitrate, hurried, complexity in ((36000, False, 6), (24000, False, 9), (36000, True, 0)):
        ours = OpusEncoder(bitrate_bps=bitrate)
        ours.set_hurried(hurried)
        assert encoded(ours) == encoded(OpusEncoder(bitrate_bps=bitrate, complexity=complexity))
    ours = OpusEncoder(bitrate_bps=36000)
    ours.set_hurried(True)
    ours.set_bitrate(24000)
    assert encoded(ours) == encoded(OpusEncoder(bitrate_bps=24000, complexity=0)), "a new rate ends no hurry"
