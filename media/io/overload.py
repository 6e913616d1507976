"""Whether this process has more to do than there is time for, from how late the turns of its loop are."""

from collections import deque

SAMPLES = 3  # told once a second: one pause of a machine is no overload
LATE = 0.020  # seconds: by then a frame of sound waits for the one before it
PAUSE, PAUSE_MAX = 10.0, 160.0  # seconds without a late turn until more is tried again
SOON = 30.0  # overloaded again within this: more was too much, the next try comes later


class Overload:
    """Tell it how late a timer was, about once a second."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=SAMPLES)
        self._late_at = self._relieved_at = float("-inf")
        self._pause = PAUSE
        self.now = False  # the answer

    def tell(self, late: float, now: float) -> bool:
        """Whether there is too much to do. `late` in seconds."""
        self._last.append(late)
        if late > LATE:
            self._late_at = now
        if not self.now:
            self.now = len(self._last) == SAMPLES and min(self._last) > LATE
            if self.now:
                soon = now - self._relieved_at < SOON
                self._pause = min(PAUSE_MAX, 2 * self._pause) if soon else PAUSE
        elif now - self._late_at > self._pause:
            self.now, self._relieved_at = False, now
        return self.now
