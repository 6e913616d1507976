"""Whether sound and picture arrive together: the flashes and beeps of FlashAndBeep, found again at the other end.

The offset is in seconds, positive when the sound is ahead of the picture (ITU-R BT.1359: noticed from +45 and -125 ms).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.quality.frame_number import band_height, read_frame_number
from media.simulation.picture import BEEP_HZ, FLASH, PERIOD
from media.simulation.voice import RATE
from media.video_frame import VideoFrame

# The tone's level is looked at over this long (10 periods of it) every 1 ms.
_WINDOW = 480
_STEP = 48
# Below this (of full scale) nothing is a beep, and none is less than a quarter of the loudest.
_MIN_LEVEL, _MIN_SHARE = 0.02, 0.25
# A beep or flash is over, and the next may begin, after this long without (seconds).
_REARM = 0.3
# Mean luma of a picture in a flash; the pattern has about 110, a white picture 235.
_FLASH_LUMA = 200.0


@dataclass(frozen=True, slots=True)
class LipSync:
    """Offsets of the pairs that were found, in seconds; None without any. `times`: when each flash was seen."""

    pairs: int
    median: float | None
    lowest: float | None
    highest: float | None
    times: tuple[float, ...]
    offsets: tuple[float, ...]


class FlashFinder:
    """Told of every picture when it is shown; `onsets` are the times of the flashes.

    Where the picture has a number that can be read, and its rate is known, the onset is put to when the first picture
    of the flash would have been shown: one that was lost does not count as an offset.
    """

    def __init__(self, fps: float | None = None) -> None:
        self.onsets: list[float] = []
        self._fps = fps
        self._last_white: float | None = None

    def add(self, frame: VideoFrame, at: float) -> bool:
        """A picture shown at this time; whether it is white."""
        luma = frame.luma[band_height(frame.height) :: 4, ::4]
        if not luma.size or float(luma.mean()) < _FLASH_LUMA:
            return False
        if self._last_white is None or at - self._last_white > _REARM:
            self.onsets.append(at - self._missed(frame))
        self._last_white = at
        return True

    def _missed(self, frame: VideoFrame) -> float:
        number = read_frame_number(frame.luma) if self._fps else None
        if number is None or not self._fps:
            return 0.0
        since = number / self._fps % PERIOD
        return since if since < FLASH else 0.0


def find_beeps(samples: NDArray[np.int16], hz: float = BEEP_HZ) -> list[float]:
    """Onsets of the beeps in a recording (48 kHz, mono), in seconds from its beginning; to a few ms.

    The onset is where the tone's level crosses half of what it reaches, less half the window that it is taken over.
    """
    # A beep may begin with the recording.
    level = _tone_level(
        np.concatenate([np.zeros(_WINDOW, np.int16), samples, np.zeros(_WINDOW, np.int16)]), hz
    )
    threshold = max(_MIN_LEVEL, _MIN_SHARE * float(level.max()))
    onsets: list[float] = []
    index, quiet_since = 0, -_REARM
    step = _STEP / RATE
    while index < len(level):
        above = np.flatnonzero(level[index:] >= threshold)
        if not len(above):
            break
        start = index + int(above[0])
        below = np.flatnonzero(level[start:] < threshold)
        stop = start + int(below[0]) if len(below) else len(level)
        if start * step - quiet_since >= _REARM:
            half = float(level[start:stop].max()) / 2
            crossing = start + int(np.argmax(level[start:stop] >= half))
            while crossing > 0 and level[crossing - 1] >= half:
                crossing -= 1
            # A window that is half filled has its middle at the onset; the silence in front is not the caller's.
            onsets.append((crossing * _STEP - _WINDOW / 2) / RATE)
        quiet_since = stop * step
        index = stop
    return onsets


def compare(flashes: Iterable[float], beeps: Sequence[float]) -> LipSync:
    """Each flash with the beep next to it (both on one clock, seconds), within half of their period."""
    heard = np.array(sorted(beeps))
    times: list[float] = []
    offsets: list[float] = []
    for seen in flashes:
        if not len(heard):
            break
        offset = seen - float(heard[np.argmin(np.abs(heard - seen))])
        if abs(offset) <= PERIOD / 2:
            times.append(seen)
            offsets.append(offset)
    if not offsets:
        return LipSync(0, None, None, None, (), ())
    return LipSync(
        len(offsets), float(np.median(offsets)), min(offsets), max(offsets), tuple(times), tuple(offsets)
    )


def _tone_level(samples: NDArray[np.int16], hz: float) -> NDArray[np.float64]:
    """Amplitude (of full scale) of the tone in windows of 10 ms, every 1 ms, each from its start."""
    count = (len(samples) // _STEP) * _STEP
    phase = np.exp(-2j * np.pi * hz / RATE * np.arange(count))
    # Sums of 1 ms each, then of ten of them: two passes instead of a filter.
    parts = (samples[:count] / 32768 * phase).reshape(-1, _STEP).sum(axis=1)
    total = np.concatenate([[0], np.cumsum(parts)])
    width = _WINDOW // _STEP
    level: NDArray[np.float64] = 2 * np.abs(total[width:] - total[:-width]) / _WINDOW
    return level
