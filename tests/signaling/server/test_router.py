"""The routing table of protocol.md section 3, over real WebSockets."""

import asyncio
from datetime import UTC, datetime

import pytest

from signaling import stanza as st
from signaling.blocking import BLOCKING
from signaling.contact_budget import ContactLimits
from signaling.jid import Jid
from signaling.rate_limit import Rate
from signaling.server_limits import Limits
from signaling.xml import CLIENT, DELAY, DISCO_INFO, HINTS, PING, child, element, is_named

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
JMI = "urn:xmpp:jingle-message:0"


@pytest.fixture
def limits(request):
    return getattr(request, "param", Limits())


def jmi(to, name="propose", sid="s1", store=True, **options):
    hints = (element(HINTS, "store"),) if store else ()
    return st.message(to, element(JMI, name, {"id": sid}), *hints, id=f"m-{sid}", **options)


def sid_of(stanza, name="propose"):
    node = child(stanza, JMI, name)
    assert node is not None, stanza.attrib
    return node.get("id")


async def two(register, connect):
    return await connect(await register(ALICE)), await connect(await register(BOB))


async def nothing(wire):
    """Nothing has come in: a ping to the server overtakes nothing."""
    answer = await wire.ask(st.iq("get", element(PING, "ping"), id="sync", to=wire.stream.domain))
    assert answer.get("type") == "result"
    assert wire.stanzas == []


async def test_bare_jid_reaches_the_device_with_the_real_from(register, connect):
    alice, bob = await two(register, connect)
    message = jmi(bob.bare)
    message.set("from", alice.bare)
    await alice.send(message)
    got = await bob.receive()
    assert got.get("from") == alice.jid and got.get("to") == bob.bare and got.get("id") == "m-s1"
    assert sid_of(got) == "s1"
    await nothing(alice)


async def test_own_bare_jid_reaches_the_own_devices(register, connect):
    alice, _ = await two(register, connect)
    for to in (alice.bare, None):
        message = jmi(alice.bare, "accept")
        if to is None:
            del message.attrib["to"]
        await alice.send(message)
        assert sid_of(await alice.receive(), "accept") == "s1"


async def test_every_online_device_of_an_account_rings(server, register, connect):
    """A second device comes by linking (later); here it is put into the store."""
    alice, bob_phone = await connect(await register(ALICE)), await register(BOB)
    from dataclasses import replace

    from signaling.storage.store import devices

    second = replace(bob_phone, device="dffffffffffffffff", device_token="second")
    import hashlib

    values = {"key": "", "name": "second", "added": 0.0, "used": server.clock()}
    from signaling.tokens import encode_public_key

    values["key"] = encode_public_key(second.key.public_key())
    values["token_hash"] = hashlib.sha256(b"second").hexdigest()
    added = devices.insert().values(device=second.device, number=BOB, **values)
    await server.server._context.store.database.run(lambda db: db.execute(added))
    first, second = await connect(bob_phone), await connect(second)
    await alice.send(jmi(first.bare))
    assert sid_of(await first.receive()) == sid_of(await second.receive()) == "s1"
    # A device tells the others of its own account.
    await first.send(jmi(first.bare, "accept"))
    assert (await second.receive()).get("from") == first.jid
    # To a full JID only that device.
    await alice.send(jmi(second.jid, sid="s2"))
    assert sid_of(await second.receive()) == "s2"
    await first.receive()
    await nothing(first)


async def test_full_jid_iq_goes_there_and_back(register, connect):
    alice, bob = await two(register, connect)
    await bob.show(alice)
    jingle = element("urn:xmpp:jingle:1", "jingle", {"action": "session-initiate", "sid": "s1"})
    await alice.send(st.iq("set", jingle, id="q1", to=bob.jid))
    question = await bob.receive()
    assert question.get("from") == alice.jid
    await bob.send(st.result(question))
    answer = await alice.receive()
    assert (answer.get("type"), answer.get("id"), answer.get("from")) == ("result", "q1", bob.jid)


async def test_iq_errors(register, connect):
    alice, bob = await two(register, connect)
    await bob.show(alice)
    ping = lambda to, id="q": st.iq("get", element(PING, "ping"), id=id, to=to)  # noqa: E731
    for to, condition in (
        (f"{BOB}@calls.example/d0000000000000000", "service-unavailable"),
        (bob.bare, "service-unavailable"),
        (f"{CAROL}@calls.example", "service-unavailable"),
        (f"{BOB}@other.example", "remote-server-not-found"),
        ("other.example", "remote-server-not-found"),
        ("@calls.example", "jid-malformed"),
        (f"{BOB}@", "jid-malformed"),
        ("calls.example/x", "service-unavailable"),
    ):
        error = st.error_of(await alice.ask(ping(to)))
        assert error is not None and error.condition == condition, to
    for iq in (
        st.iq("get", element("urn:example", "unknown"), id="q", to=None),
        st.iq("get", element(DISCO_INFO, "query", {"node": "x"}), id="q", to="calls.example"),
    ):
        assert st.error_of(await alice.ask(iq)).condition == "service-unavailable"
    for iq in (
        st.iq("get", id="q", to=bob.jid),
        st.iq("nonsense", element(PING, "ping"), id="q", to=bob.jid),
        st.iq("get", element(PING, "ping"), element(PING, "ping"), id="q", to=bob.jid),
    ):
        assert st.error_of(await alice.ask(iq)).condition == "bad-request"
    await nothing(bob)


async def test_ping_and_disco_are_answered_for_server_and_own_account(register, connect):
    alice, _ = await two(register, connect)
    for to in (None, alice.bare, "calls.example"):
        answer = await alice.ask(st.iq("get", element(PING, "ping"), id="p", to=to))
        assert answer.get("type") == "result" and answer.get("from") == to
        answer = await alice.ask(st.iq("get", element(DISCO_INFO, "query"), id="d", to=to))
        query = child(answer, DISCO_INFO, "query")
        assert {n.get("var") for n in query if n.get("var")} == {DISCO_INFO, PING, BLOCKING}


async def test_results_and_errors_that_reach_nobody_are_not_answered(register, connect):
    alice, bob = await two(register, connect)
    await alice.send(st.iq("result", id="x", to=f"{BOB}@calls.example/gone"))
    await alice.send(st.iq("error", id="x", to=bob.bare))
    await alice.send(st.message(f"{CAROL}@calls.example", type="error"))
    await alice.send(st.message(f"{CAROL}@calls.example", type="headline"))
    await alice.send(st.message("x@other.example", type="error"))
    await nothing(alice)
    await nothing(bob)


async def test_messages_to_whom_there_is_not(register, connect):
    alice, _ = await two(register, connect)
    for to in (f"{CAROL}@calls.example", "info@calls.example", "calls.example"):
        for kind in ("chat", None, "groupchat"):
            await alice.send(jmi(to, type=kind))
            assert st.error_of(await alice.receive()).condition == "service-unavailable", (to, kind)


async def test_offline_messages_are_kept_only_with_the_store_hint(server, register, connect):
    alice, bob_phone = await connect(await register(ALICE)), await register(BOB)
    to = f"{BOB}@{server.domain}"
    await alice.send(jmi(to, sid="no", store=False))
    assert st.error_of(await alice.receive()).condition == "service-unavailable"
    forged = element(DELAY, "delay", {"from": server.domain, "stamp": "2001-01-01T00:00:00Z"})
    message = jmi(to, sid="one")
    message.append(forged)
    await alice.send(message)
    await alice.send(jmi(f"{to}/{bob_phone.device}", "retract", sid="one"))
    await nothing(alice)
    server.advance(100)
    bob = await connect(bob_phone)
    first, second = await bob.receive(), await bob.receive()
    assert sid_of(first) == "one" and sid_of(second, "retract") == "one"
    (delay,) = [n for n in first if is_named(n, DELAY, "delay")]
    age = server.clock() - datetime.fromisoformat(delay.get("stamp")).replace(tzinfo=UTC).timestamp()
    assert delay.get("from") == server.domain and 99 < age < 110
    assert first.get("from") == alice.jid
    # Once it is acknowledged it is gone.
    await nothing(bob)
    await bob.socket.close()
    bob = await connect(bob_phone)
    await nothing(bob)


async def test_kept_messages_survive_a_restart_and_die_after_seven_days(server, register, connect):
    alice_phone, bob_phone = await register(ALICE), await register(BOB)
    alice = await connect(alice_phone)
    await alice.send(jmi(f"{BOB}@{server.domain}", sid="old"))
    await nothing(alice)
    await alice.socket.close()
    await server.restart()
    server.advance(6 * 86400)
    alice = await connect(alice_phone)
    await alice.send(jmi(f"{BOB}@{server.domain}", sid="new"))
    await nothing(alice)
    server.advance(86400 + 60)
    bob = await connect(bob_phone)
    assert sid_of(await bob.receive()) == "new"
    await nothing(bob)


async def test_a_thousand_kept_messages_arrive_in_order(server, register, connect):
    from signaling.storage.room import KeptMessage
    from signaling.xml import serialise

    alice_phone, bob_phone = await register(ALICE), await register(BOB)
    to, now = f"{BOB}@{server.domain}", server.clock()
    kept = [KeptMessage(0, BOB, CAROL, now, serialise(jmi(to, sid=f"s{n}"))) for n in range(1000)]
    assert all(await server.server._context.store.keep_messages(kept, 10_000, 1000, 1000))
    alice = await connect(alice_phone)
    await alice.send(jmi(to, sid="one too many"))
    assert st.error_of(await alice.receive()).condition == "service-unavailable"
    bob = await connect(bob_phone)
    assert [sid_of(await bob.receive()) for _ in range(1000)] == [f"s{n}" for n in range(1000)]
    await nothing(bob)
    await alice.send(jmi(to, sid="one more"))
    assert sid_of(await bob.receive()) == "one more"


@pytest.mark.long
@pytest.mark.parametrize("limits", [Limits(stanzas=Rate(10_000, 1e-4))], indirect=True)
@pytest.mark.parametrize("online", [False, True])
async def test_many_large_kept_messages_cut_nobody_off(register, connect, online):
    """Together they are more than may be on its way: who sends them could keep somebody off the line."""
    alice, phone = await connect(await register(ALICE)), await register(BOB)
    bob = await connect(phone) if online else None  # not reading, for the time being
    for n in range(30):
        body = element("urn:x", "y", text="x" * 60_000)
        await alice.send(st.message(f"{BOB}@calls.example", body, element(HINTS, "store"), id=f"m-{n}"))
    await nothing(alice)
    bob = bob or await connect(phone)
    assert [(await bob.receive()).get("id") for _ in range(30)] == [f"m-{n}" for n in range(30)]
    await nothing(bob)


async def test_one_sender_cannot_fill_what_is_kept_for_another(make_server, http):
    from signaling.storage.room import KeptMessage

    server = make_server()
    await server.start()
    store = server.server._context.store
    await store.register_device("r", BOB, "d1", "key", "name", "hash", 0.0)

    async def keep(number, sender, count):
        batch = [KeptMessage(0, number, sender, 0.0, "x") for _ in range(count)]
        return [id_ > 0 for id_ in await store.keep_messages(batch, 10, 10, 4)]

    assert await keep(BOB, ALICE, 6) == [True] * 4 + [False] * 2
    assert await keep(BOB, CAROL, 1) == [True]
    assert await keep(CAROL, ALICE, 1) == [False], "not registered"
    assert await store.keep_messages([KeptMessage(0, BOB, CAROL, 0.0, "x" * 11)], 10, 10, 4) == [0]
    await server.stop()


async def test_messages_of_an_old_generation_are_not_shown_to_the_new_owner(server, register, connect):
    alice, _ = await connect(await register(ALICE)), await register(BOB)
    await alice.send(jmi(f"{BOB}@{server.domain}", sid="private"))
    await nothing(alice)
    await nothing(await connect(await register(BOB)))


async def test_presence_goes_nowhere_and_unavailable_is_offline(register, connect):
    alice, bob = await two(register, connect)
    for kind in (None, "subscribe", "probe", "unavailable"):
        await alice.send(st.presence(to=bob.bare, type=kind))
        await alice.send(st.presence(to=bob.jid, type=kind))
    await nothing(bob)
    await nothing(alice)
    await bob.show(alice)
    await bob.send(st.presence(type="unavailable"))
    assert (await bob.receive()).get("type") == "unavailable"
    await alice.send(jmi(bob.jid, store=False))
    assert st.error_of(await alice.receive()).condition == "service-unavailable"
    await bob.send(st.presence())
    assert is_named(await bob.receive(), CLIENT, "presence")
    await alice.send(jmi(bob.jid, store=False))
    assert sid_of(await bob.receive()) == "s1"


@pytest.mark.long
async def test_fifty_calls_in_a_row_to_one_peer_are_free(register, connect):
    alice, bob = await two(register, connect)
    for n in range(50):
        await alice.send(jmi(bob.bare, sid=f"s{n}"))
        assert sid_of(await bob.receive()) == f"s{n}"
        await bob.send(jmi(alice.bare, "ringing", sid=f"s{n}"))
        await bob.send(jmi(alice.bare, "proceed", sid=f"s{n}"))
        assert sid_of(await alice.receive(), "ringing") == sid_of(await alice.receive(), "proceed") == f"s{n}"
        await bob.send(jmi(alice.bare, "finish", sid=f"s{n}"))
        await alice.receive()


@pytest.mark.parametrize("limits", [Limits(contacts=ContactLimits(numbers=Rate(10, 30)))], indirect=True)
async def test_calling_strangers_draws_from_the_lookups_budget(server, http, register, connect):
    alice_phone = await register(ALICE)
    alice = await connect(alice_phone)
    headers = await alice_phone.bearer()
    numbers = [f"+1202555{n:04d}" for n in range(110, 118)]
    async with http.post(
        f"{server.url}/v1/contacts/lookup", json={"numbers": numbers}, headers=headers
    ) as answer:
        assert answer.status == 200

    async def ring(number, name="propose"):
        await alice.send(jmi(f"{number}@{server.domain}", name, sid=number))
        error = st.error_of(await alice.receive())
        return error.condition, error.type

    absent, wait = ("service-unavailable", "cancel"), ("resource-constraint", "wait")
    assert await ring("+12025550130") == absent
    # Any message tells as much as a propose, so it costs as much.
    assert await ring("+12025550131", "ringing") == absent
    assert await ring("+12025550132") == wait
    assert await ring("+12025550132", "ringing") == wait
    assert await ring(numbers[0]) == await ring("+12025550130") == absent
    server.advance(30)
    assert await ring("+12025550132") == absent


async def test_who_was_called_can_answer_without_a_budget(server, register, connect):
    """A busy callee must be able to answer more strangers than it may ask for itself."""
    bob = await connect(await register(BOB))
    for n in range(103, 115):
        caller = await connect(await register(f"+1202555{n:04d}"))
        await caller.send(jmi(bob.bare, sid=f"s{n}"))
        await bob.receive()
        await bob.send(jmi(caller.bare, "reject", sid=f"s{n}"))
        assert sid_of(await caller.receive(), "reject") == f"s{n}"
        await caller.socket.close()


async def test_many_messages_keep_their_order(register, connect):
    alice, bob = await two(register, connect)
    for n in range(200):
        await alice.send(jmi(bob.bare, sid=f"s{n}"))
    assert [sid_of(await bob.receive()) for _ in range(200)] == [f"s{n}" for n in range(200)]


async def test_a_store_that_fails_is_told_to_the_sender(server, register, connect, caplog, monkeypatch):
    from sqlalchemy.exc import OperationalError

    alice, _ = await connect(await register(ALICE)), await register(BOB)

    async def fail(*_):
        raise OperationalError("INSERT", {}, Exception("disk full"))

    monkeypatch.setattr(server.server._context.store, "keep_messages", fail)
    await alice.send(jmi(f"{BOB}@{server.domain}"))
    error = st.error_of(await alice.receive())
    assert (error.condition, error.type) == ("resource-constraint", "wait") and "try again" in error.text
    assert "Traceback" not in caplog.text
    await nothing(alice)


async def test_jid_of_the_account_is_what_the_server_says(register, connect):
    alice = await connect(await register(ALICE))
    assert Jid.parse(alice.jid).number == ALICE
    assert alice.stream.jid.resource.startswith("d") and len(alice.stream.jid.resource) == 17
    async with asyncio.timeout(5):
        await nothing(alice)


async def test_no_error_is_answered_kept_or_goes_round(server, register, connect):
    """Whatever it is for: an answer to an error would be answered, and that answer as well."""
    alice, bob = await two(register, connect)
    await bob.show(alice)
    await alice.show(bob)
    phone = await register(CAROL)
    error = lambda: element(CLIENT, "error", {"type": "cancel"})  # noqa: E731
    hint = lambda: element(HINTS, "store")  # noqa: E731
    for to in (
        bob.bare,
        bob.jid,
        alice.bare,
        alice.jid,
        f"{CAROL}@{server.domain}",
        "+12025550177@calls.example",
        "@",
        "x@y",
        server.domain,
    ):
        await alice.send(st.message(to, error(), hint(), id="m", type="error"))
        await alice.send(st.iq("error", error(), id="q", to=to))
        await alice.send(st.iq("result", id="q", to=to))
    await nothing_but(alice, {"m", "q"})
    # Bob and Alice have what was for their devices, once; answering each of them with an error ends the matter.
    await nothing_but(bob, {"m", "q"})
    for wire in (alice, bob):
        came, wire.stanzas = wire.stanzas, []
        assert len(came) == 3
        for stanza in came:
            await wire.send(st.error(stanza, "bad-request"))
    for wire in (alice, bob):
        await nothing_but(wire, {"m", "q"})
        assert len(wire.stanzas) <= 3
    await nothing(await connect(phone))


async def nothing_but(wire, ids):
    await wire.ask(st.iq("get", element(PING, "ping"), id="sync", to=wire.stream.domain))
    wire.stanzas = [stanza for stanza in wire.stanzas if stanza.get("id") != "shown"]
    assert {stanza.get("id") for stanza in wire.stanzas} <= ids
