"""What a hostile peer, or a server in his pay, may try in a call: it fails, and whoever is attacked can tell.

Elsewhere: swapped fingerprints, stripped and replayed passports, other keys (test_hostile_server.py), spoofed `from`
(server/test_websocket.py), stolen resumption (server/test_resumption.py), devices added by the server (test_devices.py,
server/test_devices.py), keys of somebody else at registration (server/test_http.py).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from signaling.client import Client
from signaling.errors import CallFailed, CallUntrusted
from signaling.jid import Jid
from signaling.jingle.content import NS_JINGLE
from signaling.jingle.initiation import Initiation, Kind, build_initiation
from signaling.jingle.transport import NS_ICE_UDP
from signaling.xml import DELAY, PING, Element, element

ALICE, BOB = "+12025550100", "+12025550101"
Open = Callable[..., Awaitable[Client]]

EVIL_ADDRESSES = [
    "127.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "169.254.169.254",
    "224.0.0.251",
    "ff02::1",
    "0.0.0.0",
    "255.255.255.255",
]


def candidates_to(addresses: list[str], jingle: Element) -> None:
    for transport in jingle.iter(f"{{{NS_ICE_UDP}}}transport"):
        for old in transport.findall(f"{{{NS_ICE_UDP}}}candidate"):
            transport.remove(old)
        for number, ip in enumerate(addresses):
            words = {"component": "1", "foundation": str(number), "id": f"c{number}", "ip": ip, "port": "22"}
            words |= {"priority": "1", "protocol": "udp", "type": "host", "generation": "0"}
            transport.append(element(NS_ICE_UDP, "candidate", words))


async def test_candidates_to_loopback_multicast_and_link_local_are_never_tried(
    open_client: Open, between: Any, engine: Any
) -> None:
    """A peer elsewhere must not make us send packets to our own services, or to everybody."""
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB)
    bob._line.allow_loopback = False  # as with a server that is not on this host
    theirs = engine()
    good = ["192.0.2.7"]

    def tamper(stanza: Element, to_client: bool) -> Element:
        jingle = stanza.find(f"{{{NS_JINGLE}}}jingle")
        if jingle is not None and jingle.get("action") == "transport-info" and not to_client:
            candidates_to(EVIL_ADDRESSES + good, jingle)
        return stanza

    between.tamper = tamper
    calling = asyncio.create_task(alice.call(BOB, engine()))
    incoming = await bob.next_incoming()
    answering = asyncio.create_task(incoming.accept(theirs))
    async with asyncio.timeout(5):
        while not theirs.candidates:
            await bob._connection.ask("get", element(PING, "ping"), None)
    assert {line.split()[4] for line in theirs.candidates} == set(good)
    assert incoming._call.policy.refused >= len(EVIL_ADDRESSES), "counted"
    for task in (calling, answering):
        task.cancel()
    await asyncio.wait([calling, answering])


INJECTIONS = [
    pytest.param("ufrag", "abcd\r\na=candidate:1 1 udp 1 127.0.0.1 22 typ host", id="ufrag"),
    pytest.param("pwd", "x" * 22 + "\na=evil", id="pwd"),
    pytest.param("name", "0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96", id="name"),
    pytest.param("name", "0 1", id="name-space"),
    pytest.param("value", "10\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x", id="fmtp"),
]


@pytest.mark.parametrize(("attribute", "text"), INJECTIONS)
async def test_no_line_is_smuggled_into_sdp(
    open_client: Open, between: Any, engine: Any, attribute: str, text: str
) -> None:
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB)

    def tamper(stanza: Element, to_client: bool) -> Element:
        jingle = stanza.find(f"{{{NS_JINGLE}}}jingle")
        if jingle is not None and jingle.get("action") == "session-initiate":
            victim = next(node for node in jingle.iter() if node.get(attribute) is not None)
            victim.set(attribute, text)
        return stanza

    between.tamper = tamper
    theirs = engine()
    async with asyncio.timeout(8):
        calling = asyncio.create_task(alice.call(BOB, engine()))
        incoming = await bob.next_incoming()
        with pytest.raises(CallFailed) as told:
            await incoming.accept(theirs)
        assert told.value.reason.startswith("incompatible") or "incompatible" in str(told.value)
        with pytest.raises((CallFailed, CallUntrusted)):
            await calling
    assert theirs.log == ["close"], "the engine never saw the offer"


async def test_a_forged_age_neither_rings_nor_hides_who_it_was(open_client: Open, server: Any) -> None:
    """A proposal that pretends to have lain in the store: by the server's own name the age is taken off and it is
    what it is, a call; by any other name it is a missed call, from the number that sent it."""
    alice, bob = await open_client(ALICE), await open_client(BOB)
    stamp = {"stamp": "2001-01-01T00:00:00Z"}
    proposal = build_initiation(
        Initiation(Kind.PROPOSE, "forged", ("audio",)), Jid(BOB, server.domain), "propose-forged"
    )
    proposal.append(element(DELAY, "delay", {"from": f"{BOB}@{server.domain}", **stamp}))
    assert alice._connection.send(proposal)
    async with asyncio.timeout(5):
        missed = await bob.next_missed()
    assert (missed.number, missed.why) == (ALICE, "offline") and bob._waiting.empty()
    assert abs(missed.at - datetime.now(UTC).timestamp()) < 60, "its time is not the sender's to say"
    again = build_initiation(
        Initiation(Kind.PROPOSE, "real", ("audio",)), Jid(BOB, server.domain), "propose-real"
    )
    again.append(element(DELAY, "delay", {"from": server.domain, **stamp}))
    assert alice._connection.send(again)
    async with asyncio.timeout(5):
        assert (await bob.next_incoming()).number == ALICE


async def test_another_from_ends_the_senders_stream_and_reaches_nobody(
    open_client: Open, server: Any
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    proposal = build_initiation(Initiation(Kind.PROPOSE, "sid", ("audio",)), Jid(BOB, server.domain), "m")
    proposal.set("from", f"+12025550102@{server.domain}/d1")
    alice._connection.send(proposal)
    async with asyncio.timeout(5):
        while alice._connection.last_error is None:
            await bob._connection.ask("get", element(PING, "ping"), None)
    assert "not this stream's address" in str(alice._connection.last_error)
    assert bob._waiting.empty() and not bob.missed
    # The stanza is not sent again over every next stream.
    assert not [e for e in alice._connection._management.unacknowledged if "+12025550102" in e.frame]
    async with asyncio.timeout(5):
        while alice._connection.logins < 2:
            await bob._connection.ask("get", element(PING, "ping"), None)
        await alice._connection.ask("get", element(PING, "ping"), None)
