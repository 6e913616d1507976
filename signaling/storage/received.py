"""Kept messages that a device has: deleted together, a little later. When the server dies before, they are delivered
once more, and clients know them again (protocol.md section 3)."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

from sqlalchemy.exc import SQLAlchemyError

from signaling.storage.store import Store

logger = logging.getLogger(__name__)

DELAY = 0.5
# In one statement: databases bound its parameters (SQLite before 3.32: 999).
MOST = 500


class Received:
    """`ids` are to be deleted; whoever has a transaction anyway takes some along: `taken()`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.ids: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, ids: Iterable[int]) -> None:
        self.ids.update(ids)
        if self.ids and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._delete_soon())

    @contextmanager
    def taken(self) -> Iterator[list[int]]:
        """To be deleted inside; where that raises, they stay."""
        ids = list(islice(self.ids, MOST))
        yield ids
        self.ids.difference_update(ids)

    async def delete(self) -> None:
        """All of them, now. A store that fails is logged; the next that is received has it asked again."""
        try:
            while self.ids:
                with self.taken() as ids:
                    await self._store.drop_messages(ids)
        except SQLAlchemyError as error:
            logger.error("the store failed: %s", type(error).__name__)

    async def _delete_soon(self) -> None:
        await asyncio.sleep(DELAY)
        await self.delete()

    async def close(self) -> None:
        """Deletes the rest."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.delete()
