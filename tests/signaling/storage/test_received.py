"""What a device has is deleted: after a while, sooner where it is much, or at the end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from signaling.counters import Counters
from signaling.storage.received import Received
from signaling.storage.room import KeptMessage
from signaling.storage.store import Store, messages

BOB = "+12025550101"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path / 'x.db'}")
    await store.register_device("r", BOB, "d1", "key", "phone", "hash", 1.0)
    yield store
    await store.close()


async def keep(store: Store) -> int:
    message = KeptMessage(0, BOB, "+12025550100", 2.0, "<message/>")
    (id_,) = await store.keep_messages([message], 100, 100, 100)
    return id_


async def ids(store: Store) -> list[int]:
    query = sa.select(messages.c.id).order_by(messages.c.id)
    return await store.database.run(lambda db: list(db.scalars(query)))


async def test_many_go_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.storage.received.DELAY", 1e9)
    monkeypatch.setattr("signaling.storage.received.MANY", 3)
    received = Received(store, Counters().store_failed)
    for _ in range(2):  # and again when the first have gone
        received.add([await keep(store), await keep(store)])
        assert received._task is not None and len(received.ids) == 2
        received.add([await keep(store)])
        await received._task
        assert await ids(store) == []
    await received.close()


async def test_they_go_after_a_while(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.storage.received.DELAY", 0.0)
    received = Received(store, Counters().store_failed)
    received.add([await keep(store)])
    assert received._task is not None
    await received._task
    assert await ids(store) == [] and not received.ids
    await received.close()


async def test_very_many_go_in_several_statements(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.storage.received.MOST", 2)
    received, drop, sizes = Received(store, Counters().store_failed), store.drop_messages, list[int]()

    async def note(some: list[int]) -> None:
        sizes.append(len(some))
        await drop(some)

    monkeypatch.setattr(store, "drop_messages", note)
    received.add([await keep(store) for _ in range(5)])
    await received.close()
    assert await ids(store) == [] and sizes == [2, 2, 1]


async def test_a_store_that_fails_is_asked_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.storage.received.DELAY", 0.0)

    async def fails(ids: list[int]) -> None:
        raise sa.exc.OperationalError("DELETE", {}, OSError("full"))

    received = Received(store, Counters().store_failed)
    first, second = await keep(store), await keep(store)
    with monkeypatch.context() as broken:
        broken.setattr(store, "drop_messages", fails)
        received.add([first])
        assert received._task is not None
        await received._task
    assert await ids(store) == [first, second]
    received.add([second])
    await received._task
    assert await ids(store) == []
    await received.close()


async def test_a_transaction_is_whole_or_nothing(store: Store) -> None:
    def work(db: sa.Connection) -> None:
        db.execute(sa.delete(messages))
        raise ValueError("no")

    kept = await keep(store)
    with pytest.raises(ValueError, match="no"):
        await store.database.run(work)
    assert await ids(store) == [kept]


async def test_an_id_that_was_delivered_after_a_restart_does_not_come_again(
    store: Store, tmp_path: Path
) -> None:
    """Else the new message counts as one that was delivered and is to be deleted: acknowledged, and lost."""
    last = [await keep(store) for _ in range(3)][-1]
    restarted = await Store.open(f"sqlite:///{tmp_path / 'x.db'}")
    await restarted.drop_messages(await ids(restarted))
    assert await keep(restarted) > last
    await restarted.close()
