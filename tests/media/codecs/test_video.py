"""The video codecs through their common face."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.codecs.video import (
    REOPEN_PAUSE_TICKS,
    EncodedFrame,
    PyAvEncoder,
    VideoEncoder,
    make_decoder,
    make_encoder,
)
from media.errors import CodecError
from media.payload import h264
from media.quality.video import psnr
from media.simulation.picture import Pattern

PATTERN = Pattern(320, 240)
MAKERS: dict[str, tuple[str, Callable[[], VideoEncoder]]] = {
    "vp8": ("VP8", lambda: make_encoder("VP8")),
    "vp8-pyav": ("VP8", lambda: PyAvEncoder("libvpx")),
    "h264": ("H264", lambda: make_encoder("H264")),
}


@pytest.fixture(params=MAKERS)
def codec(request: pytest.FixtureRequest) -> tuple[str, VideoEncoder]:
    name, make = MAKERS[request.param]
    return name, make()


def encode(
    encoder: VideoEncoder, picture: np.ndarray, number: int, *, key: bool = False, bitrate_bps: int = 600_000
) -> EncodedFrame | None:
    return encoder.encode(picture, time=number * 6000, key_frame=key, bitrate_bps=bitrate_bps)


def test_pictures_come_back_and_key_frames_on_demand(codec: tuple[str, VideoEncoder]) -> None:
    name, encoder = codec
    decoder = make_decoder(name)
    keys, seen = [], 0
    for n in range(20):
        frame = encode(encoder, PATTERN.picture(n), n, key=n == 10)
        if frame is None:
            continue
        if frame.key_frame:
            keys.append(n)
        for picture in decoder.decode(frame.data):
            assert psnr(picture, PATTERN.picture(n)) > 28
            seen += 1
    assert keys == [0, 10] and seen >= 18
    encoder.close()
    decoder.close()


def test_another_size_begins_with_a_key_frame(codec: tuple[str, VideoEncoder]) -> None:
    name, encoder = codec
    decoder = make_decoder(name)
    for n, (width, height) in enumerate([(320, 240), (162, 122), (640, 360), (16, 16), (320, 240)]):
        frame = encode(encoder, np.full((height * 3 // 2, width), 90, np.uint8), n)
        assert frame is not None and frame.key_frame
        assert decoder.decode(frame.data)[0].shape == (height * 3 // 2, width)
    encoder.close()


def test_an_h264_key_frame_can_be_decoded_by_itself() -> None:
    encoder = make_encoder("H264")
    for n in range(6):
        frame = encode(encoder, PATTERN.picture(n), n, key=n == 5)
    assert frame is not None and frame.key_frame
    kinds = [unit[0] & 0x1F for unit in h264.split_annex_b(frame.data)]
    assert h264.SPS in kinds and h264.PPS in kinds and h264.IDR in kinds
    assert len(make_decoder("H264").decode(frame.data)) == 1


def test_pyav_follows_a_large_change_of_the_rate_but_not_too_often() -> None:
    encoder = PyAvEncoder("libvpx")
    later = REOPEN_PAUSE_TICKS // 6000
    rates = {0: 600_000, 1: 550_000, 2: 200_000, later: 200_000, later + 1: 600_000}
    keys = {}
    for n, rate in rates.items():
        frame = encode(encoder, PATTERN.picture(n), n, bitrate_bps=rate)
        keys[n] = frame is not None and frame.key_frame
    assert keys == {0: True, 1: False, 2: False, later: True, later + 1: False}


@given(st.sampled_from(["VP8", "H264"]), st.binary(max_size=200))
def test_any_bytes_give_pictures_or_one_error(name: str, data: bytes) -> None:
    decoder = make_decoder(name)
    try:
        assert all(p.dtype == np.uint8 and p.flags.c_contiguous for p in decoder.decode(data))
    except CodecError:
        pass
    decoder.close()


@pytest.mark.parametrize("name", ["VP8", "H264"])
def test_a_decoder_recovers_from_damage_with_the_next_key_frame(name: str) -> None:
    encoder, decoder = make_encoder(name), make_decoder(name)
    first = encode(encoder, PATTERN.picture(0), 0)
    assert first is not None and decoder.decode(first.data)
    for junk in (b"", b"\0", first.data[:20], bytes(500), first.data[::-1]):
        try:
            decoder.decode(junk)
        except CodecError:
            pass
    good = encode(encoder, PATTERN.picture(1), 1, key=True)
    assert good is not None
    assert psnr(decoder.decode(good.data)[-1], PATTERN.picture(1)) > 28


def test_odd_sizes_lose_their_last_line() -> None:
    """A peer may send them; we do not."""
    import av

    context = av.CodecContext.create("libvpx", "w")
    context.width, context.height, context.pix_fmt = 161, 121, "yuv420p"  # type: ignore[attr-defined]
    context.time_base = Fraction(1, 30)  # type: ignore[assignment]
    frame = av.VideoFrame(161, 121, "yuv420p")
    packets = [*context.encode(frame), *context.encode(None)]  # type: ignore[attr-defined]
    (picture,) = make_decoder("VP8").decode(bytes(packets[0]))
    assert picture.shape == (180, 160)


def test_pictures_that_are_too_large_are_refused() -> None:
    """A VP8 key frame header that claims 16383x16383 (RFC 6386 section 9.1): no memory is taken for a picture."""
    decoder = make_decoder("VP8")
    with pytest.raises(CodecError):
        for _ in range(3):
            decoder.decode(b"\x10\x02\x00\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(100))


def test_a_closed_decoder_says_so() -> None:
    decoder = make_decoder("VP8")
    decoder.close()
    with pytest.raises(CodecError):
        decoder.decode(b"\0")
