"""Calls between two clients through the real server, with engines that carry no media."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signaling.client import Client
from signaling.errors import CallRejected

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"

Open = Callable[..., Awaitable[Client]]
Engine = Callable[..., Any]


@pytest.fixture(autouse=True)
def patience() -> Any:
    return None


async def test_a_call(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    one, two = engine(), engine()
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, one))
        incoming = await bob.next_incoming()
        assert (incoming.number, incoming.media, incoming.known) == (ALICE, ("audio",), False)
        theirs = await incoming.accept(two)
        ours = await calling
        assert ours.sid == theirs.sid
        assert ours.state == theirs.state == "connected"
        assert ours.trust == theirs.trust == "not verified"
        await ours.hang_up()
        assert await theirs.ended() == "hung_up"
    assert ours.end_reason == "hung_up"
    assert one.log == ["configure", "create_offer", "set_answer", "close"]
    assert two.log == ["configure", "create_answer", "close"]
    moments = ["asked", "ringing", "accepted", "session_initiate", "session_accept", "connected", "ended"]
    times = [ours.timings[name] for name in moments]
    assert None not in times and times == sorted(times)  # type: ignore[type-var]


async def test_declined(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    one = engine()
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, one))
        incoming = await bob.next_incoming()
        await incoming.reject("decline")
        with pytest.raises(CallRejected) as rejected:
            await calling
    assert rejected.value.reason == "decline"
    assert one.log[-1] == "close"
