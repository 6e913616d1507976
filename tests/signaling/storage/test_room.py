"""Whether a message is kept, decided from what is remembered of the database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from signaling.storage import room
from signaling.storage.room import KeptMessage, Room
from signaling.storage.store import Store

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"


def message(number: str = BOB, sender: str = ALICE) -> KeptMessage:
    return KeptMessage(0, number, sender, 0.0, "x")


def test_asked_once_and_again_when_it_would_refuse() -> None:
    known = Room()
    assert known.unsure([message(), message()], 10, 3) == [BOB]
    known.know([BOB], [(BOB, CAROL, 1)])
    assert known.take(message(), 10, 3) and known.take(message(), 10, 3)
    assert known.unsure([message()], 10, 3) == []
    assert known.unsure([message(), message()], 10, 3) == [BOB], "there may be no room for both"
    assert known.take(message(), 10, 3) and not known.take(message(), 10, 3)
    known.know([BOB], [(BOB, ALICE, 1)])  # two were delivered
    assert known.take(message(), 10, 3)
    assert known.unsure([message(sender=CAROL)], 2, 3) == [BOB]


def test_who_is_not_registered_is_asked_for_each_time() -> None:
    known = Room()
    known.know([BOB], [])
    assert known.unsure([message()], 10, 3) == [BOB] and not known.take(message(), 10, 3)
    known.know([BOB], [(BOB, None, 0)])
    assert known.unsure([message()], 10, 3) == [] and known.take(message(), 10, 3)


def test_forgotten_by_the_next_batch_only() -> None:
    known = Room()
    known.know([BOB, CAROL], [(BOB, None, 0), (CAROL, None, 0)])
    assert known.unsure([message()], 10, 3) == []
    known.forget(BOB)
    assert known.take(message(), 10, 3), "the batch that is being kept was told that it may"
    assert known.unsure([message(), message(CAROL)], 10, 3) == [BOB]


def test_it_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST", 2)
    known = Room()
    known.know("abc", [(number, None, 0) for number in "abc"])
    assert known.unsure([message("a")], 10, 3) == ["a"]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(f"sqlite:///{tmp_path / 'x.db'}")
    await store.register_device("r", BOB, "d1", "key", "phone", "hash", 1.0)
    yield store
    await store.close()


async def test_a_batch_of_any_size_is_kept_whole_and_in_order(store: Store) -> None:
    for count in (1, 2, 63, 64, 65, 200):
        batch = [KeptMessage(0, BOB, ALICE, float(n), f"{count}-{n} it's :p1 \u00e9 ?") for n in range(count)]
        ids = await store.keep_messages(batch, 100, 1000, 1000)
        kept = await store.kept_messages(BOB, -1.0, ids[0] - 1, 1000)
        assert [(k.id, k.sender, k.kept, k.stanza) for k in kept] == [
            (id_, m.sender, m.kept, m.stanza) for id_, m in zip(ids, batch, strict=True)
        ]


async def test_what_is_delivered_makes_room(store: Store) -> None:
    ids = await store.keep_messages([message()] * 4, 10, 10, 3)
    assert [id_ > 0 for id_ in ids] == [True, True, True, False]
    assert await store.keep_messages([message()], 10, 10, 3) == [0]
    await store.drop_messages(ids[:2])
    assert [id_ > 0 for id_ in await store.keep_messages([message()] * 3, 10, 10, 3)] == [True, True, False]
    assert [id_ > 0 for id_ in await store.keep_messages([message(sender=CAROL)], 10, 3, 3)] == [False]


async def test_nothing_is_kept_for_whom_the_last_device_was_removed(store: Store) -> None:
    assert (await store.keep_messages([message()], 10, 10, 10))[0] > 0
    await store.delete_device(BOB, "d1")
    assert await store.keep_messages([message()], 10, 10, 10) == [0]
    await store.register_device("r", BOB, "d2", "key", "phone", "hash2", 2.0)
    assert (await store.keep_messages([message()], 10, 10, 10))[0] > 0
