"""A socket at a TURN server: what is kept, what is dropped, and what is told. Real ones: tests/interop/test_relay.py."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioice import stun

from media.io import ice, turn
from media.io.ice import IceTransport
from media.io.ice_settings import IceSettings
from media.io.ice_syntax import IceServer
from media.io.peer_connection import PeerConnection
from media.io.turn import MAX_UNSENT_BYTES, MAX_WAITING, RelayTransport, explain

PEER = ("192.0.2.7", 5000)


def failed(code: int, reason: str) -> stun.TransactionFailed:
    response = stun.Message(
        stun.Method.CHANNEL_BIND, stun.Class.ERROR, attributes={"ERROR-CODE": (code, reason)}
    )
    return stun.TransactionFailed(response)


class Wire:
    def __init__(self) -> None:
        self.aborted, self.unsent = False, 0

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Client:
    """aioice's client, as far as a RelayTransport uses it."""

    def __init__(self) -> None:
        self.transport = Wire()
        self.mapped_address = ("198.51.100.1", 4000)
        self.peer_to_channel: dict[Any, int] = {}
        self.channel_refresh_at: dict[int, float] = {}
        self.sent: list[bytes] = []
        self.binds = 0
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.deleted = asyncio.Event()

    async def send_data(self, data: bytes, addr: Any) -> None:
        await self.channel_bind(0x4000, addr)
        self.peer_to_channel[addr] = 0x4000
        self.channel_refresh_at[0x4000] = time.time() + 100
        self.sent.append(data)

    async def channel_bind(self, channel: int, addr: Any) -> None:
        self.binds += 1
        await self.answer

    async def delete(self) -> None:
        self.deleted.set()
        await asyncio.Event().wait()  # a server that is gone

    def _send(self, data: bytes) -> None:
        self.sent.append(data[4:])


@pytest.fixture
async def relay() -> AsyncIterator[tuple[RelayTransport, Any, list[str]]]:
    client: Any = Client()
    refused: list[str] = []
    transport = RelayTransport(client, ("203.0.113.1", 50000), refused.append)
    yield transport, client, refused
    transport.close()
    client.deleted.set()
    for task in [*transport._tasks, transport._closing]:
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_comes_while_a_channel_is_bound_waits_up_to_a_bound(relay: Any) -> None:
    transport, client, _ = relay
    for n in range(100):
        transport.sendto(bytes([n]), PEER)
    await turns()
    assert client.binds == 1 and not client.sent
    client.answer.set_result(None)
    await turns()
    assert client.sent == [b"\0"] + [bytes([n]) for n in range(100 - MAX_WAITING, 100)]
    transport.sendto(b"later", PEER)
    assert client.sent[-1] == b"later" and client.binds == 1


async def test_a_peer_that_the_server_forbids_is_asked_for_once(relay: Any) -> None:
    transport, client, refused = relay
    client.answer.set_exception(failed(403, "Forbidden IP"))
    for _ in range(3):
        transport.sendto(b"x", PEER)
        await turns()
    assert client.binds == 1 and not client.sent
    assert refused == ["403 Forbidden IP: it does not relay to this address of the peer"]


async def test_a_channel_is_renewed_beside_what_it_carries(relay: Any) -> None:
    transport, client, _ = relay
    client.answer.set_result(None)
    transport.sendto(b"1", PEER)
    await turns()
    client.channel_refresh_at[0x4000] = time.time() - 1
    for _ in range(3):
        transport.sendto(b"2", PEER)
    await turns()
    assert client.binds == 2 and client.sent == [b"1", b"2", b"2", b"2"]
    assert client.channel_refresh_at[0x4000] > time.time() + 200


async def test_tcp_that_is_stuck_keeps_little(relay: Any) -> None:
    transport, client, _ = relay
    client.answer.set_result(None)
    transport.sendto(b"1", PEER)
    await turns()
    client.transport.unsent = MAX_UNSENT_BYTES
    transport.sendto(b"2", PEER)
    assert client.sent == [b"1"]


async def test_closing_does_not_wait_for_a_dead_server(relay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    transport, client, _ = relay
    monkeypatch.setattr(turn, "DELETE_TIMEOUT", 0.01)
    transport.close()
    transport.close()
    assert transport.is_closing()
    transport.sendto(b"x", PEER)
    await asyncio.wait_for(transport._closing, 2)
    assert client.deleted.is_set() and client.transport.aborted and not client.binds


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (failed(401, "Unauthorized"), "401 Unauthorized: the credentials are wrong or have expired"),
        (failed(500, ""), "500"),
        (stun.TransactionTimeout(), "it does not answer"),
        (TimeoutError(), "it does not answer"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (ssl.SSLCertVerificationError(1, "x"), "its certificate is not trusted: "),
        (ValueError(), "ValueError"),
    ],
)
def test_what_is_told(error: Exception, words: str) -> None:
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = ""
    assert explain(error) == words


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_dead_server_holds_nothing_up_and_is_told(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice, "SERVER_TIMEOUT", 0.05)
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as silent:
        silent.bind(("127.0.0.1", 0))
        if transport == "tcp":
            silent.listen()
        url = f"turn:127.0.0.1:{silent.getsockname()[1]}?transport={transport}"
        connection = PeerConnection(addresses=["127.0.0.1"])
        connection.configure([IceServer((url,), "user", "word")])
        offer = await asyncio.wait_for(connection.create_offer(), 2)
        assert offer.count("a=candidate:") == 1
        async with asyncio.timeout(2):
            async for event in connection.events():
                assert event == ("candidate-error", url, "it does not answer")
                break
        assert [e["text"] for e in connection.report().events] == [f"{url}: it does not answer"]
        await asyncio.wait_for(connection.close(), 2)


async def test_relay_only_shows_no_address_and_asks_no_stun_server() -> None:
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        stun_server = IceServer((f"stun:127.0.0.1:{server.getsockname()[1]}",))
        transport = IceTransport(
            controlling=True,
            on_datagram=lambda data, arrived: None,
            on_candidate=found.append,
            settings=IceSettings([stun_server], ["127.0.0.1"], relay_only=True),
        )
        assert await transport.gather() == []
        await turns()
        await transport.close()
        with pytest.raises(BlockingIOError):
            server.recv(100)
    assert found == []


async def test_what_was_prepared_is_forgotten_when_only_relays_may_be_shown() -> None:
    connection = PeerConnection(addresses=["127.0.0.1"])
    connection.prepare()
    await turns(20)
    connection.configure([], "relay")
    assert "a=candidate" not in await connection.create_offer()
    with pytest.raises(ValueError, match="policy"):
        connection.configure([], "none")
    await connection.close()
