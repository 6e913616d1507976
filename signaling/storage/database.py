"""A transaction as one function, run away from the event loop in one turn.

A turn through another thread costs more than a statement of SQLite, and a driver that takes one for every step of every
statement costs several times what the transaction does.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

T = TypeVar("T")


class Database:
    """`sqlite:///PATH`: one connection in one thread, so transactions queue up here instead of failing with "database
    is locked". Anything else: an asynchronous driver, `postgresql+asyncpg://...`."""

    def __init__(self, url: str) -> None:
        """Raises SQLAlchemyError, ImportError without the driver."""
        self._closed = False
        self._thread: ThreadPoolExecutor | None = None
        self._async: AsyncEngine | None = None
        if not url.startswith("sqlite"):
            self._async = create_async_engine(url, pool_pre_ping=True, hide_parameters=True)
            return
        self._sync = sa.create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)
        self._thread = ThreadPoolExecutor(1, "store")

        @sa.event.listens_for(self._sync, "connect")
        def on_connect(connection: Any, record: Any) -> None:
            # NORMAL with WAL: a power cut may lose the last transactions, and damages nothing.
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """One transaction: all of `work`, or nothing where it raises. What it returns must need no connection.
        Raises SQLAlchemyError, also after close(), and what `work` raises."""
        if self._closed:  # SQLAlchemy would open it again
            raise sa.exc.InvalidRequestError("the database is closed")
        if self._async is not None:
            async with self._async.begin() as db:
                return await db.run_sync(work)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    def _transact(self, work: Callable[[sa.Connection], T]) -> T:
        with self._sync.begin() as db:
            return work(db)

    async def close(self) -> None:
        """May be called twice."""
        self._closed = True
        if self._async is not None:
            await self._async.dispose()
        elif self._thread is not None:
            # The connection is closed by the thread that made it.
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(thread, self._sync.dispose)
            thread.shutdown()
