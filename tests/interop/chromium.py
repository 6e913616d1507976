"""Headless Chromium, driven by its DevTools protocol over a WebSocket: no further program is needed."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.interop.material import Plan, Side

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
STARTED_WITHIN = 30.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root in a container has none
    "--remote-debugging-port=0",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    # Names of mDNS instead of addresses are nothing that a peer without mDNS can use.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
)
HERE = Path(__file__).parent


def find() -> str | None:
    return next((path for name in COMMANDS if (path := shutil.which(name))), None)


def version(command: str) -> str:
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=30)
    return " ".join(done.stdout.split()[:2])


class Browser:
    """The process. The Debian command is a wrapper, so all of its group is ended."""

    def __init__(self, command: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="ringline-chromium-")
        self._process = subprocess.Popen(
            [command, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.url = ""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith("DevTools listening on "):
                self.url = line.split()[-1]
                break
        # From now on nobody reads what it says; a full pipe must not stop it.
        self._drain = subprocess.Popen(
            ["cat"], stdin=self._process.stderr, stdout=subprocess.DEVNULL, start_new_session=True
        )
        if not self.url:
            self.close()
            raise RuntimeError("Chromium did not open its DevTools port")

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
        shutil.rmtree(self._profile, ignore_errors=True)


class Page:
    """One page of its own, served from 127.0.0.1: a secure context, so that it may use devices.

    `on_event(dict)` gets what the page says by `say({...})`.
    """

    def __init__(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._on_event = on_event
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._stack = contextlib.AsyncExitStack()
        self.errors: list[str] = []

    async def open(self, browser: Browser, scripts: list[str]) -> None:
        """Load the scripts, in order."""
        page = "<!doctype html><meta charset=utf-8>" + "".join(
            f"<script src=/{i}.js></script>" for i in range(len(scripts))
        )
        site = web.Application()
        site.router.add_get("/", _serve(page, "text/html"))
        for i, script in enumerate(scripts):
            site.router.add_get(f"/{i}.js", _serve(script, "text/javascript"))
        runner = web.AppRunner(site, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await (place := web.TCPSite(runner, "127.0.0.1", 0)).start()
        http = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._socket = await self._stack.enter_async_context(
            http.ws_connect(browser.url, max_msg_size=0, heartbeat=None)
        )
        self._reader = asyncio.ensure_future(self._read())
        context = await self._ask("Target.createBrowserContext")
        self._context = context["browserContextId"]
        target = await self._ask("Target.createTarget", url="about:blank", browserContextId=self._context)
        attached = await self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Page", "Log"):
            await self._ask(f"{domain}.enable", here=True)
        await self._ask("Runtime.addBinding", here=True, name="sayText")
        self._loaded = asyncio.Event()
        port = place._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        await self._ask("Page.navigate", here=True, url=f"http://127.0.0.1:{port}/")
        await asyncio.wait_for(self._loaded.wait(), STARTED_WITHIN)
        if self.errors:
            raise RuntimeError(f"the page failed: {self.errors}")

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited. Raises RuntimeError for what it throws."""
        answer = await self._ask(
            "Runtime.evaluate",
            here=True,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if (problem := answer.get("exceptionDetails")) is not None:
            raise RuntimeError(problem.get("exception", {}).get("description", problem["text"]))
        return answer["result"].get("value")

    async def call(self, function: str, *arguments: Any) -> Any:
        return await self.run(f"{function}({', '.join(json.dumps(a) for a in arguments)})")

    async def close(self) -> None:
        if hasattr(self, "_context"):
            await self._ask("Target.disposeBrowserContext", browserContextId=self._context)
        if hasattr(self, "_reader"):
            self._reader.cancel()
            await asyncio.wait([self._reader])
        await self._stack.aclose()

    # -- inside

    async def _ask(self, method: str, *, here: bool = False, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if here:
            message["sessionId"] = self._session
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json(message)
        return await answer

    async def _read(self) -> None:
        try:
            async for frame in self._socket:
                self._receive(json.loads(frame.data))
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(RuntimeError("Chromium is gone"))

    def _receive(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if (answer := self._answers.pop(message.get("id", 0), None)) is not None:
            if answer.done():
                return
            if "error" in message:
                answer.set_exception(RuntimeError(message["error"]["message"]))
            else:
                answer.set_result(message["result"])
        elif message.get("method") == "Runtime.bindingCalled":
            self._on_event(json.loads(parameters["payload"]))
        elif message.get("method") == "Page.loadEventFired":
            self._loaded.set()
        elif message.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))


def _serve(text: str, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, charset="utf-8")

    return answer


def plan_of(plan: Plan, side: Side, other: Side) -> dict[str, Any]:
    """What peer.js is to send and to know again."""
    return {
        "codec": plan.codec,
        "data": plan.data,
        "devices": plan.devices,
        "hz": side.hz,
        "rgb": side.rgb,
        "otherHz": other.hz,
        "otherRgb": other.rgb,
    }


class Chromium:
    """RTCPeerConnection in a page; peer.js is its other half."""

    def __init__(
        self,
        browser: Browser,
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
        self.page = Page(self._event)

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

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.page.close()
        assert not self.page.errors
