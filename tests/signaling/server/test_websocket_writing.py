"""What a connection writes, and when: over a transport that a test can fill, close and read."""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest

from signaling import stanza as st
from signaling.server import websocket
from signaling.server_limits import Limits
from signaling.storage.store import Device
from signaling.stream import StreamTimes
from signaling.xml import SM, element

ALICE, DEVICE = "+12025550100", "d" + "0" * 16
OPEN = '<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="calls.example" version="1.0"/>'
AUTH = '<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">ACsxMjAyNTU1MDEwMAB0b2tlbg==</auth>'
BIND = (
    '<iq xmlns="jabber:client" type="set" id="b"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind">'
    f"<resource>{DEVICE}</resource></bind></iq>"
)


@pytest.fixture
def limits():
    return Limits(times=StreamTimes(close=0.05))


class Transport(asyncio.Transport):
    """`waiting`: bytes that the peer has not taken yet."""

    def __init__(self):
        super().__init__()
        self.writes, self.waiting, self.aborted = [], 0, asyncio.Event()

    def write(self, data):
        if data:  # as asyncio's
            self.writes.append(bytes(data))

    def get_write_buffer_size(self):
        return self.waiting

    def is_closing(self):
        return self.aborted.is_set()

    def abort(self):
        self.aborted.set()


class Socket:
    """What Connection uses of aiohttp's. `close()` waits until the transport is cut, as for who does not read."""

    def __init__(self, transport):
        self.transport, self.frames, self.closed = transport, asyncio.Queue(), False

    async def receive(self):
        reading, gone = (
            asyncio.create_task(self.frames.get()),
            asyncio.create_task(self.transport.aborted.wait()),
        )
        await asyncio.wait((reading, gone), return_when=asyncio.FIRST_COMPLETED)
        data = reading.result() if reading.done() else None
        reading.cancel(), gone.cancel()
        return SimpleNamespace(type=aiohttp.WSMsgType.TEXT if data else aiohttp.WSMsgType.CLOSED, data=data)

    def exception(self):
        return None

    async def close(self):
        self.closed = True
        await self.transport.aborted.wait()


@pytest.fixture
async def online(server):
    """A connection that is online; `received` is what its router was told."""

    async def check(token):
        return Device(DEVICE, ALICE, "", "", 0.0, 0.0, 1, 0.0)

    async def stands(device):
        return True

    received = []
    router = SimpleNamespace(
        settle=lambda session, tags: received.append(tags),
        lost=lambda session: None,
        over=lambda session: None,
    )
    transport = Transport()
    socket = Socket(transport)
    tokens = SimpleNamespace(check=check, stands=stands)
    connection = websocket.Connection(socket, transport, server.server._context, tokens, router)
    running = asyncio.create_task(connection.run())
    for frame in (OPEN, AUTH, OPEN, BIND):
        socket.frames.put_nowait(frame)
    await until(lambda: b"<jid>" in b"".join(transport.writes))
    transport.writes.clear()
    yield SimpleNamespace(
        connection=connection,
        transport=transport,
        socket=socket,
        received=received,
        running=running,
    )
    transport.abort()
    async with asyncio.timeout(5):
        await running
    assert connection._flushing is None or connection._flushing.cancelled()


async def until(is_so):
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def turns():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_sent_in_one_turn_goes_out_together(online):
    for n in range(3):
        online.connection.send(st.message(ALICE, id=f"m{n}"))
    assert online.transport.writes == []
    await turns()
    (data,) = online.transport.writes
    assert [data.count(b"m%d" % n) for n in range(3)] == [1, 1, 1]


async def test_a_full_transport_is_given_nothing_until_it_has_room(online, monkeypatch):
    monkeypatch.setattr(websocket, "LOOK_AGAIN", 0.0)
    online.transport.waiting = websocket.HELD_BYTES
    online.connection.send(st.message(ALICE, id="m"), tag=7)
    await turns()
    assert online.transport.writes == [] and online.received == []
    online.transport.waiting = 0
    await until(lambda: online.transport.writes)
    await until(lambda: online.received == [[7]])


async def test_only_what_was_written_is_received_by_who_does_not_acknowledge(online, monkeypatch):
    online.connection.send(st.message(ALICE, id="one"), tag=1)
    await until(lambda: online.received)
    online.transport.waiting = websocket.HELD_BYTES
    online.connection.send(st.message(ALICE, id="two"), tag=2)
    await turns()
    online.transport.abort()
    await online.running
    online.connection.send(st.message(ALICE, id="three"), tag=3)
    await turns()
    assert online.received == [[1]]


async def test_what_comes_after_the_end_is_not_received(online):
    online.connection.end(None)
    online.connection.send(st.message(ALICE, id="late"), tag=1)
    await turns()
    assert b"close" in online.transport.writes[-1] and online.received == []


async def test_who_acknowledges_says_so_himself(online):
    online.socket.frames.put_nowait(f'<enable xmlns="{SM}"/>')
    await until(lambda: online.transport.writes)
    online.connection.send(st.message(ALICE, id="m"), tag=7)
    await turns()
    assert b'id="m"' in online.transport.writes[-1] and online.received == []


async def test_nothing_follows_the_close_frame(online):
    online.socket.closed = True
    online.connection.send(st.message(ALICE, id="m"), tag=7)
    await turns()
    assert online.transport.writes == [] and online.received == [] and online.transport.aborted.is_set()


async def test_the_last_words_are_written_before_the_close_frame(online):
    online.connection.end("system-shutdown")
    online.socket.frames.put_nowait('<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>')
    await until(lambda: online.socket.closed)
    assert b"system-shutdown" in b"".join(online.transport.writes)


@pytest.mark.parametrize("waiting", [0, websocket.HELD_BYTES])
async def test_who_does_not_read_is_cut_at_the_end(online, waiting):
    """Also where aiohttp waits for a client to take the close frame."""
    online.transport.waiting = waiting
    online.connection.end(None)
    online.socket.frames.put_nowait('<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>')
    async with asyncio.timeout(5):
        await online.running
    assert online.transport.aborted.is_set() and online.connection.finished.is_set()


async def test_a_large_stanza_fits_and_the_rest_waits(online):
    pad = element("urn:example", "pad", text="x" * (websocket.HELD_BYTES + 1))
    online.connection.send(st.message(ALICE, pad, id="large"))
    online.connection.send(st.message(ALICE, id="small"))
    await turns()
    assert len(online.transport.writes) == 1 and b"small" not in online.transport.writes[0]
    assert not online.connection._drained.is_set()


async def test_who_takes_what_is_sent_is_not_silent(online, monkeypatch):
    """On a thin link the answer to a ping comes behind all that is on its way: taking that is a sign of life."""
    connection, transport = online.connection, online.transport
    stream, seconds = connection._stream, [0.0]
    began = stream._heard
    monkeypatch.setattr(connection._loop, "time", lambda: began + seconds[0])
    connection.send(st.message(ALICE, element("urn:example", "pad", text="x" * 60_000), id="large"))
    await turns()
    for transport.waiting in range(60_000, 0, -10_000):  # 170 bytes a second
        seconds[0] += 60.0
        connection._tick()
        assert not stream.is_ending
    for _ in range(2):  # and now it takes nothing more
        seconds[0] += 60.0
        connection._tick()
    assert stream.is_ending
