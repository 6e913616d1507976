"""A number in a picture that a program can read again: after VP8 at 150 kbit/s, after scaling, in any engine.

32 cells, 16 by 2, fill the upper left of the luma plane: each is 1/20 of the width and 1/15 of the height, so the
code scales with the picture and lies on whole macroblocks at 320x240, 640x480 and 1280x720. White is 1. Row by row
they are 24 bits of the number in Gray code (from one picture to the next few cells change, which saves bits) and
8 bits of CRC. A reader gets the number or None, never a wrong one that it could have known to be wrong.
"""

import numpy as np
from numpy.typing import NDArray

MAX_NUMBER = 2**24 - 1  # six days at 30 pictures a second
MIN_WIDTH, MIN_HEIGHT = 160, 120  # pixels; to write. Cells of 8 by 8.

_COLUMNS, _ROWS = 16, 2
_ACROSS, _DOWN = 20, 15  # cells of this size in a whole picture
_BLACK, _WHITE = 16, 235  # BT.601 luma
# A cell whose mean is nearer to the middle than this is not held for read.
_MARGIN = 40
_MIDDLE = (_BLACK + _WHITE) / 2
_MIN_READ_CELL = 2  # pixels
_CHECK_BITS = 8

Luma = NDArray[np.uint8]


def write_frame_number(luma: Luma, number: int) -> None:
    """Write `number` (0 to 2**24 - 1) into a luma plane (height, width), in place.

    Raises ValueError for another number, or a plane smaller than 160x120.
    """
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"a frame number has 24 bits, {number} does not fit")
    height, width = luma.shape
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        raise ValueError(f"a picture of {width}x{height} is too small for a frame number (160x120)")
    gray = number ^ (number >> 1)
    word = gray << _CHECK_BITS | _crc(gray)
    xs, ys = _edges(width, _COLUMNS, _ACROSS), _edges(height, _ROWS, _DOWN)
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            bit = word >> (_ROWS * _COLUMNS - 1 - row * _COLUMNS - column) & 1
            luma[ys[row] : ys[row + 1], xs[column] : xs[column + 1]] = _WHITE if bit else _BLACK


def read_frame_number(luma: Luma) -> int | None:
    """The number in a luma plane (height, width) of any size, or None where there is none to be read."""
    if luma.ndim != 2:
        return None
    height, width = luma.shape
    if width < _ACROSS * _MIN_READ_CELL or height < _DOWN * _MIN_READ_CELL:
        return None
    xs, ys = _edges(width, _COLUMNS, _ACROSS), _edges(height, _ROWS, _DOWN)
    word = 0
    for row in range(_ROWS):
        top, bottom = _inner(ys[row], ys[row + 1])
        for column in range(_COLUMNS):
            left, right = _inner(xs[column], xs[column + 1])
            level = float(luma[top:bottom, left:right].mean())
            if abs(level - _MIDDLE) < _MARGIN:
                return None
            word = word << 1 | (level > _MIDDLE)
    gray = word >> _CHECK_BITS
    if _crc(gray) != word & ((1 << _CHECK_BITS) - 1):
        return None
    number = 0
    while gray:
        number ^= gray
        gray >>= 1
    return number


def band_height(height: int) -> int:
    """Rows at the top that hold the code in a picture of `height` rows: no part of a comparison.

    Four rows more than the code itself, for what a codec smears.
    """
    return min(height, -(-height * _ROWS // _DOWN) + 4)


def _edges(length: int, cells: int, whole: int) -> list[int]:
    return [round(i * length / whole) for i in range(cells + 1)]


def _inner(start: int, end: int) -> tuple[int, int]:
    """The middle half of a cell, at least one pixel: a codec smears the edges."""
    margin = (end - start) // 4
    return start + margin, max(start + margin + 1, end - margin)


def _crc(data: int) -> int:
    """CRC-8 (polynomial 0x07, start 0xFF) of 24 bits: neither all black nor all white is a valid code."""
    crc = 0xFF
    for shift in (16, 8, 0):
        crc ^= data >> shift & 0xFF
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc
