"""Logging in, the ends of a stream, and what a hostile client can do: nothing to anybody else."""

import asyncio
import base64
import gc
import logging
import socket
import weakref
from dataclasses import replace

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from signaling import stanza as st
from signaling.rate_limit import Rate
from signaling.server_limits import Limits
from signaling.stream import StreamTimes
from signaling.xml import BIND, DISCO_INFO, FRAMING, HINTS, PING, SASL, element, parse, serialise

ALICE, BOB = "+12025550100", "+12025550101"
JMI = "urn:xmpp:jingle-message:0"
OPEN = '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="calls.example" version="1.0"/>'
QUICK = StreamTimes(login=0.2, ping=0.1, gone=0.4, close=0.2)


@pytest.fixture
def limits(request):
    return getattr(request, "param", Limits())


@pytest.fixture
def quiet(caplog):
    """No traceback in the log, and nothing at all above info, whatever a client does."""
    caplog.set_level(logging.INFO)
    yield
    assert "Traceback" not in caplog.text
    assert [r for r in caplog.records if r.levelno > logging.INFO and r.name.startswith("signaling")] == []


async def raw(server, http, protocols=("xmpp",)):
    url = server.url.replace("http", "ws", 1) + "/xmpp"
    return await http.ws_connect(url, protocols=protocols, max_msg_size=0)


async def rest(socket):
    """All text frames until the server closes."""
    frames = []
    async with asyncio.timeout(5):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            frames.append(message.data)
            if "xmpp-framing" in message.data and "<close" in message.data:
                await socket.send_str(serialise(element(FRAMING, "close")))
    return frames


def plain(number, token):
    text = base64.b64encode(f"\0{number}\0{token}".encode()).decode()
    return serialise(element(SASL, "auth", {"mechanism": "PLAIN"}, text=text))


def says(frames, condition):
    assert any(f"<{condition}" in frame for frame in frames), frames
    assert "<close" in frames[-1]
    return True


async def alive(alice, bob):
    """The two can still talk: a hostile third one has not disturbed them."""
    await bob.show(alice)
    await alice.send(st.message(bob.bare, element(JMI, "propose", {"id": "alive"})))
    assert (await bob.receive()).get("from") == alice.jid


async def test_the_whole_login_by_hand(server, http, register, quiet):
    alice = await register(ALICE)
    socket = await raw(server, http)
    assert socket.protocol == "xmpp"
    await socket.send_str(OPEN)
    assert parse(await socket.receive_str()).get("from") == server.domain
    features = await socket.receive_str()
    assert "PLAIN" in features and "bind" not in features
    await socket.send_str(plain(ALICE, await alice.access_token()))
    assert "success" in await socket.receive_str()
    await socket.send_str(OPEN)
    await socket.receive_str()
    features = await socket.receive_str()
    assert "xmpp-bind" in features and "urn:xmpp:sm:3" in features and "PLAIN" not in features
    bind = element(BIND, "bind", None, element(BIND, "resource", text=alice.device))
    await socket.send_str(serialise(st.iq("set", bind, id="b1")))
    assert f"{ALICE}@{server.domain}/{alice.device}" in await socket.receive_str()
    await socket.send_str(serialise(st.presence()))
    assert "presence" in await socket.receive_str()
    await socket.send_str(serialise(element(FRAMING, "close")))
    assert "close" in (await rest(socket))[-1]


async def test_bad_logins(server, http, register, quiet):
    alice, bob = await register(ALICE), await register(BOB)
    token = await alice.access_token()
    expired = await bob.access_token()
    for auth in (
        plain(ALICE, "wrong"),
        plain(BOB, token),
        plain(ALICE, token[:-4] + "AAAA"),
        plain(ALICE, alice.device_token),
        plain(ALICE, alice.assertion()),
    ):
        socket = await raw(server, http)
        await socket.send_str(OPEN)
        await socket.send_str(auth)
        assert says(await rest(socket), "not-authorized")
    for auth, condition in (
        (serialise(element(SASL, "auth", {"mechanism": "SCRAM-SHA-1"}, text="x")), "invalid-mechanism"),
        (serialise(element(SASL, "auth", {"mechanism": "PLAIN"}, text="***")), "incorrect-encoding"),
        (serialise(element(SASL, "auth", {"mechanism": "PLAIN"}, text="AAAA")), "malformed-request"),
        (serialise(element(SASL, "auth", {"mechanism": "PLAIN"})), "malformed-request"),
    ):
        socket = await raw(server, http)
        await socket.send_str(OPEN)
        await socket.send_str(auth)
        assert says(await rest(socket), condition)
    server.advance(931)
    socket = await raw(server, http)
    await socket.send_str(OPEN)
    await socket.send_str(plain(BOB, expired))
    assert says(await rest(socket), "not-authorized")


async def test_wrong_logins_of_neighbours_keep_nobody_out(server, http, register):
    alice = await register(ALICE)
    for _ in range(20):
        socket = await raw(server, http)
        await socket.send_str(OPEN)
        await socket.send_str(plain(ALICE, "wrong"))
        await rest(socket)
    socket = await raw(server, http)
    await socket.send_str(OPEN)
    await socket.send_str(plain(ALICE, await alice.access_token()))
    for _ in range(3):
        last = await socket.receive_str()
    assert "success" in last
    await socket.close()


async def test_only_the_sub_protocol_xmpp(server, http):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await raw(server, http, protocols=("chat",))
    assert refused.value.status == 400
    async with http.get(f"{server.url}/xmpp") as answer:
        assert answer.status == 400 and (await answer.json(content_type=None))["code"] == "bad_request"
    async with http.get(f"{server.url}/xmpp", headers={"Sec-WebSocket-Protocol": "xmpp"}) as answer:
        assert answer.status == 400


async def test_the_resource_is_the_tokens_device(server, register, connect):
    alice, bob = await register(ALICE), await register(BOB)
    wire = await connect(alice, online=False, resource=bob.device)
    await wire.flush()
    assert (await wire.ended()).condition == "not-authorized"


async def test_the_same_device_again_replaces_the_old_stream(register, connect):
    phone, bob = await register(ALICE), await connect(await register(BOB))
    old = await connect(phone)
    new = await connect(phone)
    assert (await old.ended()).condition == "conflict"
    await alive(bob, new)


async def test_a_revoked_device_is_thrown_out(server, http, register, connect):
    phone = await register(ALICE)
    old = await connect(phone)
    new = await connect(await register(ALICE))
    assert (await old.ended()).condition == "not-authorized"
    bob_phone = await register(BOB)
    bob = await connect(bob_phone)
    headers = await bob_phone.bearer()
    async with http.delete(f"{server.url}/v1/devices/{bob_phone.device}", headers=headers) as answer:
        assert answer.status == 204
    assert (await bob.ended()).condition == "not-authorized"
    await new.send(st.iq("get", element(PING, "ping"), id="p"))
    assert (await new.receive()).get("type") == "result"


async def test_another_from_ends_the_stream(register, connect, quiet):
    alice, bob = await connect(await register(ALICE)), await connect(await register(BOB))
    mallory = await connect(await register("+12025550102"))
    message = st.message(bob.bare, element(JMI, "propose", {"id": "x"}))
    message.set("from", alice.jid)
    await mallory.send(message)
    assert (await mallory.ended()).condition == "invalid-from"
    await alive(alice, bob)
    assert bob.stanzas == []


BOMB = (
    '<!DOCTYPE m [<!ENTITY a "'
    + "x" * 100
    + '">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(8))
    + ']><message xmlns="jabber:client" to="calls.example"><body>&i;</body></message>'
)
HOSTILE = {
    "no xml": ("hello", "not-well-formed"),
    "empty": ("", "not-well-formed"),
    "open tag": ('<message xmlns="jabber:client">', "not-well-formed"),
    "stream header of TCP": ("<?xml version='1.0'?><stream:stream to='calls.example'>", "not-well-formed"),
    "two roots": ('<presence xmlns="jabber:client"/><presence xmlns="jabber:client"/>', "not-well-formed"),
    "undeclared entity": ('<message xmlns="jabber:client">&boom;</message>', "not-well-formed"),
    "control character": ('<message xmlns="jabber:client">\x01</message>', "not-well-formed"),
    "doctype": (
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><presence xmlns="jabber:client"/>',
        "policy-violation",
    ),
    "entity bomb": (BOMB, "policy-violation"),
    "comment": ('<message xmlns="jabber:client"><!-- x --></message>', "policy-violation"),
    "comment before": ('<!-- x --><message xmlns="jabber:client"/>', "policy-violation"),
    "instruction": ('<message xmlns="jabber:client"><?x y?></message>', "policy-violation"),
    "too large": ('<message xmlns="jabber:client">' + "x" * 300_000 + "</message>", "policy-violation"),
    "too deep": (
        '<message xmlns="jabber:client">' + "<a>" * 40 + "</a>" * 40 + "</message>",
        "policy-violation",
    ),
    "far too deep": (
        '<message xmlns="jabber:client">' + "<a>" * 20000 + "</a>" * 20000 + "</message>",
        "not-well",
    ),
    "too many": ('<message xmlns="jabber:client">' + "<a/>" * 2000 + "</message>", "policy-violation"),
    "no namespace": ("<message/>", "invalid-namespace"),
    "wrong namespace": ('<iq xmlns="jabber:server"/>', "invalid-namespace"),
    "unknown element": ('<foo xmlns="jabber:client"/>', "unsupported-stanza-type"),
    "second login": (plain(ALICE, "x"), "bad-format"),
    "second header": (OPEN, "bad-format"),
}


async def test_hostile_frames_end_only_that_stream(server, register, connect, quiet):
    alice, bob = await connect(await register(ALICE)), await connect(await register(BOB))
    phone = await register("+12025550102")
    for name, (frame, condition) in HOSTILE.items():
        mallory = await connect(phone)
        await mallory.socket.send_str(frame)
        assert (await mallory.ended()).condition.startswith(condition), name
        await mallory.socket.close()
        await alive(alice, bob)


BEFORE_LOGIN = [
    (["nonsense"], "not-well-formed"),
    ([BOMB], "policy-violation"),
    (['<presence xmlns="jabber:client"/>'], "not-authorized"),
    ([plain(ALICE, "x")], "bad-format"),
    ([OPEN.replace("calls.example", "other.example")], "host-unknown"),
    ([OPEN.replace("1.0", "0.9")], "unsupported-version"),
    ([OPEN, '<message xmlns="jabber:client"/>'], "not-authorized"),
    ([OPEN, OPEN], "bad-format"),
]


async def test_hostile_before_login(server, http, quiet):
    for frames, condition in BEFORE_LOGIN:
        socket = await raw(server, http)
        for frame in frames:
            await socket.send_str(frame)
        got = await rest(socket)
        # RFC 7395 3.4: first a stream header, then its error, then the close.
        assert parse(got[0]).tag == f"{{{FRAMING}}}open"
        assert says(got, condition)


async def test_before_binding_only_bind(server, http, register, quiet):
    alice = await register(ALICE)
    socket = await raw(server, http)
    for frame in (OPEN, plain(ALICE, await alice.access_token()), OPEN, '<presence xmlns="jabber:client"/>'):
        await socket.send_str(frame)
    assert says(await rest(socket), "not-authorized")


async def test_binary_frames_and_giants(server, http, register, connect, quiet):
    alice, bob = await connect(await register(ALICE)), await connect(await register(BOB))
    socket = await raw(server, http)
    await socket.send_bytes(b"\x00" * 1000)
    assert says(await rest(socket), "unsupported-encoding")
    socket = await raw(server, http)
    await socket.send_str("x" * 2_000_000)
    await rest(socket)
    # Above a megabyte it is not even read: WebSocket's own 1009, message too big.
    assert socket.close_code == 1009
    await alive(alice, bob)


async def test_not_utf8(server, quiet):
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"GET /xmpp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
        b"\x81\x84\x00\x00\x00\x00\xff\xfe\xfd\xfc"
    )
    async with asyncio.timeout(5):
        data = await reader.read()
    assert b" 101 " in data and b"\x03\xef" in data  # close code 1007, invalid payload
    writer.close()


ANY_AMOUNT = {"frames_before_login": 10**9, "bytes_before_login": 10**9}


@pytest.mark.parametrize("limits", [Limits(times=replace(QUICK, login=5))], indirect=True)
async def test_who_says_goodbye_and_reads_nothing_is_cut(server, quiet):
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, limit=1024
    )  # reads no more than twice that
    upgrade = "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    more = "Host: x", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: xmpp", "", ""
    writer.write("\r\n".join(("GET /xmpp HTTP/1.1", *upgrade, *more)).encode())
    await reader.readuntil(b"\r\n\r\n")
    (connection,) = server.server._connections
    transport = connection._transport
    for end in (transport, writer):
        buffer = socket.SO_SNDBUF if end is transport else socket.SO_RCVBUF
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, 4096)
    async with asyncio.timeout(5):
        while transport.get_write_buffer_size() < 20_000:
            transport.write(b"\x8a\x7d" + b"a" * 125)  # a pong
            await asyncio.sleep(0)
        writer.write(b"\x88\x82\0\0\0\0\x03\xe8")  # close, 1000
        await connection.finished.wait()
        assert transport.get_write_buffer_size() > 0
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"a" * 1000)
                await writer.drain()
    writer.close()


@pytest.mark.parametrize("limits", [Limits(**ANY_AMOUNT)], indirect=True)
async def test_names_that_strangers_send_are_not_kept(server, http, allocated_bytes):
    async def attack(n):
        socket = await raw(server, http)
        await socket.send_str(f"<a>{''.join(f'<of{n}x{k}/>' for k in range(16_000))}</a>")
        assert says(await rest(socket), "policy-violation")

    await attack(0)
    await attack(1)
    before = allocated_bytes()
    for n in range(2, 8):
        await attack(n)
    # libxml2 needs about 700 KB for the names of one.
    assert allocated_bytes() - before < 700_000


@pytest.mark.parametrize("limits", [Limits(times=QUICK)], indirect=True)
async def test_who_does_not_log_in_in_time_is_closed(server, http, quiet):
    socket = await raw(server, http)
    assert says(await rest(socket), "connection-timeout")


@pytest.mark.parametrize("limits", [Limits(times=QUICK)], indirect=True)
async def test_pings_do_not_keep_a_login_waiting(server, http, quiet):
    socket = await raw(server, http)
    ending = asyncio.create_task(rest(socket))
    while not ending.done():
        await socket.ping()
        await asyncio.wait((ending,), timeout=0.02)
    assert says(await ending, "connection-timeout")


@pytest.mark.parametrize("limits", [Limits(times=replace(QUICK, login=5))], indirect=True)
async def test_silence_is_pinged_and_then_ended(server, register, connect, quiet):
    alice = await connect(await register(ALICE))
    bob = await connect(await register(BOB))
    # Bob's stream answers the pings; Alice reads, but says nothing.
    listening = asyncio.create_task(bob.ended())
    pings = 0
    async with asyncio.timeout(5):
        while (message := await alice.socket.receive()).type is aiohttp.WSMsgType.TEXT:
            if "urn:xmpp:ping" in message.data:
                pings += 1
            if "connection-timeout" in message.data:
                break
    assert pings >= 2
    assert not listening.done()
    await bob.send(st.message(alice.bare, element(JMI, "propose", {"id": "x"})))
    listening.cancel()


@pytest.mark.long
@pytest.mark.parametrize(
    "limits",
    [Limits(times=replace(QUICK, ping=30, gone=75, login=5), stanzas=Rate(10_000, 1e-4))],
    indirect=True,
)
async def test_a_slow_reader_is_not_cut_by_who_sends_to_it(server, register, connect, quiet, monkeypatch):
    """The sender is told to wait, the queue is bounded, others are not slowed, and nothing that was taken is lost."""
    from signaling.server import router

    monkeypatch.setattr(router, "ROOM_LOOKS", 2)
    alice, bob = await connect(await register(ALICE)), await connect(await register(BOB))
    slow = await connect(await register("+12025550102"))
    # What TCP buffers is taken away first; then the queue fills to its bound.
    await slow.show(alice)
    slow.socket._writer.transport.pause_reading()
    (session,) = server.server._context.sessions.online("+12025550102")
    body = element("urn:example", "pad", text="x" * 60_000)
    taken, told = [], []
    async with asyncio.timeout(20):
        for n in range(40):
            await alice.send(st.message(slow.bare, body, id=f"m{n}", type="chat"))
            answer = await alice.ask(st.iq("get", element(PING, "ping"), id=f"sync{n}"))
            assert answer.get("type") == "result"
            (told if alice.stanzas else taken).append(f"m{n}")
            assert all(st.error_of(s).condition == "resource-constraint" for s in alice.stanzas)
            alice.stanzas.clear()
            assert session.management.size < 256 * 1024
        assert told and session.available and session.link is not None
        # What is kept for it waits in the store.
        for n in range(20):
            await alice.send(st.message(slow.bare, body, element(HINTS, "store"), id=f"k{n}"))
        await alive(alice, bob)
        assert session.management.size < 1024 * 1024 and session.available
        slow.socket._writer.transport.resume_reading()
        got = [(await slow.receive()).get("id") for _ in range(len(taken) + 20)]
    assert got == taken + [f"k{n}" for n in range(20)]


@pytest.mark.parametrize(
    "limits",
    [Limits(times=replace(QUICK, ping=30, gone=75, login=5), stanzas=Rate(10_000, 1e-4))],
    indirect=True,
)
async def test_who_asks_and_does_not_read_is_cut(server, register, connect, quiet):
    slow = await connect(await register(ALICE))
    slow.socket._writer.transport.pause_reading()
    async with asyncio.timeout(20):
        for n in range(20_000):
            if not server.server._context.sessions.online(ALICE):
                break
            await slow.send(st.iq("get", element(DISCO_INFO, "query"), id=f"q{n}"))
            await asyncio.sleep(0)
    assert not server.server._context.sessions.online(ALICE), "the queue is not bounded"
    slow.socket._writer.transport.resume_reading()


@pytest.mark.parametrize("limits", [Limits(stanzas=Rate(20, 0.01))], indirect=True)
async def test_a_flood_is_read_slower_and_loses_nothing(register, connect):
    alice, bob = await connect(await register(ALICE)), await connect(await register(BOB))
    await bob.show(alice)
    began = asyncio.get_running_loop().time()
    for n in range(60):
        await alice.send(st.message(bob.bare, element(JMI, "propose", {"id": f"s{n}"}), id=f"m{n}"))
    assert [(await bob.receive()).get("id") for _ in range(60)] == [f"m{n}" for n in range(60)]
    assert asyncio.get_running_loop().time() - began > 0.3


async def test_draining_says_system_shutdown_and_leaves_nothing(server, http, register, connect):
    phone = await register(ALICE)
    alice, bob = await connect(phone), await connect(await register(BOB))
    silent = await raw(server, http)
    ended = asyncio.gather(alice.ended(), bob.ended(), rest(silent))
    async with asyncio.timeout(5):
        await server.stop()
        first, second, frames = await ended
    assert first.condition == second.condition == "system-shutdown" and says(frames, "system-shutdown")
    await server.start()
    await (await connect(phone)).send(st.presence())
    others = [t for t in asyncio.all_tasks() if "Connection" in str(t.get_coro())]
    assert len(others) <= 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=some.lists(
        some.text() | some.binary() | some.sampled_from([OPEN, plain(ALICE, "x"), "<a/>"]), max_size=4
    )
)
def test_any_frames_get_a_proper_end(any_frames, frames):
    any_frames(frames)


@pytest.fixture
def any_frames(tmp_path, caplog):
    from signaling.server.app import Server
    from signaling.server_config import ServerConfig

    loop = asyncio.new_event_loop()
    config = ServerConfig(
        data=tmp_path / "data", port=0, domain="calls.example", sms=f"file:{tmp_path / 'sms'}"
    )

    async def open_all():
        limits = Limits(times=replace(QUICK, login=1))
        return await Server.start(config, limits=limits), aiohttp.ClientSession()

    server, session = loop.run_until_complete(open_all())

    async def one(frames):
        socket = await raw(server, session)
        try:
            for frame in frames:
                await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
            await socket.send_str(serialise(element(FRAMING, "close")))
            got = await rest(socket)
            assert not got or "<close" in got[-1]
        except ConnectionError:
            pass
        await socket.close()

    yield lambda frames: loop.run_until_complete(one(frames))

    async def close_all():
        await session.close()
        assert server._connections == set()
        await server.stop()

    loop.run_until_complete(close_all())
    loop.close()
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("limits", [Limits(stanzas=Rate(1e9, 1e-9))], indirect=True)
async def test_a_burst_cuts_nobody_who_reads(register, connect):
    """Frames that are already there are not routed all at once: the receiver's writer gets its turn."""
    alice, bob = await connect(await register(ALICE)), await connect(await register(BOB))
    await bob.show(alice)
    frame = serialise(st.message(bob.bare, element(JMI, "ringing", {"id": "s"}), id="m"))

    async def send():
        for _ in range(2000):
            await alice.socket.send_str(frame)

    sending = asyncio.create_task(send())
    for _ in range(2000):
        assert (await bob.receive()).get("id") == "m"
    await sending


async def test_a_connection_that_ended_leaves_nothing_to_the_garbage_collector(
    server, register, connect, no_gc
):
    alice = await connect(await register(ALICE))
    (connection,) = server.server._connections
    over, gone = connection.finished, weakref.ref(connection._socket)
    del connection
    alice.socket._writer.transport.abort()
    async with asyncio.timeout(5):
        await over.wait()
        while server.server._connections:  # noqa: ASYNC110
            await asyncio.sleep(0)
    for session in server.server._context.sessions.of(ALICE):
        server.server._router.over(session)
    await asyncio.sleep(0)
    assert gone() is None


@pytest.fixture
def no_gc():
    gc.disable()
    yield
    gc.enable()
