"""Group commit: what many connections ask of the store at the same time goes into one transaction."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST = 200
# Where two came during a transaction more are coming: so long is waited for them. With 100 calls a second that saves a
# fifth of what they cost, and the slowest are sooner (make bench-signaling); who is alone does not wait.
GATHER = 0.002


class Batch(Generic[T, R]):
    """Items keep their order. One task commits while there are any: nobody who waits has to wake the next."""

    def __init__(self, commit: Callable[[list[T]], Awaitable[list[R]]]) -> None:
        """`commit` gets at most 200 items and returns as many results; what it raises, everybody gets."""
        self._commit = commit
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: T) -> R:
        """What `commit` has returned for this item. Whoever is cancelled here is committed all the same."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._commit_all())
        return await answer

    async def close(self) -> None:
        """Waits until everything is committed."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                await self._run([self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))])
                if len(self._waiting) > 1:
                    await asyncio.sleep(GATHER)
        finally:
            self._task = None
            for _, answer in self._waiting:  # we were cancelled
                answer.cancel()
            self._waiting.clear()

    async def _run(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._commit([item for item, _ in batch])
        except BaseException as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(
                        error if isinstance(error, Exception) else ConnectionError("cancelled")
                    )
                    answer.exception()  # who is gone misses nothing
            if not isinstance(error, Exception):
                raise
        else:
            for (_, answer), result in zip(batch, results, strict=True):
                if not answer.done():  # who is gone misses nothing
                    answer.set_result(result)
