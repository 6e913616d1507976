"""A transaction as one function, run away from the event loop in one turn.

A turn through another thread costs more than a statement of SQLite, and a driver that takes one for every step of every
statement costs several times what the transaction does.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

T = TypeVar("T")

# Seconds for a connection to a database server, and for a transaction. Nobody waits longer for one that is gone: the
# network may swallow packets for minutes without a word.
CONNECT_TIMEOUT = 3.0
RUN_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0


class DatabaseAway(SQLAlchemyError):
    """The database server cannot be reached, or does not answer."""


class Database:
    """`sqlite:///PATH`: one connection in one thread, so transactions queue up here instead of failing with "database
    is locked". Anything else: an asynchronous driver, `postgresql+asyncpg://...`."""

    def __init__(self, url: str) -> None:
        """Raises SQLAlchemyError, ImportError without the driver."""
        self._closed = False
        self._thread: ThreadPoolExecutor | None = None
        self._async: AsyncEngine | None = None
        if not url.startswith("sqlite"):
            options = {"connect_args": {"timeout": CONNECT_TIMEOUT}, "pool_timeout": RUN_TIMEOUT}
            self._async = create_async_engine(url, pool_pre_ping=True, hide_parameters=True, **options)
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
        return await self._run(work, RUN_TIMEOUT)

    async def run_long(self, work: Callable[[sa.Connection], T]) -> T:
        """As run(), for what may take a database server minutes: a migration."""
        return await self._run(work, None)

    async def _run(self, work: Callable[[sa.Connection], T], timeout: float | None) -> T:
        if self._closed:  # SQLAlchemy would open it again
            raise sa.exc.InvalidRequestError("the database is closed")
        if self._async is not None:
            try:
                async with asyncio.timeout(timeout):
                    return await self._run_async(self._async, work)
            except OSError as error:  # TimeoutError is one
                raise DatabaseAway(f"the database is away ({type(error).__name__})") from None
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    async def _run_async(self, engine: AsyncEngine, work: Callable[[sa.Connection], T]) -> T:
        try:
            db = await engine.connect()
        except SQLAlchemyError:
            raise
        except Exception as error:
            # What the driver says of a server that starts, stops or is full comes as an error of its own.
            raise DatabaseAway(f"the database is away ({type(error).__name__})") from None
        try:
            async with db.begin():
                return await db.run_sync(work)
        finally:
            await db.close()

    def _transact(self, work: Callable[[sa.Connection], T]) -> T:
        with self._sync.begin() as db:
            return work(db)

    async def close(self) -> None:
        """May be called twice."""
        self._closed = True
        if self._async is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self._async.dispose()
            except (OSError, SQLAlchemyError):
                await self._async.dispose(close=False)  # there is nobody to say goodbye to
        elif self._thread is not None:
            # The connection is closed by the thread that made it.
            thread, self._thread = self._thread, None
            await asyncio.get_running_loop().run_in_executor(thread, self._sync.dispose)
            thread.shutdown()
