"""Prepared, and connected, while it rings: between those who know each other and want it, and never else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signaling.client import Client
from signaling.client.incoming import IncomingCall
from signaling.client.line import InitiationReceived
from signaling.client.live_call import LiveCall
from signaling.client.websocket import StanzaError
from signaling.errors import CallFailed, CallRejected, CallTimeout, CallUntrusted
from signaling.jid import Jid
from signaling.jingle.content import NS_JINGLE, Action, Jingle, Role, build_jingle
from signaling.jingle.initiation import Initiation, Kind
from signaling.jingle.sdp import parse_sdp
from signaling.jingle.syntax import NS_RINGLINE
from signaling.xml import Element, child

ALICE, BOB = "+12025550100", "+12025550101"

Open = Callable[..., Awaitable[Client]]
Engine = Callable[..., Any]
Connected = Callable[..., Awaitable[tuple[LiveCall, LiveCall]]]
Ringing = Callable[..., Awaitable[tuple[asyncio.Task[LiveCall], IncomingCall, Any, Any]]]


@pytest.fixture
async def friends(open_client: Open, connected: Connected) -> Callable[..., Awaitable[tuple[Client, Client]]]:
    """await friends(caller's options, callee's) -> two clients who have talked before."""

    async def make(one: dict[str, Any], two: dict[str, Any]) -> tuple[Client, Client]:
        alice, bob = await open_client(ALICE, **one), await open_client(BOB, **two)
        call, other = await connected(alice, bob)
        await call.hang_up()
        await other.ended()
        return alice, bob

    return make


@pytest.fixture
def ringing(engine: Engine) -> Ringing:
    """await ringing(caller, callee) -> (calling, incoming, caller's engine, callee's): prepared, and it rings."""

    async def run(caller: Client, callee: Client, timeout: float = 45.0, settle: bool = True) -> Any:
        one, two = engine(), engine()
        calling = asyncio.create_task(caller.call(callee.number, one, timeout))
        incoming = await callee.next_incoming()
        await incoming.prepare(two)
        if settle:
            await idle(callee, caller)
            assert one.prepared and two.prepared and "create_offer" in one.log
        return calling, incoming, one, two

    return run


WANTED = {"preconnect": True}


async def until(state: str, incoming: IncomingCall) -> None:
    async with asyncio.timeout(5):
        async for event in incoming._call.events():
            if event.name == state:
                return


async def idle(*clients: Client) -> None:
    """All that they had to say is said and answered."""
    for client in clients * 2:
        await client._connection.probe()


async def test_connected_while_it_rings(friends: Any, ringing: Ringing) -> None:
    alice, bob = await friends(WANTED, WANTED)
    calling, incoming, one, two = await ringing(alice, bob)
    await until("preconnected", incoming)
    await idle(alice, bob)
    assert one.connected and two.connected and not calling.done()
    assert one.enabled == two.enabled == [False], "no media before the call is taken"
    async with asyncio.timeout(5):
        theirs = await incoming.accept()
        ours = await calling
    assert one.enabled == two.enabled == [False, True]
    assert ours.trust == theirs.trust == "same key as before" and ours.state == theirs.state == "connected"
    for call in (ours, theirs):
        moments = ["ringing", "session_initiate", "session_accept", "preconnected", "accepted", "connected"]
        times = [call.timings[name] for name in moments]
        assert None not in times and times == sorted(times)  # type: ignore[type-var]
    await ours.hang_up()
    assert await theirs.ended() == "hung_up"


@pytest.mark.parametrize(("one", "two"), [({}, {}), (WANTED, {}), ({}, WANTED)])
async def test_both_must_want_it(friends: Any, ringing: Ringing, one: Any, two: Any) -> None:
    alice, bob = await friends(one, two)
    calling, incoming, ours, theirs = await ringing(alice, bob)
    await idle(alice, bob)
    assert incoming.state == "ringing" and ours.log == ["configure", "create_offer"]
    assert theirs.log == ["configure"] and theirs.remote is None and not theirs.candidates
    async with asyncio.timeout(5):
        await incoming.accept()
        await (await calling).hang_up()
    assert theirs.enabled == [], "an engine that did not wait need not be told to go on"


async def test_never_for_who_is_unknown(open_client: Open, ringing: Ringing) -> None:
    alice, bob = await open_client(ALICE, **WANTED), await open_client(BOB, **WANTED)
    calling, incoming, one, two = await ringing(alice, bob)
    await idle(alice, bob)
    assert not incoming.known and incoming.state == "ringing"
    assert (one.log, two.log) == (["configure", "create_offer"], ["configure"])
    async with asyncio.timeout(5):
        await incoming.accept()
        await (await calling).hang_up()


async def test_never_with_a_device_whose_key_is_not_known(friends: Any, ringing: Ringing) -> None:
    """A number that was called, but of whose device nothing is pinned: the server alone vouches for it."""
    alice, bob = await friends(WANTED, WANTED)
    bob._profile.pins = lambda number: {}  # type: ignore[method-assign]
    calling, incoming, _, two = await ringing(alice, bob)
    await idle(alice, bob)
    assert incoming.known and incoming.state == "ringing" and two.log == ["configure"]
    await incoming.reject()
    with pytest.raises(CallRejected):
        await calling


async def test_a_number_with_two_devices_is_connected_when_one_took_the_call(
    friends: Any, ringing: Ringing
) -> None:
    alice, bob = await friends(WANTED, WANTED)
    contact = alice.contacts.cached(BOB)
    contact.devices["d0123456789abcdef"] = "a key"
    calling, incoming, one, _ = await ringing(alice, bob)
    await idle(alice, bob)
    assert incoming.state == "ringing" and one.log == ["configure", "create_offer"]
    async with asyncio.timeout(5):
        await incoming.accept()
        await (await calling).hang_up()


async def test_declined_when_connected(friends: Any, ringing: Ringing) -> None:
    alice, bob = await friends(WANTED, WANTED)
    calling, incoming, one, two = await ringing(alice, bob)
    await until("preconnected", incoming)
    async with asyncio.timeout(5):
        await incoming.reject()
        with pytest.raises(CallRejected):
            await calling
    assert one.log[-1] == two.log[-1] == "close" and True not in one.enabled + two.enabled
    assert not alice._dispatch.calls and not bob._dispatch.calls and not bob.missed


@pytest.mark.parametrize("turns", [3, 10, 30, 50, None])
async def test_taken_back_by_the_caller(friends: Any, ringing: Ringing, turns: int | None) -> None:
    """After so many turns of the loop, wherever the session is by then; None: when it stands."""
    alice, bob = await friends(WANTED, WANTED)
    calling, incoming, one, two = await ringing(alice, bob, settle=False)
    if turns is None:
        await until("preconnected", incoming)
    for _ in range(turns or 0):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        calling.cancel()
        assert await incoming.ended() == "cancelled"
        with pytest.raises(asyncio.CancelledError):
            await calling
    assert one.log[-1] == two.log[-1] == "close" and True not in one.enabled + two.enabled
    assert [(m.number, m.why) for m in bob.missed] == [(ALICE, "not answered")]
    with pytest.raises(CallFailed):
        await incoming.accept()


async def test_nobody_takes_it(friends: Any, ringing: Ringing) -> None:
    alice, bob = await friends(WANTED, WANTED)
    calling, incoming, one, two = await ringing(alice, bob, 0.3)
    async with asyncio.timeout(5):
        with pytest.raises(CallTimeout):
            await calling
        assert await incoming.ended() == "timeout"
    assert one.log[-1] == two.log[-1] == "close" and len(bob.missed) == 1


async def test_the_callee_goes(friends: Any, ringing: Ringing) -> None:
    alice, bob = await friends(WANTED, WANTED)
    calling, incoming, one, two = await ringing(alice, bob)
    await until("preconnected", incoming)
    async with asyncio.timeout(5):
        await bob.close()
        with pytest.raises(CallFailed):
            await calling
    assert one.log[-1] == two.log[-1] == "close"


async def test_taken_before_it_is_connected(friends: Any, ringing: Ringing) -> None:
    alice, bob = await friends(WANTED, WANTED)
    calling, incoming, one, two = await ringing(alice, bob)
    async with asyncio.timeout(5):
        theirs = await incoming.accept()  # wherever the session is by now
        ours = await calling
    assert ours.state == theirs.state == "connected"
    assert one.enabled[-1:] in ([], [True]) and two.enabled[-1:] in ([], [True])


async def test_the_path_is_lost_while_it_rings_and_found_again(friends: Any, ringing: Ringing) -> None:
    alice, bob = await friends(WANTED, WANTED)
    calling, incoming, one, two = await ringing(alice, bob)
    await until("preconnected", incoming)
    await idle(alice, bob)
    for end in (one, two):
        end.say("disconnected")
    await idle(alice, bob)
    assert incoming.state == "preaccepted" and not incoming.is_over
    async with asyncio.timeout(5):
        theirs = await incoming.accept()
        ours = await calling
    assert "restart_offer" in one.log and ours.state == theirs.state == "connected"
    assert one.enabled == two.enabled == [False, True]


async def test_a_path_that_fails_while_it_rings_is_a_missed_call(friends: Any, ringing: Ringing) -> None:
    alice, bob = await friends(WANTED, WANTED)
    calling, incoming, one, two = await ringing(alice, bob)
    await until("preconnected", incoming)
    two.say("failed", "no consent")
    async with asyncio.timeout(5):
        assert await incoming.ended() == "no_route"
        with pytest.raises(CallFailed, match="no way through the network"):
            await calling
    assert one.log[-1] == two.log[-1] == "close"
    assert [(m.number, m.why) for m in bob.missed] == [(ALICE, "not answered")]


async def test_taken_by_a_device_that_was_linked_meanwhile(friends: Any, ringing: Ringing) -> None:
    alice, bob = await friends(WANTED, WANTED)
    calling, incoming, one, two = await ringing(alice, bob)
    await until("preconnected", incoming)
    other = Jid(BOB, bob._profile.jid.domain, "d0123456789abcdef")
    alice._dispatch.calls[incoming.sid].post(
        InitiationReceived(Initiation(Kind.PROCEED, incoming.sid), other)
    )
    async with asyncio.timeout(5):
        with pytest.raises(CallFailed, match="another device"):
            await calling
        await incoming.ended()
    assert one.log[-1] == two.log[-1] == "close" and True not in one.enabled + two.enabled


async def test_uninvited_sessions_do_not_begin_while_it_rings(friends: Any, ringing: Ringing) -> None:
    """A caller who sends his offer although this device did not ask for it."""
    alice, bob = await friends(WANTED, {})
    calling, incoming, one, two = await ringing(alice, bob)
    offer = Jingle(Action.SESSION_INITIATE, incoming.sid, parse_sdp(one._describe("actpass"), Role.INITIATOR))
    with pytest.raises(StanzaError) as refused:
        await alice._connection.ask("set", build_jingle(offer), bob._profile.jid)
    assert refused.value.info.condition == "unexpected-request"
    assert incoming.state == "ringing" and two.log == ["configure"]
    await incoming.reject()
    with pytest.raises(CallRejected):
        await calling


async def test_both_call_each_other(friends: Any, engine: Engine) -> None:
    alice, bob = await friends(WANTED, WANTED)
    one, two = engine(), engine()
    async with asyncio.timeout(5):
        ours, theirs = await asyncio.gather(alice.call(BOB, one), bob.call(ALICE, two))
        assert ours.sid == theirs.sid and ours.state == theirs.state == "connected"
        await ours.hang_up()
    assert False not in one.enabled[-1:] + two.enabled[-1:]


async def test_who_lies_about_it_gets_nothing(
    between: Any, open_client: Open, connected: Connected, ringing: Ringing
) -> None:
    """A server that asks for it in the caller's name, and begins the session without his signature."""
    alice, bob = (
        await open_client(ALICE, between.url, **WANTED),
        await open_client(BOB, between.url, **WANTED),
    )
    call, other = await connected(alice, bob)
    await call.hang_up()
    await other.ended()
    sent = []

    def tamper(stanza: Element, to_client: bool) -> Element:
        jingle = child(stanza, NS_JINGLE, "jingle")
        if jingle is not None and jingle.get("action") == "session-initiate":
            for passport in jingle.findall(f"{{{NS_RINGLINE}}}passport"):
                jingle.remove(passport)
        elif jingle is not None:
            sent.append(jingle.get("action"))
        return stanza

    between.tamper = tamper
    calling, incoming, _, two = await ringing(alice, bob)
    async with asyncio.timeout(5):
        assert await incoming.ended() == "untrusted"
        with pytest.raises(CallUntrusted):
            await calling
    assert "create_answer" not in two.log and set(sent) == {"session-terminate"}
