"""What a server adds to a stanza, or makes of it by writing it anew, never makes one that a client cannot take."""

import asyncio

import pytest

from signaling import stanza as st
from signaling.blocking import BLOCKING
from signaling.client import Client
from signaling.server_limits import Limits
from signaling.storage.store import messages
from signaling.xml import CLIENT, HINTS, PING, element, parse

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
STORE = "<store xmlns='urn:xmpp:hints'/>"
# What is short as it comes and long as it is written, what is just within a limit, what a delay makes too much.
GROWING = {
    "elements": STORE + "<a/>" * 1998,
    "fewer elements": STORE + "<a/>" * 1991,
    "text": f"<body>{'>' * 100_000}</body>",
    "kept text": f"{STORE}<body>{'>' * 60_000}</body>",
    "cdata": f"<body><![CDATA[{'<' * 100_000}]]></body>",
    "quotes": f"<x a='{chr(34) * 200_000}'/>",
    "line breaks": f"<x a='{'&#10;' * 50_000}'/>",
    "bytes, not characters": f"{STORE}<body>{'€' * 60_000}</body>",
    "exactly": f"<body>{'x' * (262_144 - 400)}</body>",
    "deep": "<a>" * 30 + "</a>" * 30,
}


@pytest.fixture
def limits(request):
    return getattr(request, "param", Limits())


async def sync(wire):
    answer = await wire.ask(st.iq("get", element(PING, "ping"), id="sync", to=wire.stream.domain))
    assert answer.get("type") == "result"


@pytest.mark.parametrize("case", GROWING)
@pytest.mark.parametrize("online", [False, True])
async def test_a_message_that_grows_locks_nobody_out(server, register, connect, make_profile, case, online):
    """It arrives, or its sender is told; who it is for is online with one sign-in, whatever it was."""
    path = await make_profile(BOB)
    alice = await connect(await register(ALICE))
    frame = (
        f"<message xmlns='{CLIENT}' to='{BOB}@{server.domain}' type='chat' id='m'>{GROWING[case]}</message>"
    )
    if not online:
        await alice.socket.send_str(frame)
        await sync(alice)
    async with Client.open(path) as bob:
        await bob.wait_online(5)
        got, receive = [], bob._dispatch.receive
        bob._dispatch.receive = lambda stanza: got.append(stanza.get("id")) or receive(stanza)
        if online:
            await alice.socket.send_str(frame)
            await sync(alice)
        await bob._connection.ask("get", element(PING, "ping"), None)
        assert (bob._connection.logins, bob.online) == (1, True), bob._connection.last_error
        told = [st.error_of(stanza) for stanza in alice.stanzas if stanza.get("id") == "m"]
        assert "m" in got or told
        if told and told[0].condition == "policy-violation":
            assert "too large to be delivered" in told[0].text


async def test_an_answer_does_not_grow_either(server, register, connect):
    """What an answer repeats is bounded, so that nobody is cut off by the answer to what it sent."""
    phone = await register(ALICE)
    alice, quotes = await connect(phone), '"' * 100_000
    for inner, to in (
        (f"<x xmlns='urn:x' a='{quotes}'/>", server.domain),
        (f"<services xmlns='urn:xmpp:extdisco:2' type='{quotes}'/>", server.domain),
        (f"<query xmlns='http://jabber.org/protocol/disco#info' node='{quotes}'/>", server.domain),
        ("<x xmlns='urn:x'/>", "@" + '"' * 500),
    ):
        await alice.socket.send_str(f"<iq xmlns='{CLIENT}' type='get' id='q' to='{to}'>{inner}</iq>")
        assert (await alice.receive()).get("type") == "error"
    await alice.socket.close()
    alice = await connect(phone)
    await alice.send(st.iq("get", element("urn:x", "x"), id=quotes[:2000]))
    ended = await alice.ended()
    assert (ended.condition, ended.by_peer) == ("policy-violation", True)


@pytest.mark.parametrize("limits", [Limits(blocked_numbers=5000)], indirect=True)
async def test_a_block_list_stays_one_that_its_client_can_read(server, register, connect):
    """Whatever the operator allows."""
    alice = await connect(await register(ALICE))

    async def block(first, count):
        items = (
            element(BLOCKING, "item", {"jid": f"+1202{n:07d}@{server.domain}"})
            for n in range(first, first + count)
        )
        return await alice.ask(st.iq("set", element(BLOCKING, "block", None, *items), id=f"b{first}"))

    assert (await block(2_000_000, 1900)).get("type") == "result"
    assert st.error_of(await block(3_000_000, 200)).condition == "resource-constraint"
    answer = await alice.ask(st.iq("get", element(BLOCKING, "blocklist"), id="list"))
    assert len(answer[0]) == 1900


@pytest.mark.parametrize(
    "kept", ["<message", f"<message xmlns='{CLIENT}' id='p'>{'<a/>' * 1999}</message>"], ids=["cut", "many"]
)
async def test_what_an_earlier_version_kept_and_nobody_can_read_is_dropped(
    server, register, connect, make_profile, kept
):
    path = await make_profile(BOB)
    store = server.server._context.store
    good = f"<message xmlns='{CLIENT}' from='{ALICE}@{server.domain}/d' id='good'/>"
    rows = [{"number": BOB, "sender": ALICE, "kept": server.clock(), "stanza": text} for text in (kept, good)]
    await store.database.run(lambda db: db.execute(messages.insert(), rows))
    async with Client.open(path) as bob:
        got = []
        bob._dispatch.receive = lambda stanza: got.append(stanza.get("id"))
        await bob.wait_online(5)
        for _ in range(3):  # what came in is acknowledged
            await bob._connection.ask("get", element(PING, "ping"), None)
        assert got == ["good"] and bob._connection.logins == 1
    await server.server._router._received.delete()
    assert await store.kept_messages(BOB, 0, 0, 10) == []


async def test_a_limit_in_bytes_counts_bytes(server, register, connect):
    """Of what is kept, and of what is on its way: an astral character is one of Python's and four of the wire's."""
    alice, bob = await connect(await register(ALICE)), await register(BOB)
    for text, fits in (("\U0001f600" * 16_000, True), ("\U0001f600" * 16_400, False)):
        await alice.send(
            st.message(
                f"{BOB}@{server.domain}", element("urn:x", "x", text=text), element(HINTS, "store"), id="m"
            )
        )
        await sync(alice)
        assert bool(alice.stanzas) is not fits
    wire = await connect(bob)
    assert (await wire.receive())[0].text == "\U0001f600" * 16_000
    (session,) = server.server._context.sessions.of(BOB)
    assert session.management.size == 0 or session.management.size > 60_000


async def test_one_frame_of_quotes_a_second_cuts_nobody_off(server, register, connect, open_client):
    bob, alice = await open_client(BOB), await connect(await register(ALICE))
    frame = (
        f"<message xmlns='{CLIENT}' to='{BOB}@{server.domain}' id='m'><x a='{chr(34) * 200_000}'/></message>"
    )
    for _ in range(4):
        await alice.socket.send_str(frame)
        await sync(alice)
    await bob._connection.ask("get", element(PING, "ping"), None)
    assert bob._connection.logins == 1 and len(alice.stanzas) == 4
    assert all(parse(frame).get("id") == stanza.get("id") for stanza in alice.stanzas)
    await asyncio.sleep(0)
