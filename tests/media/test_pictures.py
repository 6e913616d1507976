"""Sizes, formats and ranges of pictures."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from hypothesis import given
from hypothesis import strategies as st

from media.errors import SourceError
from media.pictures import allowed_size, black, fitted, from_av, from_rgb, planes, rotated, scaled, to_av


def colours(data: np.ndarray) -> list[float]:
    return [round(float(plane.mean())) for plane in planes(data)]


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_every_size_has_an_allowed_one(width: int, height: int) -> None:
    w, h = allowed_size(width, height)
    assert w % 2 == h % 2 == 0 and 2 <= w <= 4096 and 2 <= h <= 4096
    if max(width, height) <= 4096 and min(width, height) >= 2:
        assert width - w in (0, 1) and height - h in (0, 1)


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (63, 48), (3, 3), (1, 1), (4098, 4), (5000, 3000)])
@pytest.mark.parametrize("format", ["yuv420p", "rgb24"])
def test_odd_and_huge_pictures_become_ours(size: tuple[int, int], format: str) -> None:
    frame = from_av(av.VideoFrame(*size, format), 1.5)
    assert (frame.width, frame.height) == allowed_size(*size)
    assert frame.captured == 1.5


@pytest.mark.parametrize(
    "format", ["rgb24", "bgra", "gray", "nv12", "yuv444p", "yuyv422", "yuv420p10le", "yuvj420p"]
)
def test_formats_keep_their_white(format: str) -> None:
    white = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8), format="rgb24").reformat(
        format=format
    )
    y, u, v = colours(from_av(white, 0.0).data)
    assert abs(y - 235) <= 2 and abs(u - 128) <= 1 and abs(v - 128) <= 1


def test_full_range_by_its_flag_is_made_limited() -> None:
    frame = av.VideoFrame.from_ndarray(np.full((72, 64), 255, np.uint8), format="yuv420p")
    frame.color_range = ColorRange.JPEG
    assert planes(from_av(frame, 0.0).data)[0].max() <= 236


def test_a_format_that_cannot_be_converted_is_an_error_of_ours() -> None:
    with pytest.raises(SourceError, match="cannot be converted"):
        from_av(av.VideoFrame(64, 48, "y210be"), 0.0)


def test_black_and_its_limits() -> None:
    assert colours(black(64, 48)) == [16, 128, 128]
    for size in ((63, 48), (64, 47), (0, 2), (4098, 2)):
        with pytest.raises(ValueError, match="even sides"):
            black(*size)


def test_round_trip_through_pyav() -> None:
    data = np.random.default_rng(1).integers(0, 256, (72, 64), np.uint8)
    assert np.array_equal(from_av(to_av(data), 0.0).data, data)
    assert scaled(data, 64, 48) is data
    assert scaled(data, 32, 96).shape == (144, 32)


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (100, 20), (20, 100), (2, 2), (640, 480)])
def test_fitted_keeps_the_proportion_and_fills_with_black(size: tuple[int, int]) -> None:
    data = np.full((size[1] * 3 // 2, size[0]), 200, np.uint8)
    out = fitted(data, 64, 48)
    assert out.shape == (72, 64)
    y, u, _ = planes(out)
    inside = y > 150
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert len(rows) == 48 or len(columns) == 64
    assert len(rows) == 48 or abs(len(rows) - 64 * size[1] / size[0]) < 2, "even sides"
    assert len(columns) == 64 or abs(len(columns) - 48 * size[0] / size[1]) < 2
    assert abs((64 - 1 - columns[-1]) - columns[0]) <= 2 and abs((48 - 1 - rows[-1]) - rows[0]) <= 2
    assert (y[~inside] == 16).all()
    assert set(np.unique(u)) <= {128, 199, 200}


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -90, 360])
def test_rotated(degrees: int) -> None:
    data = np.arange(6 * 4 * 3 // 2, dtype=np.uint8).reshape(6, 6)  # 6 by 4
    turned = rotated(data, degrees)
    for plane, source in zip(planes(turned), planes(data), strict=True):
        assert np.array_equal(plane, np.rot90(source, degrees // 90))


def test_rgb_of_the_callers() -> None:
    frame = from_rgb(np.full((49, 65, 3), 255, np.uint8), 2.0)
    assert (frame.width, frame.height, frame.captured) == (64, 48, 2.0)
    assert colours(frame.data) == [235, 128, 128]
    for wrong in (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match="RGB"):
            from_rgb(wrong, 0.0)
