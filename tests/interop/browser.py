"""Headless browsers and their pages, whatever the protocol that drives them; and a peer that lives in a page."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.interop.material import Plan, Side

STARTED_WITHIN = 30.0
HERE = Path(__file__).parent


class Browser(ABC):
    """The process. A Debian command may be a wrapper, so all of its group is ended."""

    name: str
    package: str  # Debian's
    announces: str  # what stands before the URL of its remote control

    def __init__(self, command: str) -> None:
        self.profile = Path(tempfile.mkdtemp(prefix=f"ringline-{self.name}-"))
        self._process = subprocess.Popen(
            self.words(command),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.url = ""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith(self.announces):
                self.url = line.split()[-1]
                break
        # From now on nobody reads what it says; a full pipe must not stop it.
        self._drain = subprocess.Popen(
            ["cat"], stdin=self._process.stderr, stdout=subprocess.DEVNULL, start_new_session=True
        )
        if not self.url:
            self.close()
            raise RuntimeError(f"{self.name} did not open its remote control")

    @abstractmethod
    def words(self, command: str) -> list[str]:
        """The command line; `self.profile` is a folder that it may fill first."""

    def close(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what outlived the wrapper
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._drain.wait(5)
        shutil.rmtree(self.profile, ignore_errors=True)


class Page(ABC):
    """One page of its own, served from 127.0.0.1: a secure context, so that it may use devices.

    `on_event(dict)` gets what the page says by `say({...})`, a function that calls `sayText(text)`.
    """

    def __init__(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._on_event = on_event
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._stack = contextlib.AsyncExitStack()
        self._reader: asyncio.Task[None] | None = None
        self._listener: socket.socket | None = None
        self.errors: list[str] = []

    async def open(self, browser: Browser, scripts: list[str]) -> None:
        """Load the scripts, in order."""
        site = await self._serve(scripts)
        http = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._socket = await self._stack.enter_async_context(
            http.ws_connect(browser.url, max_msg_size=0, heartbeat=None)
        )
        self._reader = asyncio.ensure_future(self._read())
        async with asyncio.timeout(STARTED_WITHIN):
            await self.load(site)
        if self.errors:
            raise RuntimeError(f"the page failed: {self.errors}")

    @abstractmethod
    async def load(self, url: str) -> None:
        """Make the page, give it `sayText`, and open the URL; returns when its scripts have run."""

    @abstractmethod
    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited. Raises RuntimeError for what it throws."""

    @abstractmethod
    async def unload(self) -> None:
        """Give the page back, whatever was made of it."""

    @abstractmethod
    def notice(self, message: dict[str, Any]) -> None:
        """A message that answers nothing."""

    async def call(self, function: str, *arguments: Any) -> Any:
        return await self.run(f"{function}({', '.join(json.dumps(a) for a in arguments)})")

    async def close(self) -> None:
        if self._reader is not None:
            if not self._reader.done():
                await self.unload()
            self._reader.cancel()
            await asyncio.wait([self._reader])
        await self._stack.aclose()

    async def ask(self, method: str, parameters: dict[str, Any], **envelope: Any) -> Any:
        """Raises RuntimeError for an error, and when the browser goes away."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters} | envelope)
        return await answer

    # -- inside

    async def _serve(self, scripts: list[str]) -> str:
        page = "<!doctype html><meta charset=utf-8><link rel=icon href=data:,>" + "".join(
            f"<script src=/{i}.js></script>" for i in range(len(scripts))
        )
        origin = self.origin
        assert self._listener is not None
        site = web.Application()
        site.router.add_get("/", _serve_text(page, "text/html"))
        for i, script in enumerate(scripts):
            site.router.add_get(f"/{i}.js", _serve_text(script, "text/javascript"))
        runner = web.AppRunner(site, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, self._listener).start()
        return f"{origin}/"

    @property
    def origin(self) -> str:
        """Of the page (RFC 6454), also before it is opened."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self._stack.callback(self._listener.close)
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def _read(self) -> None:
        try:
            async for frame in self._socket:
                self._receive(json.loads(frame.data))
        finally:
            self.fail("the browser is gone")

    def fail(self, why: str) -> None:
        """Nothing that was asked will be answered."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(RuntimeError(why))

    def _receive(self, message: dict[str, Any]) -> None:
        answer = self._answers.pop(message.get("id") or 0, None)
        if answer is None:
            self.notice(message)
        elif not answer.done():
            if "error" in message:
                answer.set_exception(RuntimeError(str(message["error"]) + message.get("message", "")))
            else:
                answer.set_result(message["result"])

    def said(self, text: str) -> None:
        self._on_event(json.loads(text))


def _serve_text(text: str, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, charset="utf-8")

    return answer


def plan_of(plan: Plan, side: Side, other: Side) -> dict[str, Any]:
    """What peer.js is to send and to know again."""
    return {
        "codec": plan.codec,
        "data": plan.data,
        "devices": plan.devices,
        "rejects": plan.rejects,
        "hz": side.hz,
        "rgb": side.rgb,
        "otherHz": other.hz,
        "otherRgb": other.rgb,
    }


class PagePeer:
    """RTCPeerConnection in a page; peer.js is its other half."""

    def __init__(
        self,
        browser: Browser,
        make_page: type[Page],
        plan: Plan,
        side: Side,
        other: Side,
        on_candidate: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._browser = browser
        self._plan = plan_of(plan, side, other)
        self._on_candidate = on_candidate
        self._begun = False
        self._tasks: list[asyncio.Task[None]] = []
        self._events = {"heard": asyncio.Event(), "seen": asyncio.Event()}
        self.page = make_page(self._event)

    def _event(self, event: dict[str, Any]) -> None:
        if event["kind"] == "candidate":
            self._tasks.append(asyncio.ensure_future(self._on_candidate(event["mid"], event["line"])))
        else:
            self._events[event["kind"]].set()

    async def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        await self.page.open(self._browser, [(HERE / "peer.js").read_text()])
        await self.page.call("begin", self._plan)

    async def offer(self) -> str:
        await self._begin()
        return str(await self.page.run("offer()"))

    async def answer(self, offer: str) -> str:
        await self._begin()
        return str(await self.page.call("answer", offer))

    async def accept(self, answer: str) -> None:
        await self.page.call("accept", answer)

    async def candidate(self, mid: str, line: str) -> None:
        await self.page.call("candidate", mid, line)

    async def heard(self) -> None:
        await self._events["heard"].wait()

    async def seen(self) -> None:
        await self._events["seen"].wait()

    async def ask(self, message: str | bytes) -> str | bytes:
        """Bytes go into the page and back as a list of numbers."""
        answer = await self.page.call("ask", message if isinstance(message, str) else list(message))
        return answer if isinstance(answer, str) else bytes(answer)

    async def again(self) -> None:
        await self.page.run("again()")
        for event in self._events.values():
            event.clear()

    async def decoded(self) -> int:
        return int(await self.page.run("decoded()"))

    async def start(self, kind: str) -> None:
        await self.page.call("start", kind)

    async def stop(self, kind: str) -> None:
        """transceiver.stop(): the section is rejected from the next offer on."""
        await self.page.call("stop", kind)

    async def restart_ice(self) -> None:
        await self.page.run("restartIce()")

    async def change_codec(self, kind: str, name: str) -> None:
        await self.page.call("changeCodec", kind, name)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.page.close()
        assert not self.page.errors, self.page.errors
