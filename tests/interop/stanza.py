"""stanza.js in Chromium: a foreign Jingle client. Fetched by npm into the user's cache, never into the project."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.interop.browser import HERE, Browser, plan_of
from tests.interop.chromium import ChromiumPage
from tests.interop.material import Plan, Side

VERSION = "12.22.1"
PACKAGES = (f"stanza@{VERSION}", "esbuild@0.28.2", "events@3.3.0")
ENTRY = 'import * as XMPP from "stanza";\nwindow.XMPP = XMPP;\n'


def bundle_path() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ringline-interop" / f"stanza-{VERSION}.js"


def prepare(timeout: float) -> str:
    """Make the bundle if it is not there; says why it could not be made, or nothing."""
    if bundle_path().exists():
        return ""
    if (npm := shutil.which("npm")) is None:
        return "npm is not installed (Debian: apt install npm)"
    with tempfile.TemporaryDirectory(prefix="ringline-npm-") as folder:
        made = Path(folder) / "bundle.js"
        (Path(folder) / "entry.js").write_text(ENTRY)
        commands = [
            [npm, "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", *PACKAGES],
            [
                "node_modules/.bin/esbuild",
                "entry.js",
                "--bundle",
                "--format=iife",
                "--define:global=globalThis",
                f"--outfile={made}",
                "--log-level=error",
            ],
        ]
        (Path(folder) / "package.json").write_text('{"private": true}')
        for command in commands:
            try:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"stanza.js could not be made: {error}"
            if done.returncode:
                return f"stanza.js could not be made: {done.stderr.strip()[-200:]}"
        bundle_path().parent.mkdir(parents=True, exist_ok=True)
        whole = bundle_path().with_suffix(f".{os.getpid()}")
        shutil.copy(made, whole)
        whole.replace(bundle_path())
    return ""


class Stanza:
    """The foreign client. `events` are what its page says: heard, seen, jmi, terminated, failed."""

    def __init__(self) -> None:
        self.page = ChromiumPage(self._event)
        self.heard, self.seen = asyncio.Event(), asyncio.Event()
        self.terminated: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.initiations: list[str] = []
        self.failures: list[str] = []

    def _event(self, event: dict[str, Any]) -> None:
        match event:
            case {"kind": "heard"}:
                self.heard.set()
            case {"kind": "seen"}:
                self.seen.set()
            case {"kind": "jmi", "what": what}:
                self.initiations.append(what)
            case {"kind": "terminated", "reason": reason}:
                if not self.terminated.done():
                    self.terminated.set_result(reason)
            case {"kind": "failed", "why": why}:
                self.failures.append(why)

    async def log_in(
        self, browser: Browser, plan: Plan, side: Side, other: Side, account: dict[str, str]
    ) -> None:
        """`account`: jid (full), server (domain), url (WebSocket), password (an access token)."""
        scripts = [(HERE / "peer.js").read_text(), bundle_path().read_text()]
        await self.page.open(browser, [*scripts, (HERE / "stanza.js").read_text()])
        jid = await self.page.call("logIn", plan_of(plan, side, other), account)
        assert jid == account["jid"]

    async def call(self, jid: str) -> None:
        await self.page.call("call", jid)

    async def hang_up(self) -> None:
        await self.page.run("hangUp()")

    async def close(self) -> None:
        await self.page.close()
        assert not self.page.errors + self.failures
