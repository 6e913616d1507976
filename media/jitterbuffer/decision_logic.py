"""Whether the next frame is played as it is, shorter or longer.

`error` is how much later than the target a frame is about to be played. Small errors are left alone, since every
join costs a little quality; large ones are worked off faster the larger they are.
"""

from enum import Enum, auto


class Operation(Enum):
    NORMAL = auto()
    ACCELERATE = auto()
    PREEMPTIVE_EXPAND = auto()


# error above which speech is shortened, and the least time between two joins: small backlogs are not hurried
_QUIET_ONLY = 2.0  # a correlation that no speech has: only pauses are shortened
_ACCELERATE = ((0.200, 0.0, 0.4), (0.100, 0.020, 0.6), (0.040, 0.040, 0.7), (0.0005, 0.0, _QUIET_ONLY))
# A sample too early is a pull too early: what arrives before the pull that was chosen is missed at the one before.
EXPAND_ABOVE = 0.5 / 48_000
IMPATIENCE_PER_S = 1.0
_EXPAND = ((0.030, 0.020, 0.6), (EXPAND_ABOVE, 0.040, 0.75))


class DecisionLogic:
    """Chooses an operation a frame, with the correlation that a join must have."""

    def __init__(self) -> None:
        self._last_join = -1.0
        self._short_since = 0.0  # since when playout is earlier than its target

    def decide(self, error: float, now: float) -> tuple[Operation, float]:
        """-> (operation, least correlation). `error` in seconds, positive when playout is later than its target."""
        if error > -EXPAND_ABOVE:
            self._short_since = now
        table, operation = (
            (_ACCELERATE, Operation.ACCELERATE) if error > 0 else (_EXPAND, Operation.PREEMPTIVE_EXPAND)
        )
        for threshold, pause, correlation in table:
            if abs(error) > threshold:
                if now - self._last_join >= pause:
                    if operation is Operation.PREEMPTIVE_EXPAND:
                        # What cannot be joined well is joined all the same before packets come too late for long.
                        correlation -= IMPATIENCE_PER_S * (now - self._short_since)
                    return operation, correlation
                break
        return Operation.NORMAL, 0.0

    def joined(self, now: float) -> None:
        """A join was really made."""
        self._last_join = now
