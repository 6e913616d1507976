"""Address book, findability and block list, with the real client and its commands."""

import asyncio
from typing import Any

import pytest

from signaling.__main__ import main
from signaling.errors import CallNotRegistered, RegistrationError
from signaling.reachability import Findable

ALICE, BOB, CAROL, NOBODY = "+12025550100", "+12025550101", "+12025550102", "+12025550177"


async def test_sync_and_findable(open_client: Any, make_profile: Any, server: Any) -> None:
    await make_profile(CAROL)
    alice, bob = await open_client(ALICE), await open_client(BOB)
    book = [f"+1202{n:07d}" for n in range(2000000, 2001500)]
    assert await alice.account.sync([*book, BOB, CAROL]) == {BOB, CAROL}
    assert await bob.account.findable() is Findable.EVERYBODY
    await bob.account.set_findable(Findable.MUTUAL)
    assert await bob.account.findable() is Findable.MUTUAL
    assert await alice.account.sync([BOB, CAROL]) == {CAROL}
    assert await bob.account.sync([ALICE]) == {ALICE}
    assert await alice.account.sync([BOB]) == {BOB}
    await bob.account.sync([], removed=[ALICE])
    assert await alice.account.sync([BOB]) == set()
    with pytest.raises(RegistrationError, match="at most 5000"):
        await alice.account.sync([f"+1202{n:07d}" for n in range(3000000, 3006000)])


async def test_a_blocked_caller_reaches_nobody(open_client: Any, engine: Any, server: Any) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    await bob.blocks.block(ALICE, NOBODY)
    assert await bob.blocks.numbers() == [ALICE, NOBODY]
    with pytest.raises(CallNotRegistered):
        await alice.call(BOB, engine())
    assert not bob.missed
    await bob.blocks.unblock(ALICE)
    assert await bob.blocks.numbers() == [NOBODY]
    assert await alice.contacts.find(BOB) is not None
    with pytest.raises(ValueError):
        await bob.blocks.unblock()


async def test_commands(make_profile: Any, server: Any, tmp_path: Any, capsys: Any) -> None:
    alice, _ = await make_profile(ALICE), await make_profile(BOB)

    async def run(*arguments: Any) -> list[str]:
        command = [arguments[0], "--profile", str(alice), *map(str, arguments[1:])]
        assert await asyncio.to_thread(main, command) == 0
        return capsys.readouterr().out.splitlines()

    (tmp_path / "book.txt").write_text(f"(202) 555-0101\n{NOBODY}\nmum\n{ALICE}\n")
    assert await run("sync", tmp_path / "book.txt") == [
        BOB,
        "1 of 2 numbers are registered, 1 could not be read.",
    ]
    assert await run("findable", "mutual") == [f"{ALICE} is found by the numbers in its address book."]
    from signaling.storage.store import listings

    store = server.server._context.store
    assert await store.pairs(listings, ALICE) == [BOB]
    (tmp_path / "book.txt").write_text(CAROL)
    await run("sync", "--replace", tmp_path / "book.txt")
    assert await store.pairs(listings, ALICE) == [] and CAROL in alice.read_text()
    assert BOB not in alice.read_text()
    assert await run("findable") == [f"{ALICE} is found by the numbers in its address book."]
    assert await run("block", "(202) 555-0101") == [f"{BOB} is blocked."]
    assert await run("blocked") == [BOB]
    assert await run("unblock", BOB) == [f"{BOB} is not blocked any more."]
    assert await run("blocked") == []
    assert await asyncio.to_thread(main, ["sync", "--profile", str(alice), str(tmp_path / "none")]) == 1
