"""Registered clients over the in-process server, and an engine without media that is strict about its use."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from signaling.client import Client
from signaling.client.registration import Progress, register
from signaling.stanza import is_stanza
from signaling.xml import Element, parse, serialise

SDP = """v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=ice-ufrag:{ufrag}
a=ice-pwd:{pwd}
a=ice-options:trickle
a=fingerprint:sha-256 {digest}
a=setup:{setup}
a=sendrecv
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
"""


class MisuseError(AssertionError):
    """The engine was used out of order."""


class FakeEngine:
    """Negotiates like a media engine and is "connected" once both ends have each other's description and a
    candidate. Records what was done in `log`; raises MisuseError for steps out of order."""

    def __init__(self, ether: dict[str, "FakeEngine"], *, reachable: bool = True) -> None:
        rng = random.Random(len(ether))
        self.ufrag = f"u{rng.getrandbits(32):08x}"
        self.pwd = f"{rng.getrandbits(128):032x}"
        self.digest = ":".join(f"{b:02X}" for b in rng.randbytes(32))
        self.reachable = reachable
        self.log: list[str] = []
        self.candidates: list[str] = []
        self.configured: list[tuple[tuple[Any, ...], str]] = []
        self.remote: str | None = None
        self.refuse: str | None = None
        self.connected = False
        self.prepared = False
        self.enabled: list[bool] = []
        self._ether = ether
        self._queue: asyncio.Queue[tuple[str, ...]] = asyncio.Queue()
        self._reading = False
        ether[self.ufrag] = self

    def _note(self, step: str, *after: str, never: Sequence[str] = ()) -> None:
        done = {entry.partition(" ")[0] for entry in self.log}
        if "close" in done or not set(after) <= done or done & set(never):
            raise MisuseError(f"{step} after {self.log}")
        self.log.append(step)

    def configure(self, ice_servers: Sequence[Any], ice_transport_policy: str = "all") -> None:
        self.configured.append((tuple(ice_servers), ice_transport_policy))
        if "configure" in self.log:
            self._note("configure_again", "configure")
        else:
            self._note("configure")

    def prepare(self) -> None:
        if self.log != ["configure"]:
            raise MisuseError(f"prepare after {self.log}")
        self.prepared = True

    def set_media_enabled(self, enabled: bool) -> None:
        if not enabled and self.remote is not None:
            raise MisuseError("media would have flowed already")
        self.enabled.append(enabled)

    async def create_offer(self, *, ice_restart: bool = False) -> str:
        if ice_restart:
            self._note("restart_offer", "set_answer", never=("restart_offer",))
            self._renew()
        else:
            self._note("create_offer", "configure", never=("create_offer", "create_answer"))
        return self._describe("actpass")

    async def create_answer(self, offer: str) -> str:
        if "create_answer" in self.log:
            self._note("restart_answer", never=("restart_answer",))
            self._renew()
        else:
            self._note("create_answer", "configure", never=("create_offer",))
        self._apply(offer)
        return self._describe("active")

    async def set_answer(self, answer: str) -> None:
        if "set_answer" in self.log:
            self._note("restart_set_answer", "restart_offer", never=("restart_set_answer",))
        else:
            self._note("set_answer", "create_offer")
        self._apply(answer)

    async def add_ice_candidate(self, mid: str, candidate: str) -> None:
        if self.remote is None or mid != "0" or not candidate.startswith("candidate:"):
            raise MisuseError(f"candidate {candidate!r} for {mid!r} after {self.log}")
        self.candidates.append(candidate)
        self._try()

    async def events(self) -> AsyncIterator[tuple[str, ...]]:
        if self._reading:
            raise MisuseError("events() is for one reader")
        self._reading = True
        while True:
            event = await self._queue.get()
            yield event
            if event[:2] == ("state", "closed"):
                return

    async def close(self) -> None:
        if "close" not in self.log:
            self.log.append("close")
            self.say("closed")

    def say(self, state: str, *why: str) -> None:
        self._queue.put_nowait(("state", state, *why))

    def say_event(self, *event: str) -> None:
        self._queue.put_nowait(event)

    def _renew(self) -> None:
        """New credentials, a new path: connected again only after another exchange."""
        self.ufrag += "r"
        self._ether[self.ufrag] = self
        self.connected = False
        self.candidates.clear()
        self.remote = None

    def _describe(self, setup: str) -> str:
        line = f"candidate:1 1 udp 2122260223 127.0.0.1 {5000 + len(self._ether)} typ host"
        self._queue.put_nowait(("candidate", "0", line))
        self._queue.put_nowait(("state", "connecting"))
        text = SDP.format(ufrag=self.ufrag, pwd=self.pwd, digest=self.digest, setup=setup)
        return text.replace("\n", "\r\n")

    def _apply(self, sdp: str) -> None:
        if self.refuse:
            raise ValueError(self.refuse)
        lines = dict(line[2:].partition(":")[::2] for line in sdp.split("\r\n") if line.startswith("a="))
        self.remote = lines["ice-ufrag"]
        peer = self._ether.get(self.remote)
        assert peer is None or lines["fingerprint"] == f"sha-256 {peer.digest}", "wrong fingerprint applied"
        self._try()

    def _try(self) -> None:
        peer = self._ether.get(self.remote or "")
        if peer is None or peer.remote != self.ufrag or not (self.reachable and peer.reachable):
            return
        if self.candidates and peer.candidates:
            for end in (self, peer):
                if not end.connected:
                    end.connected = True
                    end.say("connected")


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disks are slow, and no test here loses power (test_profile.py looks at the failing write itself)."""
    monkeypatch.setattr("signaling.client.profile.os.fsync", lambda handle: None)


@pytest.fixture
def ether() -> dict[str, FakeEngine]:
    return {}


@pytest.fixture
def engine(ether: dict[str, FakeEngine]) -> Callable[..., FakeEngine]:
    """engine() -> FakeEngine; reachable=False never connects."""

    def make(**options: Any) -> FakeEngine:
        return FakeEngine(ether, **options)

    return make


@pytest.fixture
def make_profile(server: Any, tmp_path: Path) -> Callable[..., Awaitable[Path]]:
    """await make_profile(number) -> path of a registered profile."""

    async def make(number: str, url: str = "", name: str = "") -> Path:
        async def code(progress: Progress) -> str:
            text: str = server.code_for(progress.number)
            return text

        path = tmp_path / f"{name or number}.profile"
        profile = await register(number, url or server.url, path, code, device_name="test")
        profile.close()
        return path

    return make


@pytest.fixture
async def open_client(
    make_profile: Callable[..., Awaitable[Path]],
) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """await open_client(number, url=server's) -> Client, online, unknown numbers ring; closed after the test."""
    async with AsyncExitStack() as stack:

        async def run(number: str, url: str = "", **options: Any) -> Client:
            path = await make_profile(number, url)
            client = await stack.enter_async_context(Client.open(path, **{"ring_unknown": True} | options))
            await client.wait_online(5)
            return client

        yield run


@pytest.fixture
async def connected(
    open_client: Callable[..., Awaitable[Client]], engine: Callable[..., FakeEngine]
) -> Callable[..., Awaitable[tuple[Any, Any]]]:
    """await connected(caller, callee) -> (call of the caller, call of the callee), media flowing."""

    async def run(caller: Client, callee: Client) -> tuple[Any, Any]:
        async with asyncio.timeout(5):
            calling = asyncio.create_task(caller.call(callee.number, engine()))
            incoming = await callee.next_incoming()
            theirs = await incoming.accept(engine())
            return await calling, theirs

    return run


@pytest.fixture
async def between(server: Any) -> AsyncIterator[Any]:
    """A server that reads and changes everything: all stanzas pass through its `tamper(stanza, to_client)`, and all
    good answers to HTTP requests through `rewrite(method, path, asked, answer)` (JSON).

    `between.url` is what clients register with. Returning None from `tamper` swallows the stanza, from `rewrite` it
    makes the answer an error.
    """
    man = ManInTheMiddle(server.url)
    await man.start()
    yield man
    await man.stop()


class ManInTheMiddle:
    """Forwards HTTP and WebSocket to the real server, except what `tamper` does to the stanzas."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.tamper: Callable[[Element, bool], Element | None] = lambda stanza, to_client: stanza
        self.rewrite: Callable[[str, str, Any, Any], Any] = lambda method, path, asked, answer: answer
        self.url = ""
        self.lit = asyncio.Event()  # cleared: nothing gets through, in either direction
        self.lit.set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/xmpp", self._websocket)
        app.router.add_route("*", "/{path:.*}", self._http)
        self._session = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _http(self, request: web.Request) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k in ("Authorization", "Content-Type", "DPoP")}
        url = self._upstream + request.path_qs
        await self.lit.wait()
        async with self._session.request(
            request.method, url, data=await request.read(), headers=headers
        ) as answer:
            body = (await answer.text()).replace(
                self._upstream.removeprefix("http"), self.url.removeprefix("http")
            )
            if answer.status >= 400:
                return web.Response(status=answer.status, text=body, content_type=answer.content_type)
            asked = await request.read()
            path = request.path.removeprefix("/v1")
            told = self.rewrite(
                request.method, path, json.loads(asked) if asked else {}, json.loads(body) if body else {}
            )
            if told is None:
                return web.Response(status=503)
            return web.json_response(told, status=200 if answer.status == 204 else answer.status)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        client = web.WebSocketResponse(protocols=("xmpp",))
        await client.prepare(request)
        async with self._session.ws_connect(f"{self._upstream}/xmpp", protocols=("xmpp",)) as server:
            ways = (self._forward(client, server, False), self._forward(server, client, True))
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await client.close()
        return client

    async def _forward(self, source: Any, target: Any, to_client: bool) -> None:
        async for message in source:
            stanza = parse(message.data)
            changed = self.tamper(stanza, to_client) if is_stanza(stanza) else stanza
            await self.lit.wait()
            if changed is not None:
                await target.send_str(serialise(changed))
