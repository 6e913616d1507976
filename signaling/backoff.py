"""When to try to reach the server again: exponential, with full jitter, so that thousands do not come at once."""

import random

STEPS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds
# A stream that ends sooner than this after its login was no success: something that comes with each may end them all.
SETTLED_AFTER = 10.0
URGENT_STEPS = (0.0, 0.25, 0.5, 1.0, 2.0)  # while a call runs


def reconnect_delay(failures: int, urgent: bool, rng: random.Random) -> float:
    """Seconds to wait after this many attempts in a row that failed (0: the stream was up and was lost)."""
    steps = URGENT_STEPS if urgent else STEPS
    return rng.uniform(0.0, steps[min(failures, len(steps) - 1)])


class Attempts:
    """How many attempts in a row to have a stream have failed; one that ends at once does not stop the counting."""

    def __init__(self) -> None:
        self._failures = 0
        self._conflicts = 0
        self._short = 0
        self._online_since: float | None = None

    def online(self, now: float) -> None:
        self._online_since = now

    def ended(self, condition: str | None) -> None:
        """The stream error, if the server said one. After `conflict` somebody else has this profile: two that throw
        each other out must not do it at full speed."""
        self._conflicts = self._conflicts + 1 if condition == "conflict" else 0

    def over(self, now: float) -> int:
        """The attempt is over: for reconnect_delay()."""
        since, self._online_since = self._online_since, None
        if since is None:
            self._failures += 1
        else:
            self._short = self._short + 1 if now - since < SETTLED_AFTER else 1
            # Two are nothing unusual: a server is started again.
            self._failures = max(self._conflicts, self._short - 2, 0)
        return self._failures
