"""The generated picture, its flash and its beep."""

import numpy as np
import pytest

from media.quality.frame_number import band_height, read_frame_number
from media.simulation.picture import PERIOD, Pattern, beeps, is_flash


@pytest.mark.parametrize("size", [(160, 120), (320, 240), (640, 360), (480, 640), (1280, 720), (162, 122)])
def test_every_picture_has_its_number_and_moves(size: tuple[int, int]) -> None:
    pattern = Pattern(*size)
    before = None
    for number in range(0, 300, 7):
        picture = pattern.picture(number)
        assert picture.shape == (size[1] * 3 // 2, size[0]) and picture.flags.c_contiguous
        assert read_frame_number(picture[: size[1]]) == number
        assert before is None or not np.array_equal(
            picture[band_height(size[1]) :], before[band_height(size[1]) :]
        )
        before = picture
    assert np.array_equal(Pattern(*size).picture(294), before), "made from its number alone"


def test_pictures_are_the_callers_own() -> None:
    pattern = Pattern(320, 240)
    pattern.picture(1)[:] = 0
    assert pattern.picture(1).any()


@pytest.mark.parametrize("size", [(161, 120), (160, 121), (158, 120), (160, 118), (4098, 240)])
def test_sizes_that_do_not_work(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="picture"):
        Pattern(*size)


def test_flash_is_white_below_the_number() -> None:
    picture = Pattern(320, 240).picture(30, flash=True)
    assert (picture[band_height(240) : 240] == 235).all()
    assert read_frame_number(picture[:240]) == 30


@pytest.mark.parametrize("fps", [5, 10, 15, 24, 25, 29.97, 30, 50, 60])
def test_a_flash_begins_with_every_second(fps: float) -> None:
    numbers = [n for n in range(round(20 * fps)) if is_flash(n, fps)]
    starts = [n for n in numbers if n - 1 not in numbers]
    assert len(starts) == 20
    for second, number in enumerate(starts):
        assert second * PERIOD <= number / fps + 1e-6 < second * PERIOD + 1 / fps + 1e-6


def test_beeps_are_the_same_in_any_pieces() -> None:
    whole = beeps(0, 96_000)
    assert np.array_equal(whole, np.concatenate([beeps(k, 960) for k in range(0, 96_000, 960)]))
    assert whole[:4800].any() and not whole[4800:48_000].any() and whole[48_000:52_800].any()
