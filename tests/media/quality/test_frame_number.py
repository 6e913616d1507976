"""The number in the picture: through scaling, noise and real VP8."""

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.pictures import scaled
from media.quality.frame_number import MAX_NUMBER, band_height, read_frame_number, write_frame_number
from media.simulation.picture import Pattern


@given(
    number=st.integers(0, MAX_NUMBER),
    width=st.integers(160, 900),
    height=st.integers(120, 700),
    background=st.integers(0, 255),
)
def test_round_trip_at_any_size(number: int, width: int, height: int, background: int) -> None:
    luma = np.full((height, width), background, np.uint8)
    write_frame_number(luma, number)
    assert read_frame_number(luma) == number
    assert (luma[band_height(height) :] == background).all(), "the code stays in its band"


@pytest.mark.parametrize("number", [-1, MAX_NUMBER + 1])
def test_numbers_that_do_not_fit_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="24 bits"):
        write_frame_number(np.zeros((240, 320), np.uint8), number)


def test_small_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        write_frame_number(np.zeros((118, 320), np.uint8), 1)


@pytest.mark.parametrize("size", [(320, 240), (640, 360), (1280, 720), (426, 240), (1920, 1080), (480, 640)])
@pytest.mark.parametrize("number", [0, 1, 0x555555, MAX_NUMBER])
def test_survives_scaling(size: tuple[int, int], number: int) -> None:
    picture = Pattern(640, 480).picture(number)
    there = scaled(picture, *size)
    assert read_frame_number(there[: size[1]]) == number
    back = scaled(there, 640, 480)
    assert read_frame_number(back[:480]) == number


@pytest.mark.parametrize(
    ("width", "height", "frames", "least"),
    [(320, 240, 90, 85), (640, 480, 60, 55), (1280, 720, 60, 15)],  # at 720p libvpx drops pictures itself
)
@pytest.mark.long
def test_survives_vp8_at_150_kbit_s(width: int, height: int, frames: int, least: int) -> None:
    rate = 150_000
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.bit_rate, encoder.time_base, encoder.framerate = rate, Fraction(1, 30), Fraction(30)
    encoder.options = {
        "deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0", "maxrate": str(rate), "minrate": str(rate),
        "bufsize": str(rate // 2), "qmax": "56", "drop-threshold": "30",
    }  # fmt: skip
    decoder = av.CodecContext.create("vp8", "r")
    pattern = Pattern(width, height)
    size, read = 0, []
    for number in range(1000, 1000 + frames):
        frame = av.VideoFrame.from_ndarray(pattern.picture(number), format="yuv420p")
        frame.pts = number
        for packet in encoder.encode(frame):
            size += packet.size
            for out in decoder.decode(packet):
                read.append((packet.pts, read_frame_number(out.to_ndarray()[:height])))
    assert len(read) >= least
    assert all(number == pts for pts, number in read), "every picture that comes is known"
    assert size * 8 * 30 / frames < 1.5 * rate, "the rate was held, so this says something"


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 300))
def test_noise_is_no_number(seed: int, width: int, height: int) -> None:
    luma = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    assert read_frame_number(luma) is None or min(width / 20, height / 15) < 6


@pytest.mark.parametrize("level", [0, 16, 128, 235, 255])
def test_plain_pictures_have_no_number(level: int) -> None:
    assert read_frame_number(np.full((480, 640), level, np.uint8)) is None


def test_an_empty_or_odd_array_has_none() -> None:
    assert read_frame_number(np.zeros((0, 0), np.uint8)) is None
    assert read_frame_number(np.zeros(10, np.uint8)) is None


def test_one_flipped_cell_is_noticed() -> None:
    luma = np.zeros((240, 320), np.uint8)
    write_frame_number(luma, 4711)
    for row in range(2):
        for column in range(16):
            damaged = luma.copy()
            cell = damaged[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
            cell[:] = 251 - cell
            assert read_frame_number(damaged) is None
