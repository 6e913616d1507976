"""Headless Chromium, driven by its DevTools protocol over a WebSocket: no further program is needed."""

import asyncio
import shutil
import subprocess
from typing import Any

from tests.interop.browser import Browser, Page

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
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


def find() -> str | None:
    return next((path for name in COMMANDS if (path := shutil.which(name))), None)


def version(command: str) -> str:
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=30)
    return " ".join(done.stdout.split()[:2])


class Chromium(Browser):
    name = "chromium"
    package = "chromium"
    announces = "DevTools listening on "

    def words(self, command: str) -> list[str]:
        return [command, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"]


class ChromiumPage(Page):
    _context = _session = ""

    async def load(self, url: str) -> None:
        self._loaded = asyncio.Event()
        context = await self.ask("Target.createBrowserContext", {})
        self._context = context["browserContextId"]
        target = await self.ask(
            "Target.createTarget", {"url": "about:blank", "browserContextId": self._context}
        )
        attached = await self.ask("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Page", "Log", "Inspector"):
            await self._here(f"{domain}.enable")
        await self._here("Runtime.addBinding", name="sayText")
        await self._here("Page.navigate", url=url)
        await self._loaded.wait()

    async def run(self, expression: str) -> Any:
        answer = await self._here(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if (problem := answer.get("exceptionDetails")) is not None:
            raise RuntimeError(problem.get("exception", {}).get("description", problem["text"]))
        return answer["result"].get("value")

    async def unload(self) -> None:
        if self._context:
            await self.ask("Target.disposeBrowserContext", {"browserContextId": self._context})

    def notice(self, message: dict[str, Any]) -> None:
        match message:
            case {"method": "Runtime.bindingCalled", "params": {"payload": text}}:
                self.said(text)
            case {"method": "Page.loadEventFired"}:
                self._loaded.set()
            case {"method": "Inspector.targetCrashed"}:
                self.errors.append("the page crashed")
                self.fail("the page crashed")
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.errors.append(details.get("exception", {}).get("description", details["text"]))

    async def _here(self, method: str, **parameters: Any) -> Any:
        return await self.ask(method, parameters, sessionId=self._session)
