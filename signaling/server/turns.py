"""How much of the loop strangers get. All that is done for somebody before the login waits for a turn here: to read
what has come, to begin a request, to look at a token.

In each turn of the loop few of them have theirs, sites and addresses and connections one after the other (fairness.py);
then the loop goes round for everybody else. So whoever floods waits for itself, and a stanza of somebody who is logged
in waits for a few milliseconds at most. Nobody is refused, and where nobody else wants anything nobody waits.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from signaling.fairness import FairQueue, Path

# In one turn of the loop: so many turns of strangers, and no further one after so many seconds. To read a connection,
# or to begin a request, takes 0.05 to 0.3 ms.
AT_ONCE = 6
SLICE = 0.0015
# Turns of the loop until what they began has been done: a task, its inner task, what these wake.
LAPS = 3
# Requests that are under way at the same time, for the store has one thread that all share; and for how long one
# counts, since some wait for something else (an SMS gateway).
UNDER_WAY = 6
COUNTS_FOR = 0.1


class _UnderWay:
    """Ends once, whatever comes first."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end: Callable[[], None] | None = on_end

    def end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()


class Turns:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: FairQueue[Callable[[], None]] = FairQueue()
        self._requests: FairQueue[asyncio.Future[None]] = FairQueue()
        self._under_way = 0
        self._is_scheduled = False

    def ask(self, call: Callable[[], None], path: Path) -> None:
        """`call` is called when it is its turn."""
        self._calls.push(call, path)
        self._schedule()

    def discard(self, call: Callable[[], None]) -> None:
        """It is not to be called any more."""
        self._calls.discard(call)

    @asynccontextmanager
    async def request(self, path: Path) -> AsyncIterator[None]:
        """Waits for the turn of something that may need the store; what is inside counts as under way."""
        turn = self._loop.create_future()
        self._requests.push(turn, path)
        self._schedule()
        try:
            await turn
        except asyncio.CancelledError:
            self._requests.discard(turn)
            if turn.done() and not turn.cancelled():
                self._release()
            raise
        under_way = _UnderWay(self._release)
        timer = self._loop.call_later(COUNTS_FOR, under_way.end)
        try:
            yield
        finally:
            timer.cancel()
            under_way.end()

    def _release(self) -> None:
        self._under_way -= 1
        self._schedule()

    @property
    def _can_begin(self) -> bool:
        return bool(len(self._requests)) and self._under_way < UNDER_WAY

    def _schedule(self) -> None:
        if not self._is_scheduled and (len(self._calls) or self._can_begin):
            self._is_scheduled = True
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        try:
            until = time.perf_counter() + SLICE
            for n in range(AT_ONCE):
                if self._can_begin and (n % 2 or not len(self._calls)):
                    turn = self._requests.pop()
                    if not turn.done():
                        self._under_way += 1
                        turn.set_result(None)
                elif len(self._calls):
                    self._calls.pop()()
                if time.perf_counter() >= until:
                    break
        finally:
            self._lap(LAPS)

    def _lap(self, left: int) -> None:
        if left:
            self._loop.call_soon(self._lap, left - 1)
        else:
            self._is_scheduled = False
            self._schedule()
