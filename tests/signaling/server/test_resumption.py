"""XEP-0198 over real WebSockets: a stream that broke goes on, what was acknowledged is never lost, nothing is stolen."""

import asyncio
from dataclasses import replace

import pytest

from signaling import stanza as st
from signaling.server_limits import Limits
from signaling.stream import Ended, Online
from signaling.stream_management import StreamManagement
from signaling.xml import DELAY, HINTS, PING, child, element

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"


@pytest.fixture
def limits(request):
    return getattr(request, "param", Limits())


def note(to, id, store=True):
    return st.message(to, element("urn:example", "x"), *([element(HINTS, "store")] if store else []), id=id)


async def sync(wire):
    """Everything before this has been handled by the server, and what it sent has come in."""
    await wire.ask(st.iq("get", element(PING, "ping"), id="sync", to=wire.stream.domain))
    return [stanza.get("id") for stanza in wire.stanzas if stanza.get("id") != "shown"]


async def settled(wire):
    """What has come in is acknowledged: an acknowledgement is asked for at most twice."""
    for _ in range(3):
        await sync(wire)


async def time_is_up(server, number, wire):
    """What the server's timer does after five minutes; the timer is there, and is the right one."""
    router, (session,) = server.server._router, server.server._context.sessions.of(number)
    while session not in router._expiring:  # the loss is not noticed yet
        await sync(wire)
    left = router._expiring[session].when() - asyncio.get_running_loop().time()
    assert 290 < left <= 300
    router.over(session)


def cut(wire):
    wire.socket._writer.transport.abort()
    return wire.stream.management


async def resume(connect, phone, broken, **options):
    wire = await connect(phone, online=False, **options)
    wire.stream._broken = broken
    await wire.flush()
    while not isinstance(event := await wire.event(), Online | Ended):
        wire.stanzas.append(event.stanza)
    return wire, event


async def in_store(server):
    from sqlalchemy import func, select

    from signaling.storage.store import messages

    await server.server._router._received.delete()
    database = server.server._context.store.database
    return await database.run(lambda db: db.scalar(select(func.count()).select_from(messages)))


async def test_a_broken_stream_is_resumed_and_nothing_is_lost(server, register, connect):
    alice, bob_phone = await connect(await register(ALICE)), await register(BOB)
    bob = await connect(bob_phone)
    await bob.show(alice)
    broken = cut(bob)
    question = st.iq("get", element("urn:example", "q"), id="q", to=bob.jid)
    for stanza in (note(bob.bare, "kept"), note(bob.bare, "not kept", store=False), question):
        await alice.send(stanza)
    assert await sync(alice) == [], "nobody is told of a failure while the session can come back"
    broken.hold(note(alice.bare, "said while away"))
    again, event = await resume(connect, bob_phone, broken)
    assert event == Online(bob.stream.jid, resumed=True)
    assert await sync(again) == ["kept", "not kept", "q"]
    assert await sync(alice) == ["said while away"]
    await again.send(st.result(again.stanzas[-1]))
    assert (await alice.ask(st.iq("get", element(PING, "ping"), id="x"))).get("type") == "result"
    assert "q" in [s.get("id") for s in alice.stanzas]
    assert await in_store(server) == 0


async def test_a_stream_that_the_server_thinks_alive_is_taken_over(server, register, connect):
    """The client's network changed; the old connection's silence is not noticed yet."""
    alice, bob_phone = await connect(await register(ALICE)), await register(BOB)
    bob = await connect(bob_phone)
    bob.socket._writer.transport.pause_reading()
    await alice.send(note(bob.bare, "one"))
    await sync(alice)
    again, event = await resume(connect, bob_phone, bob.stream.management)
    assert event.resumed and await sync(again) == ["one"]
    await alice.send(note(bob.bare, "two"))
    await sync(alice)
    assert await sync(again) == ["one", "two"]
    assert len(server.server._context.sessions.of(BOB)) == 1
    cut(bob)


async def test_a_resumption_id_is_worth_nothing_to_another_device(server, register, connect):
    """Somebody who knows the id, and has an account of his own, or a second device of the same number."""
    bob_phone, carol_phone = await register(BOB), await register(CAROL)
    alice, bob = await connect(await register(ALICE)), await connect(bob_phone)
    await bob.show(alice)
    stolen = cut(bob)
    await alice.send(note(bob.bare, "for Bob's eyes", store=False))
    await sync(alice)
    thief = StreamManagement(stolen.id)
    thief.handled = stolen.handled
    carol, event = await resume(connect, carol_phone, thief)
    assert event == Online(carol.stream.jid, resumed=False) and carol.jid.startswith(CAROL)
    assert await sync(carol) == []
    owner, event = await resume(connect, bob_phone, stolen)
    assert event.resumed and await sync(owner) == ["for Bob's eyes"]


async def test_a_guessed_id_is_not_resumed(register, connect):
    bob_phone = await register(BOB)
    bob = await connect(bob_phone)
    assert len(bob.stream.management.id) == 32, "128 bits"
    cut(bob)
    for id_ in ("0" * 32, "x", bob.stream.management.id[:-1], "é"):
        wrong = StreamManagement(id_)
        _, event = await resume(connect, bob_phone, wrong)
        assert event == Online(bob.stream.jid, resumed=False)


async def test_a_new_generation_cannot_be_resumed_by_the_old(server, register, connect):
    old = await register(BOB)
    bob = await connect(old)
    broken, token = cut(bob), await old.access_token()
    await register(BOB)
    _, event = await resume(connect, old, broken, token=token)
    assert isinstance(event, Ended) and event.condition == "not-authorized"


async def test_after_its_time_a_session_is_gone_but_not_what_was_stored(server, register, connect):
    alice, bob_phone = await connect(await register(ALICE)), await register(BOB)
    bob = await connect(bob_phone)
    await bob.show(alice)
    broken = cut(bob)
    await alice.send(note(bob.bare, "kept"))
    await alice.send(note(bob.bare, "reported", store=False))
    await alice.send(st.iq("get", element("urn:example", "q"), id="asked", to=bob.jid))
    assert await sync(alice) == []
    await time_is_up(server, BOB, alice)
    errors = [await alice.receive(), await alice.receive()]
    assert [error.get("id") for error in errors] == ["reported", "asked"]
    assert {st.error_of(error).condition for error in errors} == {"recipient-unavailable"}
    await alice.send(note(bob.bare, "too late", store=False))
    assert st.error_of(await alice.receive()).condition == "service-unavailable"
    again, event = await resume(connect, bob_phone, broken)
    assert event == Online(bob.stream.jid, resumed=False)
    assert await sync(again) == ["kept"]
    assert child(again.stanzas[0], DELAY, "delay") is not None


async def test_acknowledged_is_stored_even_when_the_server_dies(server, register, connect):
    """What the server acknowledged while the addressee was gone arrives, what it did not is sent again: once each."""
    alice_phone, bob_phone = await register(ALICE), await register(BOB)
    alice, bob = await connect(alice_phone), await connect(bob_phone)
    cut(bob)
    await alice.send(note(bob.bare, "acknowledged"))
    await sync(alice)
    assert not [e for e in alice.stream.management.unacknowledged if e.is_message]
    alice.stream.send(note(bob.bare, "on its way"))  # never leaves
    await server.crash()
    alice, event = await resume(connect, alice_phone, alice.stream.management)
    assert event == Online(alice.stream.jid, resumed=False)
    bob, _ = await resume(connect, bob_phone, StreamManagement("f" * 32))
    await sync(alice)
    assert await sync(bob) == ["acknowledged", "on its way"]
    await settled(bob)
    assert await in_store(server) == 0


async def test_a_full_disk_is_told_and_loses_nothing(server, http, register, connect):
    """A real one: SQLite may not grow. Who is told may try again; who was acknowledged is safe."""
    from sqlalchemy import text

    alice, bob_phone = await connect(await register(ALICE)), await register(BOB)
    to = f"{BOB}@{server.domain}"
    database = server.server._context.store.database
    pages = await database.run(lambda db: db.scalar(text("PRAGMA page_count")))
    await database.run(lambda db: db.execute(text(f"PRAGMA max_page_count = {pages}")))
    told, safe = [], []
    for n in range(40):
        message = note(to, f"m{n}")
        message.append(element("urn:example", "pad", text="x" * 3000))
        await alice.send(message)
    await sync(alice)
    for error in alice.stanzas:
        info = st.error_of(error)
        assert (info.condition, info.type) == ("resource-constraint", "wait")
        told.append(error.get("id"))
    safe = [f"m{n}" for n in range(40) if f"m{n}" not in told]
    assert told, "the disk was full"
    async with http.post(f"{server.url}/v1/registrations", json={"number": CAROL}) as answer:
        assert answer.status in (201, 503)
        assert (await answer.json()).get("code", "unavailable") == "unavailable"
    await database.run(lambda db: db.execute(text("PRAGMA max_page_count = 1000000")))
    bob = await connect(bob_phone)
    assert await sync(bob) == safe


@pytest.mark.parametrize("limits", [replace(Limits(), queue_stanzas=20)], indirect=True)
async def test_what_waits_for_a_broken_client_is_bounded(server, register, connect):
    alice, bob_phone = await connect(await register(ALICE)), await register(BOB)
    bob = await connect(bob_phone)
    broken = cut(bob)
    for n in range(30):
        await alice.send(note(bob.bare, f"m{n}"))
    await sync(alice)
    (session,) = server.server._context.sessions.of(BOB)
    assert len(session.management.unacknowledged) <= 11, "half of what may be, and what was there"
    again, event = await resume(connect, bob_phone, broken)
    assert event == Online(bob.stream.jid, resumed=True), "who sends to it does not end its session"
    while len(await sync(again)) < 30:  # in parts, each when the one before is acknowledged
        pass
    assert await sync(again) == [f"m{n}" for n in range(30)], "all of it was stored"


async def test_what_was_acknowledged_does_not_come_again(register, connect):
    alice, bob_phone = await connect(await register(ALICE)), await register(BOB)
    bob = await connect(bob_phone)
    await alice.send(note(bob.bare, "x"))
    await sync(alice)
    await settled(bob)
    cut(bob)
    again = await connect(bob_phone)
    assert await sync(again) == []
