"""Group commit: what many connections ask of the store at the same time goes into one transaction."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST = 200


class Batch(Generic[T, R]):
    """Whoever comes first commits for all who wait; no task of its own. Items keep their order."""

    def __init__(self, commit: Callable[[list[T]], Awaitable[list[R]]]) -> None:
        """`commit` gets at most 200 items and returns as many results; what it raises, everybody gets."""
        self._commit = commit
        self._lock = asyncio.Lock()
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()

    async def add(self, item: T) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        async with self._lock:
            while not answer.done():
                await self._run([self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))])
        return await answer

    async def _run(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._commit([item for item, _ in batch])
        except BaseException as error:
            for _, answer in batch:
                answer.set_exception(error if isinstance(error, Exception) else ConnectionError("cancelled"))
                answer.exception()  # who is gone misses nothing
            if not isinstance(error, Exception):
                raise
        else:
            for (_, answer), result in zip(batch, results, strict=True):
                answer.set_result(result)
