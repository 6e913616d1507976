"""A transaction at a time, all of it or nothing, and nothing after the end."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from signaling.storage.database import Database


async def test_a_transaction_that_raises_leaves_nothing_and_a_closed_database_stays_closed(
    tmp_path: Path,
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")

    def half(db: sa.Connection) -> None:
        db.execute(sa.text("INSERT INTO t VALUES (1)"))
        raise ValueError

    await database.run(lambda db: db.execute(sa.text("CREATE TABLE t (n)")).close())
    with pytest.raises(ValueError):
        await database.run(half)
    assert await database.run(lambda db: db.scalar(sa.text("SELECT count(*) FROM t"))) == 0
    await database.close()
    await database.close()
    with pytest.raises(sa.exc.SQLAlchemyError, match="closed"):
        await database.run(lambda db: db.scalar(sa.text("SELECT 1")))


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...


async def talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def start_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As PostgreSQL while it starts or stops: SQLSTATE 57P03."""
    await reader.read(1024)
    writer.write(b"N")  # no TLS
    await reader.read(1024)
    fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
    writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)


@pytest.mark.parametrize("answer", [None, refuse, say_nothing, talk_nonsense, start_up])
async def test_a_database_server_that_is_away_is_an_error_of_the_store_and_soon(
    answer: Callable[..., Awaitable[None]] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("asyncpg")
    monkeypatch.setattr("signaling.storage.database.CONNECT_TIMEOUT", 0.1)
    monkeypatch.setattr("signaling.storage.database.RUN_TIMEOUT", 0.2)
    over, tasks = asyncio.Event(), list[asyncio.Task[object] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        if answer is not None:
            await answer(reader, writer)
        await over.wait()
        writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    if answer is None:
        listener.close()
    database = Database(f"postgresql+asyncpg://u:secret@127.0.0.1:{port}/x")
    async with asyncio.timeout(5):
        for _ in range(2):
            with pytest.raises(sa.exc.SQLAlchemyError) as error:
                await database.run(lambda db: db.scalar(sa.text("SELECT 1")))
            assert "secret" not in str(error.value)
        await database.close()
    over.set()
    await asyncio.gather(*(task for task in tasks if task is not None))
    listener.close()
