"""The time by which the server judges what it has stored: when a device was used, how old a message is. Sans-IO.

A host's clock may be wrong at the start (no battery, a year typed in wrong) and may be set right at any moment, by
years and in both directions. Dates in a store outlive that, so they are on a scale of their own. It follows the clock,
but neither over a jump of more than MAX_STEP nor back before what is beyond doubt: nothing passed by that. What is
deleted for good waits for more, for time that the server has run (`confirmed`).
"""

from collections.abc import Callable
from dataclasses import dataclass

# Longer than anything here waits for (a device may be unused for 90 days), or a host sleeps; less than a wrong year.
MAX_STEP = 100 * 86400.0
# So far back it is a correction.
MAX_STEP_BACK = 2 * 3600.0
# What a pause of the server counts for at once, and for how long it must have run before it counts wholly.
MAX_PAUSE = 3600.0
CONFIRMED_AFTER = 86400.0


@dataclass(frozen=True, slots=True)
class ClockState:
    """What outlives a restart: the three times at one moment."""

    wall: float
    now: float
    confirmed: float


class StoreClock:
    """`wall`: Unix seconds, as wrong as the host's clock is. `monotonic`: seconds that only ever pass."""

    def __init__(
        self, wall: Callable[[], float], monotonic: Callable[[], float], state: ClockState | None = None
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._at = self._agreed_since = monotonic()
        self._last_wall = here = wall()
        self._now = self._confirmed = here
        if state is not None:
            pause = here - state.wall
            self._now = state.now + (pause if 0 <= pause <= MAX_STEP else 0.0)
            self._confirmed = state.confirmed + min(max(pause, 0.0), MAX_PAUSE)
            self._follow(here)
        self._lag = self._now - self._confirmed

    def _follow(self, wall: float) -> None:
        # Also back, from a jump that was followed, to what is not beyond doubt yet.
        if self._confirmed - MAX_STEP_BACK <= wall <= self._now + MAX_STEP:
            self._now = wall

    def _look(self) -> None:
        at, self._last_wall = self._monotonic(), self._wall()
        passed, self._at = at - self._at, at
        self._now += passed
        self._confirmed += passed
        self._follow(self._last_wall)
        lag = self._now - self._confirmed
        if abs(lag - self._lag) > MAX_PAUSE:  # the clock was set: that has to last
            self._lag, self._agreed_since = lag, at
        elif at - self._agreed_since >= CONFIRMED_AFTER:
            self._confirmed = self._now
            self._lag, self._agreed_since = 0.0, at

    def now(self) -> float:
        """On the store's scale: Unix seconds, but for the jumps that were left out."""
        self._look()
        return self._now

    def confirmed(self) -> float:
        """What has passed beyond doubt: never ahead of now(), nor of the time that the server has run since a day."""
        self._look()
        return min(self._now, self._confirmed)

    def to_wall(self, at: float) -> float:
        """A time of the store as this host's clock would give it now: for people."""
        self._look()
        return at + self._last_wall - self._now

    def state(self) -> ClockState:
        self._look()
        return ClockState(self._last_wall, self._now, self._confirmed)
