"""What a connection can do before its login, over sockets; and that the others do not feel it."""

import asyncio
import base64
import errno
import os
import socket
import ssl

import pytest

from signaling.rate_limit import Rate
from signaling.server.listener import ACCEPT_AGAIN, Listener
from signaling.server_limits import Limits
from signaling.stream import StreamTimes

from .test_app import make_certificate

ALICE, BOB = "+12025550100", "+12025550101"
OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='calls.example' version='1.0'/>"


@pytest.fixture
def limits():
    return Limits(times=StreamTimes(close=0.05))


def frame(opcode: int, data: bytes = b"", fin: bool = True) -> bytes:
    head = bytes(((0x80 if fin else 0) | opcode,))
    size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return head + size + bytes(4) + data


UPGRADE = (
    b"GET /xmpp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n"
)


async def connect(server):
    return await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))


async def websocket(server):
    reader, writer = await connect(server)
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def until_closed(reader) -> bytes:
    data = b""
    async with asyncio.timeout(5):
        try:
            while piece := await reader.read(65536):
                data += piece
        except ConnectionError:
            pass
    return data


class TestCrowds:
    @pytest.fixture
    def limits(self):
        return Limits(strangers=40, strangers_of_address=10)

    @pytest.mark.parametrize(
        "begun", [b"", b"GET /xmpp HTTP/1.1\r\nHost: ", b"\x16\x03\x01", UPGRADE], ids=str
    )
    async def test_who_logs_in_comes_in_while_idle_ones_hold_all_they_can(
        self, server, register, connect, begun
    ):
        phones = [await register(ALICE), await register(BOB)]
        first = await connect(phones[0])
        crowd = []
        for _ in range(50):
            crowd.append(await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2])))
            crowd[-1][1].write(begun)
        second = await connect(phones[1])
        for wire in (first, second):  # neither has gone
            assert not wire.socket.closed
        assert server.server._admission.strangers <= 10
        # The oldest went first.
        await until_closed(crowd[0][0])
        for _, writer in crowd:
            writer.transport.abort()

    async def test_who_was_dropped_leaves_nothing(self, server):
        crowd = [await connect(server) for _ in range(30)]
        for _, writer in crowd:
            writer.transport.abort()
        async with asyncio.timeout(5):
            while server.server._admission.strangers:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert not server.server._listeners[0].peers


class TestTime:
    @pytest.fixture
    def limits(self):
        return Limits(head=0.3, keep_alive=0.3, times=StreamTimes(login=0.3, close=0.1))

    @pytest.mark.parametrize("bytes_", [b"", b"G", b"GET /healthz HTTP/1.1\r\nX: "])
    async def test_a_head_has_its_time_and_each_byte_of_it_no_more(self, server, bytes_):
        reader, writer = await connect(server)
        writer.write(bytes_)

        async def drip():
            while not writer.transport.is_closing():
                writer.write(b"x" if bytes_ else b"")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        await until_closed(reader)
        dripping.cancel()
        writer.transport.abort()

    async def test_a_tls_handshake_that_does_not_end_is_not_waited_for(
        self, make_server, tmp_path, http, limits
    ):
        cert, key = make_certificate(tmp_path)
        server = make_server(limits, host="localhost", tls_cert=cert, tls_key=key)
        await server.start()
        port = int(server.url.rpartition(":")[2])
        held = [await asyncio.open_connection("localhost", port) for _ in range(5)]
        for _, writer in held[:3]:
            writer.write(b"\x16\x03\x01\x02\x00")
        trust = ssl.create_default_context(cafile=cert)
        async with http.get(f"{server.url}/healthz", ssl=trust) as answer:
            assert answer.status == 200
        for reader, writer in held:
            await until_closed(reader)
            writer.close()
        await server.stop()

    @pytest.mark.parametrize("kind", ["ping", "pong", "open", "half a frame", "fragments"])
    async def test_nothing_makes_the_time_to_log_in_longer(self, server, kind):
        reader, writer = await websocket(server)
        piece = {"ping": frame(9), "pong": frame(10), "open": frame(1, OPEN), "half a frame": b""}.get(kind)
        writer.write(
            b"\x81\xfe" if kind == "half a frame" else frame(1, b"<", fin=False) if piece is None else b""
        )

        async def drip():
            for _ in range(14):
                if piece != b"":
                    writer.write(frame(0, b"a", fin=False) if piece is None else piece)
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        await until_closed(reader)
        await dripping
        writer.transport.abort()


@pytest.mark.parametrize(
    "kind", ["ping", "pong", "open", "text", "fragments", "large fragments", "a large one"]
)
async def test_a_websocket_sends_no_more_than_a_login_takes(server, kind):
    """Frames or bytes, whichever comes first; whatever they are, they are not even read."""
    reader, writer = await websocket(server)
    block = {
        "ping": frame(9) * 500,
        "pong": frame(10, b"a" * 100) * 500,
        "open": frame(1, OPEN) * 100,
        "text": frame(1, b"<a/>") * 500,
        "fragments": frame(1, fin=False) + frame(0, fin=False) * 5000,
        "large fragments": frame(1, b"<a>", fin=False) + frame(0, b"a" * 4000, fin=False) * 10,
        "a large one": b"\x81\xff" + (1_000_000).to_bytes(8, "big") + bytes(4) + b"a" * 100_000,
    }[kind]
    writer.write(block)
    writer.write(frame(8, b"\x03\xe8"))  # close: it need not wait for it
    said = await until_closed(reader)
    assert b"policy-violation" in said or b"bad-format" in said or b"unsupported-stanza-type" in said
    writer.close()
    assert not server.server._admission.strangers


async def test_a_connection_is_not_read_on_while_its_bytes_wait(server):
    """Before a request is handled no more than a head and a body of it is taken from the network."""
    limits = Limits()
    reader, writer = await connect(server)
    writer.write(b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    (peer,) = server.server._listeners[0].peers
    for n in range(2000):
        writer.write(b"X-%d: %s\r\n" % (n, b"a" * 1000))
        for _ in range(10):
            await asyncio.sleep(0)
        if (
            writer.transport.is_closing()
            or reader.at_eof()
            or writer.transport.get_write_buffer_size() > 200_000
        ):
            break
    assert peer._sent <= 16 * 1024 + limits.body_bytes + 8 * 1024
    writer.transport.abort()


async def test_requests_are_answered_one_by_one(server):
    """Who sends the next one before the answer gets both, and then no more: else there would be no end to what waits."""
    reader, writer = await connect(server)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
    said = await until_closed(reader)
    assert 1 <= said.count(b"HTTP/1.1 200") <= 3
    writer.close()
    # Who waits for the answers may go on for as long as it wants.
    reader, writer = await connect(server)
    for _ in range(20):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"status": "ok"}'))
    writer.close()


async def test_an_answer_before_the_end_of_a_body_is_the_last_one(server):
    """And says so: the rest, however much that is, is not taken in for it."""
    for path, status in ((b"/v1/tokens", b" 413 "), (b"/none", b" 404 ")):
        reader, writer = await connect(server)
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
        writer.write(head % path + b" " * 100_000)
        async with asyncio.timeout(5):
            said = await reader.readuntil(b"\r\n\r\n")
        assert status in said and b"Connection: close" in said
        writer.transport.abort()


async def test_a_client_that_says_it_sends_no_more_still_gets_its_answer_or_an_end(server):
    reader, writer = await connect(server)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    writer.write_eof()
    await until_closed(reader)
    writer.close()
    async with asyncio.timeout(5):
        while server.server._listeners[0].peers:  # noqa: ASYNC110
            await asyncio.sleep(0)


class TestMembers:
    @pytest.fixture
    def limits(self):
        return Limits(bytes=Rate(100_000, 1 / 1000), times=StreamTimes(close=0.05))

    async def test_a_flood_of_empty_frames_after_the_login_is_read_slower(self, server, register, connect):
        alice = await connect(await register(ALICE))
        transport = alice.socket._writer.transport
        transport.write(frame(1, fin=False))
        for _ in range(100):
            transport.write(frame(0, fin=False) * 2000)
            for _ in range(5):
                await asyncio.sleep(0)
        peer = next(peer for peer in server.server._listeners[0].peers if peer._is_member)
        assert peer._sent < 250_000 and not peer._is_reading
        transport.abort()


async def test_behind_a_proxy_the_clients_are_told_apart_and_not_the_proxys_connections(make_server, http):
    server = make_server(Limits(strangers=40, strangers_of_address=4), behind_proxy=True)
    await server.start()
    port = int(server.url.rpartition(":")[2])

    async def ask(address):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %s\r\n\r\n" % address)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        return writer

    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
    mine = await ask(b"198.51.100.1")
    others = [await ask(b"192.0.2.7") for _ in range(20)]
    admission = server.server._admission
    # Ten of the proxy's own, mine, and four of the greedy one.
    async with asyncio.timeout(5):
        while admission.strangers > 15:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert admission.strangers == 15 and not mine.transport.is_closing()
    for writer in (*others, mine, *(writer for _, writer in idle)):
        writer.transport.abort()
    await server.stop()


async def test_without_a_free_file_it_goes_on_later_and_the_log_has_a_line(server, monkeypatch, caplog, http):
    """Whoever has them all: the host, another program."""
    listener: Listener = server.server._listeners[0]
    (listening,) = listener._sockets

    class Full:
        def accept(self):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        def __getattr__(self, name):
            return getattr(listening, name)

    full = Full()
    monkeypatch.setattr(listener, "_sockets", [listening, full])
    listener._accept(full)
    assert "no connection accepted" in caplog.text and "Traceback" not in caplog.text
    monkeypatch.setattr(listener, "_sockets", [listening])
    asyncio.get_running_loop().call_later(ACCEPT_AGAIN, listener._listen_again, listening)
    async with http.get(f"{server.url}/healthz") as answer:
        assert answer.status == 200


async def test_a_name_with_two_addresses_has_one_port(make_server):
    server = make_server(host="localhost")
    await server.start()
    ports = {listening.getsockname()[1] for listening in server.server._listeners[0]._sockets}
    assert len(ports) == 1
    await server.stop()


async def test_a_port_that_is_taken_is_told(make_server):
    from signaling.errors import ServerStartError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerStartError, match="cannot listen on"):
            await make_server(port=taken.getsockname()[1]).start()
