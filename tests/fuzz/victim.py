"""The server as a process, and what can be seen of it from outside: /proc, /metrics, /healthz, its log."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
# Sessions that can be resumed go sooner than after 300 s, so that they come and go during the run. All other limits
# are the server's own.
LIMITS = "resumable = 5.0\n"
BAD_LINES = re.compile(
    r"Traceback|never retrieved|never awaited|[Uu]nhandled|Exception ignored|ResourceWarning|^\S+ (ERROR|CRITICAL) |"
    r"Fatal Python error|Task was destroyed"
)


class Victim:
    """`plant`: the name of a fault (tests/fuzz/planted.py) that the server is started with."""

    def __init__(self, folder: Path, limits: str = LIMITS, plant: str = "") -> None:
        self._limits, self._plant = limits, plant
        self.sms, self.log, self._folder = folder / "sms", folder / "stderr", folder
        self.url = self.metrics_url = ""
        self.pid = self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._read = 0

    async def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            metrics = probe.getsockname()[1]
        limits = self._folder / "limits.toml"
        limits.write_text(self._limits)
        arguments = (
            "--port",
            str(self._port),
            "--sms",
            f"file:{self.sms}",
            "--limits",
            limits,
            "--metrics-port",
            str(metrics),
        )
        program = (
            [str(Path(__file__).with_name("planted.py")), self._plant] if self._plant else ["-m", "signaling"]
        )
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "default", "-X", "faulthandler", *program, "serve"),
                *(*arguments, "--data", self._folder / "data"),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        self.url = next((word for word in line.split() if word.startswith("http")), "")
        if not self.url:
            raise RuntimeError(f"the server did not start: {self.log.read_text()}")
        self._port = int(self.url.rpartition(":")[2])
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        self.pid = self._process.pid

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def complaints(self) -> list[str]:
        """What is new in the log and must not be there, with what follows it."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        whole = data.rpartition(b"\n")[0]
        self._read += len(whole)
        lines = whole.decode("utf-8", "replace").splitlines()
        bad = [n for n, line in enumerate(lines) if BAD_LINES.search(line)]
        return ["\n".join(lines[bad[0] : bad[0] + 60])[-3000:]] if bad else []

    def memory_mib(self) -> float:
        """Resident."""
        return self._status("VmRSS") / 1024

    def handles(self) -> int:
        """Open files and sockets."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def threads(self) -> int:
        return self._status("Threads")

    def _status(self, name: str) -> int:
        return int(Path(f"/proc/{self.pid}/status").read_text().partition(f"{name}:")[2].split()[0])

    async def is_well(self, timeout: float) -> bool:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session:
            try:
                async with session.get(self.url + "/healthz") as response:
                    return response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

    async def gauges(self) -> dict[str, float]:
        """What /metrics says that has no label, by name; ours without their prefix."""
        async with aiohttp.ClientSession() as session, session.get(self.metrics_url) as response:
            found = re.findall(r"^(?:ringline_)?(\w+) (\S+)$", await response.text(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    async def kill(self) -> None:
        """As `kill -9` does; start() brings it back on the same port, with what it had stored."""
        assert self._process is not None
        os.kill(self.pid, signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        """The exit code; -9 if it did not end in 10 s."""
        assert self._process is not None
        if self.lives:
            os.kill(self.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(10):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    def code_for(self, number: str) -> str:
        for line in reversed(self.sms.read_text().splitlines()):
            message = json.loads(line)
            if message["to"] == number:
                return next(w.strip(".") for w in message["text"].split() if w.strip(".").isdecimal())
        raise AssertionError(f"no SMS to {number}")
