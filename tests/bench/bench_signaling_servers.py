"""The two servers of bench_signaling.py as processes: the embedded one, and ejabberd from Debian with a configuration
of its own in a scratch folder, that takes our access tokens."""

import asyncio
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy as sa
from bench_signaling_phones import device, number

from signaling.storage.keys import load_keys
from signaling.storage.store import Store, accounts, devices

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = "bench.example"
TICK = os.sysconf("SC_CLK_TCK")

# What section 3 of docs/protocol.md asks of a server, and no more; pings as often as ours, by the WebSocket's own.
EJABBERD = """
loglevel: error
log_rotate_count: 0
hosts: [ "bench.example" ]
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_http
    backlog: 4096
    request_handlers:
      /ws: ejabberd_http_ws
websocket_ping_interval: 30 seconds
websocket_timeout: 75 seconds
auth_method: [ jwt, mnesia ]
disable_sasl_mechanisms: [ "digest-md5", "X-OAUTH2" ]
jwt_key: {folder}/jwt.jwk
jwt_jid_field: sub
jwt_auth_only_rule: all
shaper_rules: {{ max_user_sessions: 10, max_user_offline_messages: 1000, c2s_shaper: none }}
modules:
  mod_disco: {{}}
  mod_offline: {{ access_max_user_messages: max_user_offline_messages }}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_blocking: {{}}
  mod_stream_mgmt: {{ resend_on_timeout: if_offline }}
"""
# Of the host: nothing may be reached from outside, and no epmd is started.
EJABBERDCTL = """
INET_DIST_INTERFACE=127.0.0.1
ERL_DIST_PORT={distribution}
EJABBERD_PID_PATH={folder}/ejabberd.pid
"""


class Unavailable(Exception):
    """This server cannot be run here; the text says why."""


class Measured:
    """A server that runs: `host`, `port`, `path`; `pid` is the process that does the work."""

    name = ""
    host = "127.0.0.1"
    port = 0
    path = ""
    pid = 0

    def version(self) -> str:
        raise NotImplementedError

    def memory_kib(self) -> int:
        """Resident memory."""
        found = Path(f"/proc/{self.pid}/status").read_text().partition("VmRSS:")[2].split()
        if not found:
            raise RuntimeError(f"{self.name} died")
        return int(found[0])

    def cpu(self) -> float:
        """Processor time so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    async def stop(self) -> None:
        raise NotImplementedError


class Ringline(Measured):
    name = "ringline"
    path = "/xmpp"

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> "Ringline":
        data = self._folder / "data"
        load_keys(data / "keys")
        await self._fill(data)
        limits = self._folder / "limits.toml"
        limits.write_text("connections = 20_000\n")
        arguments = ["--port", "0", "--domain", DOMAIN, "--sms", f"file:{self._folder / 'sms'}"]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "signaling", "serve", *arguments),
            *("--data", str(data), "--limits", str(limits)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        url = next(word for word in line.split() if word.startswith("http"))
        self.port, self.pid = int(url.rpartition(":")[2]), self._process.pid
        return self

    def version(self) -> str:
        return f"Ringline on Python {platform.python_version()}"

    async def _fill(self, data: Path) -> None:
        """Accounts, as if all had registered: what a registration costs is not measured here."""
        store = await Store.open(f"sqlite:///{data / 'ringline.db'}")
        now = time.time()
        people = [{"number": number(n), "generation": 1, "since": now - 1e6} for n in range(self._count)]
        phones = [
            {
                "device": device(n),
                "number": number(n),
                "key": "A" * 43,
                "name": "bench",
                "token_hash": f"{n:064x}",
                "added": now,
                "used": now,
            }
            for n in range(self._count)
        ]

        def fill(db: sa.Connection) -> None:
            db.execute(sa.insert(accounts), people)
            db.execute(sa.insert(devices), phones)

        await store.database.run(fill)
        await store.close()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(60):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


class Ejabberd(Measured):
    name = "ejabberd"
    path = "/ws"

    def __init__(self, folder: Path, keys: Path) -> None:
        self._folder, self._keys = folder, keys
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> "Ejabberd":
        """Raises Unavailable."""
        control = shutil.which("ejabberdctl") or shutil.which("ejabberdctl", path="/usr/sbin")
        if control is None:
            raise Unavailable("no ejabberdctl here: sudo apt install ejabberd")
        if os.geteuid() != 0:
            raise Unavailable("only root can start it as the user ejabberd")
        folder = self._folder
        folder.mkdir(mode=0o755)
        self.port, distribution = _free_port(), _free_port()
        jwk = load_keys(self._keys).jwk_set()["keys"][0]
        (folder / "jwt.jwk").write_text(json.dumps(jwk))
        (folder / "ejabberd.yml").write_text(EJABBERD.format(port=self.port, folder=folder))
        text = EJABBERDCTL.format(distribution=distribution, folder=folder)
        (folder / "ejabberdctl.cfg").write_text(text)
        (folder / "spool").mkdir()
        (folder / "log").mkdir()
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, "ejabberd", "ejabberd")
        self._process = await asyncio.create_subprocess_exec(
            *(control, "-d", str(folder), "-s", str(folder / "spool"), "-l", str(folder / "log")),
            "foreground",
            # Not left to ejabberdctl: its su would allow 1,024 open files.
            user="ejabberd",
            group="ejabberd",
            env=os.environ | {"HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while not _listens(self.port):
            if self._process.returncode is not None or time.monotonic() > deadline:
                await self.stop()
                raise Unavailable(f"ejabberd did not start; its logs are in {folder / 'log'}")
            await asyncio.sleep(0.2)
        self.pid = int((folder / "ejabberd.pid").read_text())
        return self

    def version(self) -> str:
        asked = subprocess.run(["dpkg-query", "-W", "ejabberd"], capture_output=True, text=True, check=False)
        return " ".join(asked.stdout.split()) or "ejabberd"

    async def stop(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
        if self._process is not None and self._process.returncode is None:
            try:
                async with asyncio.timeout(20):
                    await self._process.wait()
            except TimeoutError:
                os.killpg(self._process.pid, signal.SIGKILL)
                await self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True
