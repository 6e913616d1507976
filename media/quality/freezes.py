"""Freezes as the W3C counts them (webrtc-stats, freezeCount)."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

# A freeze is an interval of at least max(3 x mean, mean + 150 ms), the mean over the last 30 intervals, itself
# included, and not before there are 5 (libwebrtc, VideoQualityObserver).
WINDOW = 30
MIN_INTERVALS = 5
FACTOR = 3.0
INCREASE = 0.150  # seconds


@dataclass(frozen=True, slots=True)
class Freeze:
    """`start`: when the picture that stood still had been shown; `duration` until the next one. Seconds."""

    start: float
    duration: float


class FreezeCounter:
    """Told of every picture that is shown; counts like freezeCount, totalFreezesDuration and their relatives."""

    def __init__(self) -> None:
        self.frames = 0
        self.count = 0
        self.total = 0.0  # seconds frozen
        self.total_interval = 0.0  # totalInterFrameDelay, seconds
        self.total_squared_interval = 0.0  # totalSquaredInterFrameDelay, seconds squared
        self._last: float | None = None
        self._recent: deque[float] = deque(maxlen=WINDOW)

    def shown(self, at: float) -> Freeze | None:
        """A picture is shown at this time (seconds); the freeze that it ends, if there was one."""
        last, self._last = self._last, at
        self.frames += 1
        if last is None:
            return None
        interval = max(0.0, at - last)
        self.total_interval += interval
        self.total_squared_interval += interval**2
        self._recent.append(interval)
        return self._judge(last, interval)

    def ended(self, at: float) -> Freeze | None:
        """The call ends; the freeze that is still on, if there is one. Not in the W3C's count, but seen."""
        if self._last is None:
            return None
        last, self._last = self._last, None
        interval = at - last
        self._recent.append(interval)
        return self._judge(last, interval)

    def paused(self) -> None:
        """The sender has switched its picture off: the time until the next one is no freeze."""
        self._last = None

    def _judge(self, last: float, interval: float) -> Freeze | None:
        if len(self._recent) < MIN_INTERVALS:
            return None
        mean = sum(self._recent) / len(self._recent)
        if interval < max(FACTOR * mean, mean + INCREASE):
            return None
        self.count += 1
        self.total += interval
        return Freeze(last, interval)


def find_freezes(shown: Iterable[float], end: float | None = None) -> list[Freeze]:
    """The freezes among pictures shown at these times (rising, seconds); `end`: of the call, or None."""
    counter = FreezeCounter()
    found = [counter.shown(at) for at in shown]
    if end is not None:
        found.append(counter.ended(end))
    return [freeze for freeze in found if freeze is not None]
