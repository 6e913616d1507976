"""Two clients that want nothing but to sign in, write to each other and call, while others attack."""

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
from victim import ROOT, Victim

from signaling import stanza as st
from signaling.client import Client
from signaling.client.registration import Progress, register
from signaling.errors import SignalingError
from signaling.jid import Jid
from signaling.xml import CLIENT, HINTS, Element, child, element, is_named, parse, serialise

NS = "urn:example:fuzz"
LIMIT = 30.0  # seconds: what takes longer hangs


async def make_profile(victim: Victim, number: str, folder: Path) -> Path:
    async def code(progress: Progress) -> str:
        return victim.code_for(progress.number)

    path = folder / f"{number}.profile"
    (await register(number, victim.url, path, code, device_name="fuzz")).close()
    return path


def load_engine() -> type:
    """The engine of the unit tests, that negotiates and sends no media."""
    path = ROOT / "tests" / "signaling" / "client" / "conftest.py"
    spec = importlib.util.spec_from_file_location("client_conftest", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    engine: type = module.FakeEngine
    return engine


class Pair:
    """`slowest`: what took how long at most, in seconds; `rounds`; `problems`: what went wrong."""

    def __init__(self, paths: tuple[Path, Path]) -> None:
        self._paths, self._engine = paths, load_engine()
        self.slowest: dict[str, float] = {}
        self.rounds = 0
        self.problems: list[str] = []

    async def round(self) -> None:
        """Signs in, writes both ways, calls, asks for the account, signs out."""
        try:
            async with asyncio.timeout(LIMIT), AsyncExitStack() as stack:
                clients = [await self._sign_in(stack, path) for path in self._paths]
                await self._write(*clients)
                await self._write(*reversed(clients))
                await self._call(*clients)
                async with self._timed("questions"):
                    await clients[0].blocks.numbers()
                    await clients[0].account.findable()
            self.rounds += 1
        except TimeoutError:
            self.problems.append(f"the healthy pair hangs (round {self.rounds})")
        except SignalingError as error:
            self.problems.append(f"the healthy pair, round {self.rounds}: {type(error).__name__}: {error}")

    @asynccontextmanager
    async def _timed(self, what: str) -> AsyncIterator[None]:
        began = time.monotonic()
        yield
        self.slowest[what] = max(self.slowest.get(what, 0.0), time.monotonic() - began)

    async def _sign_in(self, stack: AsyncExitStack, path: Path) -> Client:
        async with self._timed("sign-in"):
            # They know each other from the first round on; what the attackers propose is listed as missed.
            client = await stack.enter_async_context(Client.open(path, ring_unknown=not self.rounds))
            await client.wait_online(LIMIT)
        return client

    async def _write(self, a: Client, b: Client) -> None:
        arrived, id_ = asyncio.Event(), a._connection.new_id()
        dispatch = b._connection._on_stanza

        def look(stanza: Element) -> None:
            if (
                is_named(stanza, CLIENT, "message")
                and stanza.get("id") == id_
                and child(stanza, NS, "m") is not None
            ):
                arrived.set()
            else:
                dispatch(stanza)

        b._connection._on_stanza = look
        async with self._timed("message"):
            to = Jid(b.number, b._connection._profile.jid.domain)
            a._connection.send(st.message(to, element(NS, "m"), element(HINTS, "store"), id=id_))
            await arrived.wait()
        b._connection._on_stanza = dispatch

    async def _call(self, a: Client, b: Client) -> None:
        ether: dict[str, Any] = {}

        async def answer() -> Any:
            return await (await b.next_incoming()).accept(self._engine(ether))

        answering = asyncio.create_task(answer())
        try:
            async with self._timed("call set-up"):
                call = await a.call(b.number, self._engine(ether))
                theirs = await answering
            await call.mute()
            await call.hang_up()
            await theirs.ended()
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


async def record(pair: Pair) -> list[str]:
    """The stanzas of a round as they went over the wire, with TO and ID in place of addresses and ids."""
    frames: list[str] = []
    send = aiohttp.ClientWebSocketResponse.send_str

    async def remember(
        socket: aiohttp.ClientWebSocketResponse, data: str, compress: int | None = None
    ) -> None:
        frames.append(data)
        await send(socket, data, compress)

    with patch.object(aiohttp.ClientWebSocketResponse, "send_str", remember):
        await pair.round()
    if pair.problems:
        raise RuntimeError(pair.problems[0])
    return [_general(frame) for frame in frames if frame.startswith(("<message", "<iq", "<presence"))]


def _general(frame: str) -> str:
    root = parse(frame)
    for name, new in (("to", "TO"), ("id", "ID")):
        if root.get(name) is not None:
            root.set(name, new)
    root.attrib.pop("from", None)
    return serialise(root)
