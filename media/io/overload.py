"""Whether this process has more to do than there is time for: its loop is late, or busy for most of its time."""

import time
from collections import deque

SAMPLES = 3  # told once a second: one pause of a machine is no overload
LATE = 0.020  # seconds: by then a frame of sound waits for the one before it
# Share of its time for which the loop's thread has the processor. The sound card's thread wants the interpreter, too;
# what comes at once waits for each other: where both took 0.87 of a core, 1 % of the sound was 41 ms late (measured).
BUSY = 0.75
PAUSE, PAUSE_MAX = 10.0, 160.0  # seconds without too much until more is tried again
SOON = 30.0  # overloaded again within this: more was too much, the next try comes later


class Overload:
    """Tell it about once a second how late a timer was, and how busy the loop's thread.

    Each call asks for itself: the first ones that find too much to do make room for the others.
    """

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=SAMPLES)
        self._much_at = self._relieved_at = float("-inf")
        self._pause = PAUSE
        self.now = False  # the answer

    def tell(self, late: float, busy: float, now: float) -> bool:
        """Whether there is too much to do. `late` in seconds, `busy` 0 to 1."""
        much = late > LATE or busy > BUSY
        self._last.append(much)
        if much:
            self._much_at = now
        if not self.now:
            self.now = len(self._last) == SAMPLES and all(self._last)
            if self.now:
                soon = now - self._relieved_at < SOON
                self._pause = min(PAUSE_MAX, 2 * self._pause) if soon else PAUSE
        elif now - self._much_at > self._pause:
            self.now, self._relieved_at = False, now
        return self.now


class ThreadLoad:
    """How busy the thread is that asks."""

    def __init__(self) -> None:
        self._used, self._asked = 0.0, float("inf")

    def since_last(self, now: float) -> float:
        """Share of the time since it was asked last, 0 to 1; 0 the first time."""
        used = time.thread_time()
        passed = now - self._asked
        share = (used - self._used) / passed if passed > 0 else 0.0
        self._used, self._asked = used, now
        return share
