"""Kept messages that a device has: deleted together, a little later. When the server dies before, they are delivered
once more, and clients know them again (protocol.md section 3)."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from itertools import islice

from sqlalchemy.exc import SQLAlchemyError

from signaling.storage.store import Store

DELAY = 0.5
# Sooner, where there are so many: until they are deleted they count for the limits of who sent them.
MANY = 50
# In one statement: databases bound its parameters (SQLite before 3.32: 999).
MOST = 500


class Received:
    """`ids` are to be deleted."""

    def __init__(self, store: Store, on_failure: Callable[[Exception], None]) -> None:
        self._store = store
        self._on_failure = on_failure
        self.ids: set[int] = set()
        self._many = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, ids: Iterable[int]) -> None:
        self.ids.update(ids)
        if len(self.ids) >= MANY:
            self._many.set()
        if self.ids and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._delete_soon())

    async def delete(self) -> None:
        """All of them, now. A store that fails is told; the next that is received has it asked again."""
        self._many.clear()
        try:
            while self.ids:
                ids = list(islice(self.ids, MOST))
                await self._store.drop_messages(ids)
                self.ids.difference_update(ids)
        except SQLAlchemyError as error:
            self._on_failure(error)

    async def _delete_soon(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DELAY):
                await self._many.wait()
        await self.delete()

    async def close(self) -> None:
        """Deletes the rest."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.delete()
