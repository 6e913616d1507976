"""When each step of a call's set-up was reached."""

from collections.abc import Callable


class SetupSteps:
    """Each step once, at its first time; the names are those of media.quality.report.SETUP_STEPS."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.times: dict[str, float] = {}

    def reached(self, step: str) -> None:
        if step not in self.times:
            self.times[step] = self._clock()
