"""A real signaling server in the test's own process, on port 0, with a clock that a test can turn."""

import asyncio
import ctypes
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.client_stream import ClientStream
from signaling.server.app import Server
from signaling.server_config import ServerConfig
from signaling.server_limits import Limits
from signaling.stanza import iq, is_stanza, presence
from signaling.stream import Ended, Event, Online, StanzaReceived
from signaling.tokens import (
    Assertion,
    encode_public_key,
    make_assertion,
    make_proof,
    make_request_proof,
)
from signaling.xml import PING, Element, element, is_named

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
PATIENCE = 5.0


class RunningServer:
    """`url` and `domain` are stable over restart(); `advance(s)` turns the server's wall clock."""

    def __init__(self, folder: Path, limits: Limits, **options: Any) -> None:
        self._sms = folder / "sms.jsonl"
        self._limits = limits
        self._offset = 0.0
        options = {"domain": "calls.example", "sms": f"file:{self._sms}", "port": 0} | options
        self._config = ServerConfig(data=folder / "data", **options)
        self.domain = self._config.domain
        self.url = ""
        self.server: Server | None = None

    def clock(self) -> float:
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += seconds

    async def start(self) -> None:
        self.server = await Server.start(self._config, limits=self._limits, clock=self.clock)
        self.url = self.server.url
        # The same port again after a restart, as a real server would.
        self._config = replace(self._config, port=int(self.url.rpartition(":")[2]))

    async def stop(self) -> None:
        if self.server is not None:
            server, self.server = self.server, None
            await server.stop()

    async def restart(self) -> None:
        """Stops, and starts again on the same port and data."""
        await self.stop()
        await self.start()

    async def crash(self) -> None:
        """As kill -9: nobody is told, and what was in memory is gone; then it starts again."""
        assert self.server is not None
        for connection in list(self.server._connections):
            connection.release()
        await self.restart()

    def messages(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self._sms.read_text().splitlines()]

    def code_for(self, number: str) -> str:
        """The code in the last SMS to this number."""
        text = next(m["text"] for m in reversed(self.messages()) if m["to"] == number)
        found = re.search(r"\b\d{6}\b", text)
        assert found is not None, text
        return found[0]


@dataclass
class Phone:
    """A registered device, done by hand: what a test needs to speak the protocol without our client."""

    server: RunningServer
    http: aiohttp.ClientSession
    number: str
    device: str
    device_token: str
    key: Ed25519PrivateKey
    generation: int
    counter: int = 0

    def assertion(self, **changes: Any) -> str:
        self.counter += 1
        claims = Assertion(
            device=self.device,
            number=self.number,
            audience=self.server.domain,
            issued_at=int(self.server.clock()),
            id=f"assertion-{self.device}-{self.counter}",
        )
        return make_assertion(self.key, replace(claims, **changes))

    async def access_token(self) -> str:
        body = {"device_token": self.device_token, "assertion": self.assertion()}
        async with self.http.post(f"{self.server.url}/v1/tokens", json=body) as answer:
            assert answer.status == 200, await answer.text()
            token: str = (await answer.json())["access_token"]
            return token

    async def bearer(self) -> dict[str, str]:
        """For requests of this device by the `http` fixture, which adds the proof of the device's key to each."""
        token = await self.access_token()
        PROVED_BY[token] = self
        return {"Authorization": f"Bearer {token}"}

    def proof(self, method: str, url: str, token: str, **changes: Any) -> str:
        self.counter += 1
        now = changes.pop("now", self.server.clock())
        return make_request_proof(
            changes.pop("key", self.key), method, url, token, f"request-{self.device}-{self.counter}", now
        )


# By access token: whose requests with it get a proof. One that was stolen is not in here.
PROVED_BY: dict[str, Phone] = {}


async def _prove(session: Any, context: Any, request: aiohttp.TraceRequestStartParams) -> None:
    token = request.headers.get("Authorization", "").partition(" ")[2]
    if (phone := PROVED_BY.get(token)) is not None and "DPoP" not in request.headers:
        request.headers["DPoP"] = phone.proof(request.method, str(request.url), token)


@dataclass
class Wire:
    """A WebSocket with our client stream on it. `stanzas` is what came in and nobody asked for yet."""

    socket: aiohttp.ClientWebSocketResponse
    stream: ClientStream
    stanzas: list[Element] = field(default_factory=list)

    @property
    def jid(self) -> str:
        return str(self.stream.jid)

    @property
    def bare(self) -> str:
        return str(self.stream.jid.bare)

    async def show(self, *others: "Wire") -> None:
        """From now on these may ask this device, and write to it without the store hint."""
        for other in others:
            await self.send(presence(to=other.bare))
        await self.ask(iq("get", element(PING, "ping"), id="shown"))

    async def flush(self) -> None:
        for frame in self.stream.frames_to_send():
            await self.socket.send_str(frame)

    async def send(self, stanza: Element) -> None:
        assert is_stanza(stanza)
        self.stream.send(stanza)
        await self.flush()

    async def event(self) -> Event:
        async with asyncio.timeout(PATIENCE):
            while (event := self.stream.next_event()) is None:
                message = await self.socket.receive()
                now = asyncio.get_running_loop().time()
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.stream.receive_frame(message.data, now)
                else:
                    self.stream.connection_lost()
                await self.flush()
        return event

    async def online(self) -> None:
        await self.flush()
        while not isinstance(event := await self.event(), Online):
            assert isinstance(event, StanzaReceived), event
            self.stanzas.append(event.stanza)

    async def receive(self) -> Element:
        if self.stanzas:
            return self.stanzas.pop(0)
        event = await self.event()
        assert isinstance(event, StanzaReceived), event
        return event.stanza

    async def ended(self) -> Ended:
        while not isinstance(event := await self.event(), Ended):
            assert isinstance(event, StanzaReceived), event
            self.stanzas.append(event.stanza)
        return event

    async def ask(self, question: Element) -> Element:
        """Sends an iq and returns its answer; other stanzas stay for receive()."""
        await self.send(question)
        waiting: list[Element] = []
        while True:
            answer = await self.receive()
            if is_named(answer, "jabber:client", "iq") and answer.get("id") == question.get("id"):
                self.stanzas = waiting + self.stanzas
                return answer
            waiting.append(answer)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    proving = aiohttp.TraceConfig()
    proving.on_request_start.append(_prove)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout, trace_configs=[proving]) as session:
        yield session
    PROVED_BY.clear()


@pytest.fixture
def limits() -> Limits:
    """A test module or class may override this fixture."""
    return Limits()


@pytest.fixture
def server_options() -> dict[str, Any]:
    """Of ServerConfig. A test module or class may override this fixture."""
    return {}


@pytest.fixture
async def server(
    tmp_path: Path, limits: Limits, server_options: dict[str, Any]
) -> AsyncIterator[RunningServer]:
    running = RunningServer(tmp_path, limits, **server_options)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def make_server(tmp_path: Path) -> Callable[..., RunningServer]:
    """make_server(limits=..., **ServerConfig options): not started; the test starts and stops it."""

    def make(limits: Limits | None = None, **options: Any) -> RunningServer:
        return RunningServer(tmp_path, limits or Limits(), **options)

    return make


@pytest.fixture
def register(server: RunningServer, http: aiohttp.ClientSession) -> Callable[..., Awaitable[Phone]]:
    """await register(number) -> Phone"""

    async def run(number: str = ALICE) -> Phone:
        key = Ed25519PrivateKey.generate()
        async with http.post(f"{server.url}/v1/registrations", json={"number": number}) as answer:
            assert answer.status == 201, await answer.text()
            registration = (await answer.json())["registration"]
        body = {
            "code": server.code_for(number),
            "device_key": encode_public_key(key.public_key()),
            "device_name": "test",
            "proof": make_proof(key, server.domain, registration, number),
        }
        async with http.post(f"{server.url}/v1/registrations/{registration}/verify", json=body) as answer:
            assert answer.status == 201, await answer.text()
            made = await answer.json()
        return Phone(server, http, number, made["device"], made["device_token"], key, made["generation"])

    return run


@pytest.fixture
async def connect(http: aiohttp.ClientSession) -> AsyncIterator[Callable[..., Awaitable[Wire]]]:
    """await connect(phone) -> Wire, online; connect(phone, online=False) stops before logging in."""
    import random

    wires: list[Wire] = []

    async def run(phone: Phone, online: bool = True, token: str = "", resource: str = "") -> Wire:
        url = phone.server.url.replace("http", "ws", 1) + "/xmpp"
        if not token:
            own = await phone.access_token()
            token = f"{own} {phone.proof('GET', url, own)}"
        socket = await http.ws_connect(url, protocols=("xmpp",), max_msg_size=0)
        now = asyncio.get_running_loop().time()
        stream = ClientStream(
            phone.server.domain, phone.number, token, resource or phone.device, now, random.Random(len(wires))
        )
        wires.append(Wire(socket, stream))
        if online:
            await wires[-1].online()
        return wires[-1]

    yield run
    for wire in wires:
        await wire.socket.close()


class _Mallinfo2(ctypes.Structure):
    _fields_ = (
        ("arena_ordblks_smblks_hblks", ctypes.c_size_t * 4),
        ("hblkhd", ctypes.c_size_t),
        ("usmblks_fsmblks", ctypes.c_size_t * 2),
        ("uordblks", ctypes.c_size_t),
        ("fordblks_keepcost", ctypes.c_size_t * 2),
    )


@pytest.fixture
def allocated_bytes() -> Callable[[], int]:
    """allocated_bytes(): what malloc has handed out and not got back, to the byte. All that libxml2 has is in it, what
    Python makes of small objects is not."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("mallinfo2 is glibc's, from 2.33 on")
    libc.mallinfo2.restype = _Mallinfo2

    def ask() -> int:
        info = libc.mallinfo2()
        return int(info.hblkhd + info.uordblks)

    return ask
