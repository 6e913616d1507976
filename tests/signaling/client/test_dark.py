"""Thirty seconds without network at each step of a call: nothing hangs, both sides agree, the next call succeeds.

In virtual time: the loop's clock jumps over the time in which nothing happens on any socket or in the store.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from signaling.client import Client
from signaling.errors import SignalingError
from signaling.storage.database import Database
from signaling.xml import PING, Element, element

ALICE, BOB = "+12025550100", "+12025550101"
DARK = 30.0
QUIET = 0.06  # seconds of real silence


@pytest.fixture(autouse=True)
async def jumping_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    loop: Any = asyncio.get_running_loop()
    really, skipped = loop._selector.select, 0.0
    run, at_work = Database.run, 0

    async def counted(database: Database, work: Any) -> Any:
        nonlocal at_work
        at_work += 1
        try:
            return await run(database, work)
        finally:
            at_work -= 1

    def select(timeout: float | None = None) -> Any:
        nonlocal skipped
        events = really(timeout if timeout is None else min(timeout, QUIET))
        if not events and timeout is not None and timeout > QUIET and not at_work:
            skipped += timeout - QUIET
        return events

    monkeypatch.setattr(Database, "run", counted)
    # Looked at less often, or most of the thirty seconds would be looks at it.
    monkeypatch.setattr("signaling.client.address_watch.INTERVAL", 5.0)
    monkeypatch.setattr(loop._selector, "select", select)
    monkeypatch.setattr(loop, "time", lambda: time.monotonic() + skipped)


def goes_dark_at(between: Any, step: str) -> None:
    """The first stanza that says `step` is the first that does not get through."""

    def tamper(stanza: Element, to_client: bool) -> Element:
        said = {node.get("action") or node.tag.rpartition("}")[2] for node in stanza}
        if step in said:
            between.tamper = lambda stanza, to_client: stanza
            between.lit.clear()
            asyncio.get_running_loop().call_later(DARK, between.lit.set)
        return stanza

    between.tamper = tamper


async def outcome(call: Any) -> str:
    return f"ended: {call.end_reason}" if call.is_over else str(call.state)


STEPS = ["propose", "ringing", "proceed", "session-initiate", "session-accept", "transport-info", "finish"]


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
async def test_dark_at(
    open_client: Any, between: Any, engine: Callable[..., Any], connected: Any, step: str
) -> None:
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB)
    began = asyncio.get_running_loop().time()
    seen: dict[str, str] = {}

    async def calling(client: Client) -> None:
        try:
            call = await client.call(BOB, engine())
            if step == "finish":
                await call.hang_up()
            seen["caller"] = await outcome(call)
        except SignalingError as error:
            seen["caller"] = type(error).__name__

    async def answering() -> None:
        incoming = await bob.next_incoming()
        try:
            call = await incoming.accept(engine())
            if step == "finish":
                await call.ended()
            seen["callee"] = await outcome(call)
        except SignalingError as error:
            seen["callee"] = type(error).__name__

    goes_dark_at(between, step)
    answer = asyncio.create_task(answering())
    async with asyncio.timeout(60):
        await calling(alice)
        await between.lit.wait()
    # What is left over says so, and ends, within what the protocol's timers allow.
    async with asyncio.timeout(90):
        for client in (alice, bob):  # what was held back has come through after this
            await client.wait_online()
            await client._connection.ask("get", element(PING, "ping"), None)
        while len({bool(alice._dispatch.calls), bool(bob._dispatch.calls)}) > 1:
            await asyncio.wait([asyncio.create_task(c.ended()) for c in _calls(alice, bob)], timeout=1)
    assert asyncio.get_running_loop().time() - began > DARK, "it was dark"
    alive = [str(call.state) for call in _calls(alice, bob)]
    assert alive in ([], ["connected", "connected"]), (alive, seen)
    for call in _calls(alice, bob):
        await call.hang_up()
    answer.cancel()
    await asyncio.wait([answer])
    ours, theirs = await connected(alice, bob)
    assert ours.state == theirs.state == "connected"
    await ours.hang_up()
    assert await theirs.ended() == "hung_up"


def _calls(*clients: Client) -> list[Any]:
    return [call for client in clients for call in client._dispatch.calls.values()]


async def test_a_connected_call_outlives_it_and_what_was_said_meanwhile_arrives(
    open_client: Any, between: Any, connected: Any
) -> None:
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    between.lit.clear()
    loop = asyncio.get_running_loop()
    loop.call_later(DARK, between.lit.set)
    muted = asyncio.create_task(ours.mute())
    async with asyncio.timeout(120):
        await between.lit.wait()
        await muted
        while not any(event.name == "muted" and event.by_peer for event in theirs.history):
            await asyncio.wait([asyncio.create_task(alice.wait_online())])
            await asyncio.sleep(0)
    assert ours.state == theirs.state == "connected"
    await ours.hang_up()
    assert await theirs.ended() == "hung_up"
