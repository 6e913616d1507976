"""Calls between clients through the real server, with engines that carry no media."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signaling.client import Client, Profile
from signaling.client.live_call import LiveCall
from signaling.errors import (
    CallBusy,
    CallFailed,
    CallNotRegistered,
    CallRejected,
    CallTimeout,
    CallUnreachable,
    InvalidNumber,
)
from signaling.jingle.content import NS_JINGLE
from signaling.jingle.initiation import Initiation, Kind, build_initiation
from signaling.xml import child

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"

Open = Callable[..., Awaitable[Client]]
Engine = Callable[..., Any]
Connected = Callable[..., Awaitable[tuple[LiveCall, LiveCall]]]


async def test_a_call(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    one, two = engine(), engine()
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call("(202) 555-0101", one))
        incoming = await bob.next_incoming()
        assert (incoming.number, incoming.media, incoming.known) == (ALICE, ("audio",), False)
        theirs = await incoming.accept(two)
        ours = await calling
        assert ours.sid == theirs.sid
        assert ours.state == theirs.state == "connected"
        assert ours.trust == theirs.trust == "not verified"
        await ours.hang_up()
        assert await theirs.ended() == "hung_up"
        names = [event.name async for event in ours.events()]
    assert ours.end_reason == "hung_up"
    assert one.log == ["configure", "create_offer", "set_answer", "close"]
    assert two.log == ["configure", "create_answer", "close"]
    moments = ["asked", "ringing", "accepted", "session_initiate", "session_accept", "connected", "ended"]
    assert names == moments[1:]
    times = [ours.timings[name] for name in moments]
    assert None not in times and times == sorted(times)  # type: ignore[type-var]


async def test_a_second_call_has_the_same_key_and_is_known(open_client: Open, connected: Connected) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    first, second = await connected(alice, bob)
    await first.hang_up()
    await second.ended()
    back, theirs = await connected(bob, alice)
    assert back.trust == theirs.trust == "same key as before"
    await theirs.hang_up()
    assert await back.ended() == "hung_up"


async def test_declined(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    one = engine()
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, one))
        await (await bob.next_incoming()).reject("decline")
        with pytest.raises(CallRejected) as rejected:
            await calling
    assert rejected.value.reason == "decline"
    assert one.log[-1] == "close"


async def test_not_registered(open_client: Open, engine: Engine) -> None:
    alice = await open_client(ALICE)
    one = engine()
    with pytest.raises(CallNotRegistered):
        await alice.call(BOB, one)
    assert one.log == ["close"]


async def test_unreachable(
    open_client: Open, make_profile: Callable[..., Awaitable[Any]], engine: Engine, monkeypatch: Any
) -> None:
    monkeypatch.setattr("signaling.client.outgoing.RINGING_TIMEOUT", 0.05)
    alice = await open_client(ALICE)
    await make_profile(BOB)
    with pytest.raises(CallUnreachable):
        await alice.call(BOB, engine())


async def test_timeout_takes_the_call_back(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    with pytest.raises(CallTimeout):
        await alice.call(BOB, engine(), timeout=0.3)
    async with asyncio.timeout(5):
        missed = await bob.next_missed()
    assert (missed.number, missed.why) == (ALICE, "not answered")


async def test_cancelling_takes_the_call_back(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    one, two = engine(), engine()
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, one))
        incoming = await bob.next_incoming()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert await incoming.ended() == "cancelled"
        with pytest.raises(CallFailed, match="stopped calling"):
            await incoming.accept(two)
    assert one.log[-1] == two.log[-1] == "close"
    assert [m.why for m in bob.missed] == ["not answered"]


async def test_busy_while_in_a_call_and_while_ringing(
    open_client: Open, engine: Engine, connected: Connected
) -> None:
    alice, bob, carol = await open_client(ALICE), await open_client(BOB), await open_client(CAROL)
    call, theirs = await connected(alice, bob)
    with pytest.raises(CallBusy):
        await carol.call(BOB, engine())
    assert call.state == theirs.state == "connected"
    await call.hang_up()
    await theirs.ended()
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, engine()))
        incoming = await bob.next_incoming()
        with pytest.raises(CallBusy):
            await carol.call(BOB, engine())
        await incoming.reject("busy")
        with pytest.raises(CallBusy):
            await calling


async def test_glare_becomes_one_call(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    async with asyncio.timeout(10):
        ours, theirs = await asyncio.gather(alice.call(BOB, engine()), bob.call(ALICE, engine()))
    assert ours.sid == theirs.sid
    assert {ours.role, theirs.role} == {"initiator", "responder"}
    await ours.hang_up()
    assert await theirs.ended() == "hung_up"


async def test_calling_back_while_it_rings_answers(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, engine()))
        await bob.next_incoming()
        theirs = await bob.call(ALICE, engine())
        ours = await calling
    assert ours.sid == theirs.sid


async def test_answered_elsewhere(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, engine()))
        incoming = await bob.next_incoming()
        # Linking a second device comes later: its message is handed in as the server would deliver it.
        own = bob._profile.jid
        accept = build_initiation(Initiation(Kind.ACCEPT, incoming.sid), own.bare, "x")
        accept.set("from", str(own.with_resource("d0123456789abcdef")))
        bob._on_stanza(accept)
        assert await incoming.ended() == "answered_elsewhere"
        assert not bob.missed
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling


async def test_a_new_call_of_the_peer_replaces_the_running_one(
    open_client: Open, engine: Engine, connected: Connected
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    old, theirs = await connected(alice, bob)
    # Alice's device has forgotten the call, as after a crash.
    alice._dispatch.calls.clear()
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, engine()))
        assert await theirs.ended() == "replaced"
        incoming = await bob.next_incoming()
        new = await incoming.accept(engine())
        assert (await calling).sid == new.sid != old.sid
    old.stop(_silent())
    await old.ended()


def _silent() -> Any:
    from signaling.client.line import Ending
    from signaling.jingle.session import EndReason

    return Ending(EndReason.FAILED, by_peer=True)


async def test_strangers_are_missed_not_rung(
    open_client: Open, engine: Engine, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr("signaling.client.outgoing.RINGING_TIMEOUT", 0.1)
    alice, bob = await open_client(ALICE), await open_client(BOB, ring_unknown=False)
    with pytest.raises(CallUnreachable):
        await alice.call(BOB, engine())
    assert [(m.number, m.why) for m in bob.missed] == [(ALICE, "unknown caller")]
    with pytest.raises(CallUnreachable):
        await alice.call(BOB, engine())
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1 and ALICE in told[0] and "ring_unknown=True" in told[0]  # once, with what to do


async def test_calls_while_offline_are_missed_and_never_ring(
    open_client: Open, make_profile: Callable[..., Awaitable[Any]], engine: Engine, monkeypatch: Any
) -> None:
    monkeypatch.setattr("signaling.client.outgoing.RINGING_TIMEOUT", 0.05)
    alice = await open_client(ALICE)
    path = await make_profile(BOB)
    with pytest.raises(CallUnreachable):
        await alice.call(BOB, engine())
    async with Client.open(path, ring_unknown=True) as bob, asyncio.timeout(5):
        missed = await bob.next_missed()
        assert (missed.number, missed.why) == (ALICE, "offline")
        assert bob._waiting.empty()


async def test_no_route(open_client: Open, engine: Engine, monkeypatch: Any) -> None:
    monkeypatch.setattr("signaling.client.running.ROUTE_TIMEOUT", 0.05)
    alice, bob = await open_client(ALICE), await open_client(BOB)
    one, two = engine(reachable=False), engine()
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, one))
        incoming = await bob.next_incoming()
        for attempt in (asyncio.create_task(incoming.accept(two)), calling):
            with pytest.raises(CallFailed, match="no way through the network"):
                await attempt
    assert one.log[-1] == two.log[-1] == "close"


async def test_incompatible(open_client: Open, engine: Engine) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    two = engine()
    two.refuse = "no codec in common"
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, engine()))
        incoming = await bob.next_incoming()
        for attempt in (incoming.accept(two), calling):
            with pytest.raises(CallFailed, match="no way of talking"):
                await attempt


async def test_disconnected_and_back(
    open_client: Open, engine: Engine, connected: Connected, ether: Any
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    one = next(e for e in ether.values() if "create_offer" in e.log)
    events = ours.events()
    async with asyncio.timeout(5):
        one.say("disconnected")
        seen = [(await anext(events)).name for _ in range(6)]
        assert seen[-2:] == ["connected", "disconnected"] and ours.state == "disconnected"
        one.say("connected")
        assert (await anext(events)).name == "reconnected" and ours.state == "connected"
    assert theirs.state == "connected"


async def test_connection_lost(open_client: Open, connected: Connected, ether: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("signaling.client.running.RECOVERY_TIMEOUT", 0.05)
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    for end in ether.values():
        end.reachable = False
    next(e for e in ether.values() if "create_offer" in e.log).say("disconnected")
    async with asyncio.timeout(5):
        assert await ours.ended() == "connection_lost"
        assert await theirs.ended() == "connection_lost"


async def test_engine_failure_ends_the_call_at_once(
    open_client: Open, connected: Connected, ether: Any
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    next(e for e in ether.values() if "create_offer" in e.log).say("failed", "DTLS broke")
    async with asyncio.timeout(5):
        assert await ours.ended() == await theirs.ended() == "connection_lost"
    assert ours.end_text == "DTLS broke" and "DTLS broke" in (theirs.end_text or "")


async def test_closing_the_client_tells_the_peer(open_client: Open, connected: Connected) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    await alice.close()
    async with asyncio.timeout(5):
        assert await theirs.ended() == "hung_up"
    assert ours.end_reason == "hung_up"
    assert [i async for i in alice.incoming()] == []


async def test_numbers_that_cannot_be_called(open_client: Open, engine: Engine) -> None:
    alice = await open_client(ALICE)
    for number in ("not a number", ALICE):
        one = engine()
        with pytest.raises(InvalidNumber):
            await alice.call(number, one)
        assert one.log == ["close"]


async def test_a_call_survives_the_servers_restart(
    open_client: Open, connected: Connected, server: Any
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    await server.restart()
    async with asyncio.timeout(20):
        for client in (alice, bob):
            while client._connection.logins < 2:
                client._connection._settled.clear()
                await client._connection._settled.wait()
            await client.wait_online(5)
        assert ours.state == theirs.state == "connected"
        # The server has forgotten who has to do with whom; each end's device says so as it comes back.
        await ours.restart_ice()
        async for event in ours.events():
            if event.name == "ice-restarted":
                break
        await ours.hang_up()
        assert await theirs.ended() == "hung_up"


async def test_ice_restart_brings_a_call_back(open_client: Open, connected: Connected, ether: Any) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    one, two = ether.values()
    async with asyncio.timeout(5):
        one.say("disconnected")
        async for event in ours.events():
            if event.name == "reconnected":
                break
    assert ours.state == "connected"
    assert one.log[-2:] == ["restart_offer", "restart_set_answer"] and two.log[-1] == "restart_answer"
    assert one.remote == two.ufrag and two.remote == one.ufrag
    await ours.hang_up()
    assert await theirs.ended() == "hung_up"


async def test_an_engine_that_cannot_restart_keeps_its_call(
    open_client: Open, connected: Connected, ether: Any
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    one, _ = ether.values()
    one.log.append("restart_offer")  # from here on it refuses to
    events = ours.events()
    async with asyncio.timeout(5):
        one.say("disconnected")
        one.say("connected")
        async for event in events:
            if event.name == "reconnected":
                break
    assert ours.state == theirs.state == "connected"


STAGES = ["lookup", "proposed", "ringing", "proceeded", "initiated"]


@pytest.mark.parametrize("stage", STAGES)
async def test_cancelling_at_any_moment_tells_the_peer(
    open_client: Open, between: Any, engine: Engine, stage: str
) -> None:
    """Ctrl-C: wherever the caller is, the callee is not left ringing or waiting."""
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB, between.url)
    reached = {name: asyncio.Event() for name in STAGES}

    def watch(stanza: Any, to_client: bool) -> Any:
        text = stanza.tag + "".join(child.tag + (child.get("action") or "") for child in stanza)
        for name, mark in (("proposed", "propose"), ("ringing", "ringing"), ("proceeded", "proceed")):
            if mark in text and to_client:
                reached[name].set()
        if "session-initiate" in text and not to_client:
            reached["initiated"].set()
        return stanza

    between.tamper = watch
    reached["lookup"].set()
    one, two = engine(), engine()
    calling = asyncio.create_task(alice.call(BOB, one))
    await asyncio.sleep(0)
    answering: asyncio.Task[Any] | None = None
    async with asyncio.timeout(8):
        if stage in ("proceeded", "initiated"):
            incoming = await bob.next_incoming()
            answering = asyncio.create_task(incoming.accept(two))
        await reached[stage].wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        if answering is not None:
            with pytest.raises(CallFailed, match="stopped calling"):
                await answering
            assert two.log[-1] == "close"
        for call in list(bob._dispatch.calls.values()):
            assert await call.ended() == "cancelled"
    assert one.log[-1] == "close"
    assert not alice._dispatch.calls


@pytest.mark.parametrize("swallowed", ["session-initiate", "session-accept"])
async def test_a_negotiation_that_does_not_go_on_ends(
    open_client: Open, between: Any, engine: Engine, monkeypatch: Any, swallowed: str
) -> None:
    monkeypatch.setattr("signaling.client.negotiation.INITIATE_TIMEOUT", 0.3)
    monkeypatch.setattr("signaling.client.negotiation.ACCEPT_TIMEOUT", 0.3)
    alice, bob = await open_client(ALICE, between.url), await open_client(BOB, between.url)

    def swallow(stanza: Any, to_client: bool) -> Any:
        body = child(stanza, NS_JINGLE, "jingle")
        return None if body is not None and body.get("action") == swallowed else stanza

    between.tamper = swallow
    one, two = engine(), engine()
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, one))
        answering = asyncio.create_task((await bob.next_incoming()).accept(two))
        for attempt in (calling, answering):
            with pytest.raises(CallTimeout):
                await attempt
    assert one.log[-1] == two.log[-1] == "close"


async def test_hanging_up_while_the_engine_works(open_client: Open, engine: Engine) -> None:
    """The peer's hang-up is heard at once, whatever the own engine is doing."""
    alice, bob = await open_client(ALICE), await open_client(BOB)
    two = engine()
    working = asyncio.Event()

    async def never(offer: str) -> str:
        working.set()
        await asyncio.Event().wait()
        return ""

    two.create_answer = never
    async with asyncio.timeout(5):
        calling = asyncio.create_task(alice.call(BOB, engine()))
        answering = asyncio.create_task((await bob.next_incoming()).accept(two))
        await working.wait()
        calling.cancel()
        with pytest.raises(CallFailed, match="stopped calling"):
            await answering
    assert two.log[-1] == "close"


async def test_the_media_path_tells_that_the_peer_hung_up(
    open_client: Open, engine: Engine, connected: Connected, ether: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("signaling.client.running.FAREWELL_TIMEOUT", 0.01)
    alice, bob = await open_client(ALICE), await open_client(BOB)
    ours, theirs = await connected(alice, bob)
    theirs.engine.engine.say_event("peer-closed")
    theirs.engine.engine.say("disconnected")
    async with asyncio.timeout(5):
        assert await theirs.ended() == "hung_up" and theirs.ended_by_peer
        assert theirs.end_sentence == f"{ALICE} hung up"
        await ours.hang_up()


async def test_closing_does_not_wait_for_a_login(
    make_profile: Callable[..., Awaitable[Any]], engine: Engine
) -> None:
    """A server that takes the connection and then says nothing."""
    path = await make_profile(ALICE)
    silent = await asyncio.start_server(hold, "127.0.0.1", 0)
    with Profile.open(path) as profile, profile.change() as data:
        data.server = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    clock = asyncio.get_running_loop().time
    async with silent:
        async with Client.open(path) as client:
            await asyncio.sleep(0.05)
            with pytest.raises(InvalidNumber, match="not a phone number"):
                await client.call("hello", engine())
            began = clock()
        assert clock() - began < 1


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize("lower", ["first", "second"])
@pytest.mark.parametrize("second_is", ["calling", "online", "offline"])
async def test_strangers_who_call_each_other_get_one_call(
    open_client: Open,
    make_profile: Callable[..., Awaitable[Any]],
    engine: Engine,
    monkeypatch: Any,
    second_is: str,
    lower: str,
) -> None:
    """Neither lets unknown numbers ring; the second calls at once, after the first's proposal, or comes online then."""
    sids = ["11111111-1111", "22222222-2222"] if lower == "first" else ["22222222-2222", "11111111-1111"]
    monkeypatch.setattr("signaling.client.client.uuid.uuid4", lambda: sids.pop(0))
    path = await make_profile(BOB)
    alice = await open_client(ALICE, ring_unknown=False)
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(10):

        async def come_online() -> Client:
            bob = await stack.enter_async_context(Client.open(path))
            await bob.wait_online(5)
            return bob

        bob = None if second_is == "offline" else await come_online()
        one, proposed = engine(), asyncio.Event()
        one.prepare = proposed.set  # it comes after the proposal
        first = asyncio.create_task(alice.call(BOB, one))
        if second_is != "calling":
            await proposed.wait()
            bob = bob or await come_online()
            await bob.next_missed()
        assert bob is not None
        second = asyncio.create_task(bob.call(ALICE, engine()))
        ours, theirs = await asyncio.gather(first, second)
        assert ours.sid == theirs.sid
        await ours.hang_up()
        assert await theirs.ended() == "hung_up"
