"""A server, or who sends through it, that says what this client cannot read: passed over, answered, never a loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signaling import stanza as st
from signaling.client import Client
from signaling.client.websocket import StanzaError
from signaling.errors import ServerUnreachable, StanzaTooLarge
from signaling.jid import Jid
from signaling.xml import CLIENT, PING, Element, element, is_named

ALICE, BOB = "+12025550100", "+12025550101"
Open = Callable[..., Awaitable[Client]]


def swell(stanza: Element) -> Element:
    """More elements than anybody reads."""
    stanza.extend(element("urn:x", "a") for _ in range(2001))
    return stanza


async def test_a_message_that_cannot_be_read_is_passed_over(between: Any, open_client: Open) -> None:
    bob = await open_client(BOB, between.url)
    alice = await open_client(ALICE, between.url)
    between.tamper = lambda stanza, to_client: (
        swell(stanza) if to_client and is_named(stanza, CLIENT, "message") else stanza
    )
    for number in range(3):
        hint = element("urn:xmpp:hints", "store")
        assert alice._connection.send(st.message(Jid(BOB, "calls.example"), hint, id=f"m{number}"))
    for client in (alice, bob, bob):
        await client._connection.ask("get", element(PING, "ping"), None)
    assert bob._connection.logins == alice._connection.logins == 1
    assert bob._connection._management is not None and bob._connection._management.handled >= 3


async def test_an_answer_that_cannot_be_read_is_an_error_at_once(between: Any, open_client: Open) -> None:
    alice = await open_client(ALICE, between.url)
    between.tamper = lambda stanza, to_client: (
        swell(stanza) if to_client and stanza.get("type") == "result" else stanza
    )
    async with asyncio.timeout(5):
        with pytest.raises(StanzaError) as error:
            await alice._connection.ask("get", element(PING, "ping"), None)
    assert error.value.info.condition == "not-acceptable" and alice._connection.logins == 1


async def test_a_question_that_cannot_be_read_is_answered(between: Any, open_client: Open) -> None:
    bob, alice = await open_client(BOB, between.url), await open_client(ALICE, between.url)
    # Bob has written to Alice, so her questions reach his device.
    bob._connection.send(st.message(Jid(ALICE, "calls.example"), element("urn:xmpp:hints", "store"), id="m"))
    await bob._connection.ask("get", element(PING, "ping"), None)
    between.tamper = lambda stanza, to_client: (
        swell(stanza) if to_client and stanza.get("type") == "get" else stanza
    )
    async with asyncio.timeout(5):
        with pytest.raises(StanzaError) as error:
            await alice._connection.ask("get", element("urn:x", "q"), bob._profile.jid)
    assert error.value.info.condition == "service-unavailable" and bob._connection.logins == 1


async def test_what_is_no_xml_each_time_is_not_a_loop_at_full_speed(open_client: Open, between: Any) -> None:
    """A server may lose its mind; its clients do not hammer it."""
    alice = await open_client(ALICE, between.url)
    connection = alice._connection
    bounds: list[int] = []

    class Rng:
        def uniform(self, low: float, high: float) -> float:
            bounds.append(round(high))
            return 0.0

        def getrandbits(self, bits: int) -> int:
            return len(bounds)

    connection._rng = Rng()  # type: ignore[assignment]
    enough = asyncio.Event()
    handle = connection._handle

    def handled(event: object) -> None:
        handle(event)
        if connection.online.is_set():
            assert connection._stream is not None
            connection._stream.receive_frame("<<<", asyncio.get_running_loop().time())
        if len(bounds) >= 6:
            enough.set()

    connection._handle = handled  # type: ignore[method-assign]
    connection._stream.receive_frame("<<<", 0.0)  # type: ignore[union-attr]
    connection.renew()
    async with asyncio.timeout(10):
        await enough.wait()
    assert bounds[:6] == [1, 1, 2, 4, 8, 16] or bounds[:6] == [1, 2, 4, 8, 16, 30], bounds
    assert connection.resumptions == 0


@pytest.mark.parametrize("size", [256 * 1024, 1_100_000])
async def test_an_own_stanza_that_is_too_large_is_refused_at_once(open_client: Open, size: int) -> None:
    """And not sent over each stream again, which it would end."""
    alice = await open_client(ALICE)
    big = element("urn:x", "x", text="x" * size)
    with pytest.raises(StanzaTooLarge, match="too large to be sent"):
        alice._connection.send(st.message(Jid(BOB, "calls.example"), big, id="m"))
    with pytest.raises(StanzaTooLarge):
        await alice._connection.ask("set", big, None)
    await alice._connection.ask("get", element(PING, "ping"), None)
    assert alice._connection.logins == 1 and not alice._connection._answers
    await alice.close()
    with pytest.raises((StanzaTooLarge, ServerUnreachable)):
        await alice._connection.ask("set", big, None)


async def test_a_stanza_of_ours_that_fails_us_is_still_answered(open_client: Open) -> None:
    bob, alice = await open_client(BOB), await open_client(ALICE)
    bob._connection.send(st.message(Jid(ALICE, "calls.example"), element("urn:xmpp:hints", "store"), id="m"))
    await bob._connection.ask("get", element(PING, "ping"), None)

    def fail(stanza: Element) -> None:
        raise RuntimeError("a bug")

    bob._dispatch.receive = fail  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        with pytest.raises(StanzaError):
            await alice._connection.ask("get", element("urn:x", "q"), bob._profile.jid)
