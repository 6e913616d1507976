"""VP8 by libvpx without FFmpeg, and what happens when its ABI is not understood."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from media.codecs import libvpx
from media.codecs.libvpx import LibvpxEncoder
from media.codecs.video import PyAvEncoder, Vp8Encoder, make_decoder, make_encoder
from media.errors import CodecError
from media.simulation.picture import Pattern

PATTERN = Pattern(320, 240)


@pytest.fixture
def fresh_library() -> Iterator[None]:
    """The library is looked for anew, and again afterwards."""
    libvpx._library.cache_clear()
    yield
    libvpx._library.cache_clear()


needs_libvpx = pytest.mark.skipif(not libvpx.available(), reason="no libvpx whose ABI is understood")


def noise(number: int) -> np.ndarray:
    """Something that takes as many bits as it is given."""
    picture = PATTERN.picture(number)
    rng = np.random.default_rng(number)
    picture[80:200] += rng.integers(0, 40, (120, 320), np.uint8)
    return picture


@needs_libvpx
def test_the_rate_changes_without_a_key_frame() -> None:
    encoder = LibvpxEncoder(320, 240, bitrate_bps=1_000_000)
    sizes, keys = [], []
    for n in range(90):
        if n == 45:
            encoder.set_bitrate(150_000)
        out = encoder.encode(noise(n), time=n * 3000, duration=3000, key_frame=False)
        sizes.append(0 if out is None else len(out[0]))
        keys.append(out is not None and out[1])
    encoder.close()
    assert keys == [True] + [False] * 89
    before_bps, after_bps = sum(sizes[15:45]) * 8, sum(sizes[60:90]) * 8
    assert before_bps == pytest.approx(1_000_000, rel=0.35)
    assert after_bps < 0.4 * before_bps


@needs_libvpx
def test_key_frames_on_demand_and_none_else() -> None:
    encoder = LibvpxEncoder(320, 240, bitrate_bps=500_000)
    decoder = make_decoder("VP8")
    keys = []
    for n in range(20):
        out = encoder.encode(PATTERN.picture(n), time=n * 3000, duration=3000, key_frame=n == 10)
        if out is not None:
            assert out[1] == (out[0][0] & 1 == 0), (
                "what the encoder says is what the bits say (RFC 6386 section 9.1)"
            )
            assert decoder.decode(out[0])[0].shape == (360, 320)
            keys.append((n, out[1]))
    encoder.close()
    assert [n for n, key in keys if key] == [0, 10]


@needs_libvpx
def test_a_picture_of_another_size_and_a_closed_encoder_are_refused() -> None:
    encoder = LibvpxEncoder(320, 240, bitrate_bps=500_000)
    with pytest.raises(CodecError):
        encoder.encode(np.zeros((180, 160), np.uint8), time=0, duration=3000, key_frame=False)
    encoder.close()
    encoder.close()
    encoder.set_bitrate(100_000)
    with pytest.raises(CodecError):
        encoder.encode(PATTERN.picture(0), time=0, duration=3000, key_frame=False)
    with pytest.raises(CodecError):
        LibvpxEncoder(1 << 20, 2, bitrate_bps=1)


@pytest.mark.parametrize("path", ["missing.so", "text.so"])
def test_without_a_library_pyav_encodes(
    path: str, tmp_path: Path, fresh_library: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.so").write_text("no library")
    monkeypatch.setenv("VPX_LIB", str(tmp_path / path))
    assert not libvpx.available() and libvpx.version() is None
    with pytest.raises(CodecError):
        LibvpxEncoder(320, 240, bitrate_bps=500_000)
    encoder = make_encoder("VP8")
    assert isinstance(encoder, PyAvEncoder)
    encoder.close()


@needs_libvpx
def test_another_layout_or_abi_is_refused(fresh_library: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(libvpx._DEFAULTS, "kf_max_dist", 127)  # as if a member lay elsewhere
        assert not libvpx.available()
    libvpx._library.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(libvpx, "_ABI_VERSIONS", range(1, 3))
        assert not libvpx.available()
    libvpx._library.cache_clear()
    assert libvpx.available() and isinstance(make_encoder("VP8"), Vp8Encoder)
