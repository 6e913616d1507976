"""The clock of a sound device: which sample was due at which time, and how far it drifts.

A device hands over a piece of sound when it has it, plus however long the thread waited for its turn: late, but never
early. So the earliest arrivals of every half second say how the device's clock runs against ours, and a straight
line through them is its rate.
"""

from collections import deque

import numpy as np

SAMPLE_RATE = 48_000
_INTERVAL = 0.5
# The line is drawn through the last half minute: 200 ppm are 6 ms in it, a scheduler's jitter is less.
_INTERVALS = 60
_SETTLED = 4
# Ridge for the slope: an early arrival is certain to half a millisecond, an ordinary crystal to 100 ppm
# (IEEE 1588 and AES11 assume no worse). The prior counts in the first seconds only.
_RIDGE = (0.0005 / 100e-6) ** 2
# The device stopped, or the machine slept: what was known of its offset is void.
_BREAK = 0.25


class SampleClock:
    """Fed with observe(now, position); position counts the samples handed over so far."""

    def __init__(self, sample_rate: int = SAMPLE_RATE) -> None:
        self._rate = sample_rate
        self._earliest: deque[tuple[float, float]] = deque(maxlen=_INTERVALS)
        self._current: tuple[float, float] | None = None  # time, lateness of this interval's earliest
        self._interval_end = 0.0
        self._centre = 0.0  # the line: lateness = offset + slope * (time - centre)
        self._offset = 0.0
        self._slope = 0.0
        self.breaks = 0

    @property
    def running(self) -> bool:
        return self._current is not None

    @property
    def settled(self) -> bool:
        """False in the first seconds, while the offset is still found."""
        return len(self._earliest) >= _SETTLED

    @property
    def drift_ppm(self) -> float:
        """How much faster than nominal the device runs."""
        return -self._slope * 1e6

    @property
    def rate(self) -> float:
        """Samples a second."""
        return self._rate / (1 + self._slope)

    def observe(self, now: float, position: int) -> None:
        """At `now` (seconds) `position` samples had been handed over."""
        lateness = now - position / self._rate
        if self._current is not None and abs(lateness - self._expected(now)) > _BREAK:
            self._restart()
        if self._current is None:
            self._current = (now, lateness)
            self._interval_end = now + _INTERVAL
            self._centre, self._offset = now, lateness
        if lateness - self._slope * (now - self._current[0]) < self._current[1]:
            self._current = (now, lateness)
            if len(self._earliest) < 2:
                # Nothing to draw a line through yet: the offset is the earliest so far.
                self._offset = min(self._offset, lateness - self._slope * (now - self._centre))
        if now >= self._interval_end:
            self._earliest.append(self._current)
            self._draw()
            self._current = (now, lateness)
            self._interval_end = now + _INTERVAL

    def position_at(self, time: float) -> float:
        """Which sample was due at `time`."""
        return (time - self._expected(time)) * self._rate

    def time_at(self, position: float) -> float:
        """When the sample at `position` was due, at the earliest."""
        base = position / self._rate
        return (base + self._offset - self._slope * self._centre) / (1 - self._slope)

    def _expected(self, time: float) -> float:
        return self._offset + self._slope * (time - self._centre)

    def _draw(self) -> None:
        if len(self._earliest) < 2:
            return
        times, lateness = np.array(self._earliest).T
        self._centre = float(times.mean())
        self._offset = float(lateness.mean())
        spread = times - self._centre
        self._slope = float(spread @ lateness / (spread @ spread + _RIDGE))

    def _restart(self) -> None:
        """Begin anew, but keep the rate: the crystal is the same."""
        self.breaks += 1
        self._earliest.clear()
        self._current = None
