"""When a sound card's pulls are due: its own clock, seen through a thread that is sometimes late for its turn.

Which packets are in time is a matter of when pulls are due. One that came a millisecond late by chance makes a delay
look safe that is not: the target would fall at once, and rise again as soon as the next pull is punctual.
"""

WINDOW = 50  # pulls, half a second: so long a grid is kept that no pull meets any more
PAUSE = 0.1  # seconds: later than this is no lateness, the card had stopped


class PullClock:
    """Feed it the time of every pull; it returns when the pull was due, never later than it came."""

    def __init__(self, period: float) -> None:
        self._period = period  # seconds between pulls, by the card's clock
        self._due: float | None = None
        self._least, self._count = PAUSE, 0  # lateness of the pulls of this window

    def pull(self, now: float) -> float:
        late = PAUSE if self._due is None else now - self._due - self._period
        if self._due is None or not 0 <= late < PAUSE:
            self._due = now
            self._least, self._count = PAUSE, 0
            return now
        self._due += self._period
        self._least, self._count = min(self._least, late), self._count + 1
        if self._count == WINDOW:  # the card is slower than its nominal rate, or lost some time
            self._due += self._least
            self._least, self._count = PAUSE, 0
        return self._due
