"""Headless Firefox, driven by WebDriver BiDi over a WebSocket: no geckodriver is needed.

Debian's Firefox has no H.264 in WebRTC: the OpenH264 plugin is fetched from Cisco by each profile, and a test fetches
nothing. So it is called with VP8 only.
"""

import json
import shutil
import subprocess
from typing import Any

from tests.interop.browser import Browser, Page

COMMANDS = ("firefox-esr", "firefox")
PREFERENCES: dict[str, bool | int | str] = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    # Names of mDNS instead of addresses are nothing that a peer without mDNS can use.
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.default_address_only": False,
    "media.autoplay.default": 0,  # allowed
    "media.autoplay.blocking_policy": 0,
    "media.autoplay.block-webaudio": False,
    "media.cubeb.force_mock_context": True,  # without a sound card no AudioContext would run
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-manager.url": "",
    "app.update.disabledForTesting": True,
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "dom.ipc.processPrelaunch.enabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


def find() -> str | None:
    return next((path for name in COMMANDS if (path := shutil.which(name))), None)


def version(command: str) -> str:
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=30)
    return " ".join(done.stdout.split()[1:3])


class Firefox(Browser):
    name = "firefox"
    package = "firefox-esr"
    announces = "WebDriver BiDi listening on "

    def words(self, command: str) -> list[str]:
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items()]
        (self.profile / "user.js").write_text("".join(lines))
        return [
            command,
            "--headless",
            "--no-remote",
            "--remote-debugging-port=0",
            "--profile",
            str(self.profile),
        ]


class FirefoxPage(Page):
    """A session of its own: Firefox takes one at a time."""

    _context = ""

    async def open(self, browser: Browser, scripts: list[str]) -> None:
        browser.url = browser.url.removesuffix("/session") + "/session"
        await super().open(browser, scripts)

    async def load(self, url: str) -> None:
        await self.ask("session.new", {"capabilities": {}})
        await self.ask("session.subscribe", {"events": ["script.message", "log.entryAdded"]})
        self._context = (await self.ask("browsingContext.create", {"type": "tab"}))["context"]
        await self.ask("browsingContext.navigate", {"context": self._context, "url": url, "wait": "complete"})
        await self._evaluate(
            "script.callFunction",
            functionDeclaration="(channel) => { globalThis.sayText = channel; }",
            arguments=[{"type": "channel", "value": {"channel": "say"}}],
        )

    async def run(self, expression: str) -> Any:
        """The value comes as JSON: BiDi has a notation of its own for objects."""
        whole = f"(async () => JSON.stringify({{ value: await ({expression}) }}))()"
        answer = await self._evaluate("script.evaluate", expression=whole)
        return json.loads(answer["result"]["value"]).get("value")

    async def _evaluate(self, method: str, **parameters: Any) -> Any:
        answer = await self.ask(
            method,
            {"target": {"context": self._context}, "awaitPromise": True, "userActivation": True} | parameters,
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return answer

    async def unload(self) -> None:
        if self._context:
            await self.ask("browsingContext.create", {"type": "tab"})  # the last tab cannot be closed
            await self.ask("browsingContext.close", {"context": self._context})
        await self.ask("session.end", {})

    def notice(self, message: dict[str, Any]) -> None:
        match message:
            case {"method": "script.message", "params": {"channel": "say", "data": {"value": text}}}:
                self.said(text)
            case {
                "method": "log.entryAdded",
                "params": {"type": "javascript", "level": "error", "text": text},
            }:
                self.errors.append(text)
