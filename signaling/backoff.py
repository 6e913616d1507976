"""When to try to reach the server again: exponential, with full jitter, so that thousands do not come at once."""

import random

STEPS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds
URGENT_STEPS = (0.0, 0.25, 0.5, 1.0, 2.0)  # while a call runs


def reconnect_delay(failures: int, urgent: bool, rng: random.Random) -> float:
    """Seconds to wait after this many attempts in a row that failed (0: the stream was up and was lost)."""
    steps = URGENT_STEPS if urgent else STEPS
    return rng.uniform(0.0, steps[min(failures, len(steps) - 1)])
