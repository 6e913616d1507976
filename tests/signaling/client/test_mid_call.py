"""Changes in a running call, said by a peer that knows no manners."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signaling.client import Client
from signaling.client.websocket import StanzaError
from signaling.jingle.content import Action, Content, Jingle, SessionDescription
from signaling.jingle.info import Info, InfoKind
from signaling.jingle.transport import Fingerprint, Transport

ALICE, BOB = "+12025550100", "+12025550101"


@pytest.fixture
async def pair(open_client: Callable[..., Awaitable[Client]], connected: Any) -> Any:
    return await connected(await open_client(ALICE), await open_client(BOB))


async def until(call: Any, name: str) -> Any:
    async with asyncio.timeout(5):
        async for event in call.events():
            if event.name == name:
                return event
    raise AssertionError(f"ended without {name}")


async def test_mute_and_hold_are_told(pair: Any) -> None:
    ours, theirs = pair
    await ours.mute()
    assert (await until(theirs, "muted")).by_peer
    await ours.hold()
    await until(theirs, "held")
    await ours.hold(False)
    await until(theirs, "resumed")
    await ours.mute(False)
    await until(theirs, "unmuted")


async def test_another_fingerprint_is_refused(pair: Any) -> None:
    ours, theirs = pair
    audio = ours.local.contents[0]
    forged = Fingerprint("sha-256", ":".join(["AB"] * 32))
    bad = Content("9", Transport("ufrag", "p" * 22, (forged,), "actpass"), audio.description)
    before = theirs.engine.engine.log[:]
    await ours.ask_jingle(Jingle(Action.CONTENT_ADD, ours.sid, SessionDescription((bad,))))
    await until(theirs, "content-rejected")
    assert theirs.engine.engine.log == before  # the engine never saw it
    assert theirs.media == ("audio",) and theirs.state == "connected"


@pytest.mark.parametrize("action", [Action.CONTENT_MODIFY, Action.CONTENT_REMOVE])
async def test_unknown_names(pair: Any, action: Action) -> None:
    ours, theirs = pair
    unknown = SessionDescription((Content("77", Transport()),))
    with pytest.raises(StanzaError, match="not understood"):
        await ours.ask_jingle(Jingle(action, ours.sid, unknown))
    with pytest.raises(StanzaError, match="no such content"):
        info = Jingle(Action.SESSION_INFO, ours.sid, infos=(Info(InfoKind.MUTE, "77"),))
        await ours.ask_jingle(info)
    assert theirs.state == "connected"


async def test_a_flood_of_changes_is_refused(pair: Any) -> None:
    ours, theirs = pair
    unknown = Jingle(Action.CONTENT_REMOVE, ours.sid, SessionDescription((Content("77", Transport()),)))
    asked = [ours.ask_jingle(unknown) for _ in range(30)]
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [a.info.condition for a in answers].count("resource-constraint") >= 15
    assert theirs.state == "connected"


async def test_answers_to_nothing_are_out_of_order(pair: Any) -> None:
    ours, theirs = pair
    said = Jingle(Action.CONTENT_ACCEPT, theirs.sid, SessionDescription(theirs.local.contents))
    with pytest.raises(StanzaError):
        await theirs.ask_jingle(said)
    assert ours.state == "connected"
