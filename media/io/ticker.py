"""Calls something every 10 ms, after an absolute schedule."""

import asyncio
from collections.abc import Callable

INTERVAL = 0.010
# After a stall of the loop the missed ticks are made up for, so that no sound is skipped; a machine that slept
# begins anew.
GIVE_UP_AFTER = 0.5


class Ticker:
    """Runs `tick(now)` on the running loop until stop()."""

    def __init__(self, tick: Callable[[float], None], *, interval: float = INTERVAL) -> None:
        self._tick = tick
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self.late = 0.0  # by how many seconds the last turn was
        self._handle: asyncio.TimerHandle | None = self._loop.call_at(self._due, self._run)

    def _run(self) -> None:
        now = self._loop.time()
        self.late = now - self._due
        if self.late > GIVE_UP_AFTER:
            self._due = now
        while self._due <= now and self._handle is not None:
            self._due += self._interval
            self._tick(now)
        if self._handle is not None:
            self._handle = self._loop.call_at(self._due, self._run)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
