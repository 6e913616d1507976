"""A generated picture with a number in it, and the flash and beep that show whether sound and picture agree.

The picture is made from its number alone: who knows the number has the reference. It is quiet like a webcam's:
a still background with texture, a head that moves, a clock hand that turns.
"""

import math
import random

import numpy as np
from numpy.typing import NDArray

from media.pictures import black, planes
from media.quality.frame_number import band_height, write_frame_number
from media.simulation.voice import RATE, tone

# Flash and beep begin at the same media time, this often (seconds). Offsets up to half of it are told apart.
PERIOD = 1.0
FLASH = 0.1  # seconds: three pictures at 30 fps, so that one that is lost does not hide it
BEEP = 0.1  # seconds
BEEP_HZ = 1000.0
_BEEP_SAMPLES = round(BEEP * RATE)
_WHITE = 235
# The head moves on a Lissajous figure with these periods, in pictures.
_ACROSS_PERIOD, _DOWN_PERIOD, _HAND_PERIOD = 90, 140, 60


class Pattern:
    """Pictures of `width` by `height`. Raises ValueError for odd sides, or sides under 160x120 or over 4096."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._base = black(width, height)
        write_frame_number(self._base[:height], 0)  # raises for what is too small
        _paint_background(self._base, random.Random(7))
        self._head = _head(max(8, height // 6 * 2))

    def picture(self, number: int, flash: bool = False) -> NDArray[np.uint8]:
        """I420 (height * 3 // 2, width) of its own. With `flash`, white below the number."""
        data = self._base.copy()
        luma, u, v = planes(data)
        if flash:
            data[:] = 128
            luma[:] = _WHITE
        else:
            self._draw(luma, u, v, number)
        write_frame_number(luma, number)
        return data

    def _draw(self, luma: NDArray[np.uint8], u: NDArray[np.uint8], v: NDArray[np.uint8], number: int) -> None:
        texture, inside = self._head
        size = len(texture)
        top = band_height(self.height)
        across = (math.sin(2 * math.pi * number / _ACROSS_PERIOD) + 1) / 2
        down = (math.sin(2 * math.pi * number / _DOWN_PERIOD) + 1) / 2
        x = round(across * (self.width - size) / 2) * 2
        y = round(down * max(0, self.height - size - top) / 2) * 2 + top // 2 * 2
        place = luma[y : y + size, x : x + size]
        np.copyto(place, texture[: len(place)], where=inside[: len(place)])
        half = inside[::2, ::2]
        for plane, tint in ((u, 110), (v, 150)):
            spot = plane[y // 2 : y // 2 + len(half), x // 2 : x // 2 + len(half)]
            spot[half[: len(spot)]] = tint
        bar = max(2, self.width // 80 * 2)
        at = (number % _HAND_PERIOD) * (self.width - bar) // _HAND_PERIOD
        luma[self.height - self.height // 20 :, at : at + bar] = _WHITE


def is_flash(number: int, fps: float) -> bool:
    """Whether picture `number` (the first is 0) of `fps` a second is part of a flash."""
    return number / fps % PERIOD < FLASH - 1e-9 or 1 - (number / fps / PERIOD) % 1 < 1e-9


def beeps(first: int, count: int, level: float = 0.5) -> NDArray[np.int16]:
    """Samples `first` to `first + count` at 48 kHz, mono: a beep at every full PERIOD, silence between."""
    position = (first + np.arange(count)) % round(PERIOD * RATE)
    samples = tone(BEEP_HZ, first, count, level)
    samples[position >= _BEEP_SAMPLES] = 0
    return samples


def _paint_background(data: NDArray[np.uint8], rng: random.Random) -> None:
    luma, u, v = planes(data)
    height, width = luma.shape
    y, x = np.mgrid[0:height, 0:width]
    shade = 90 + 50 * x / width + 30 * np.sin(y / height * 5)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 1, (height // 8 + 2, width // 8 + 2))
    grain = np.kron(noise, np.ones((8, 8)))[:height, :width]
    # Books on a shelf: edges, without which every codec looks good.
    books = 25 * ((x * 40 // width) % 3 - 1) * (y > height * 2 // 5) * (y < height * 3 // 5)
    luma[:] = np.clip(shade + 4 * grain + books, 16, 235).astype(np.uint8)
    u[:] = np.clip(128 + 20 * np.sin(x[: height // 2, : width // 2] / width * 12), 16, 240).astype(np.uint8)
    v[:] = np.clip(128 - 20 * np.cos(y[: height // 2, : width // 2] / height * 9), 16, 240).astype(np.uint8)


def _head(size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A round texture and its mask, (size, size)."""
    y, x = np.mgrid[0:size, 0:size] / (size / 2) - 1.0
    distance = np.hypot(x, y)
    face = 170 - 50 * distance + 15 * np.sin(x * 25) * np.sin(y * 18)
    eyes = (np.hypot(np.abs(x) - 0.35, y + 0.2) < 0.12) | ((np.abs(x) < 0.4) & (np.abs(y - 0.45) < 0.06))
    return np.clip(np.where(eyes, 40, face), 16, 235).astype(np.uint8), distance <= 1.0
