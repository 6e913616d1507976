"""A server process on PostgreSQL, which goes away: it says so, serves again when it is back, and can be ended."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

ROOT = Path(__file__).resolve().parents[2]
INITDB = shutil.which("initdb")
pytestmark = pytest.mark.skipif(INITDB is None, reason="no PostgreSQL here (its initdb and postgres)")


class Cluster:
    """PostgreSQL in a folder, on a port of loopback. It does not run as root."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.port = unused.getsockname()[1]
        self._data = folder / "pg"
        self._user = "postgres" if os.geteuid() == 0 else None
        self._data.mkdir()
        if self._user:
            owner = pwd.getpwnam(self._user)
            for path in (folder, self._data):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", self._data, "-U", "ringline", "-A", "trust", "--no-sync")

    def _run(self, name: str, *arguments: object) -> None:
        path = Path(INITDB or "").resolve().parent / name
        command = [path, *arguments]
        done = subprocess.run(command, user=self._user, cwd="/", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        where = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._data}"
        self._run("pg_ctl", "-D", self._data, "-w", "-o", where, "-l", self._data / "log", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def tell_all(self, number: signal.Signals) -> None:
        """A signal for the postmaster and its children, as a machine that hangs."""
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for process in (main, *map(int, children)):
            os.kill(process, number)

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://ringline@127.0.0.1:{self.port}/postgres"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("asyncpg")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own belongs to who runs it
        made = Cluster(Path(folder))
        made.start()
        yield made
        try:
            made.tell_all(signal.SIGCONT)
            made.stop()
        except (OSError, AssertionError):
            pass  # it is stopped


@pytest.mark.parametrize("away", ["stopped", "hanging"])
async def test_postgresql_goes_away_and_comes_back(cluster: Cluster, tmp_path: Path, away: str) -> None:
    log = tmp_path / "stderr"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "signaling", "serve", "--port", "0", "--data", tmp_path / "data"),
            *("--sms", f"file:{tmp_path / 'sms'}", "--database", cluster.url),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    assert process.stdout is not None
    url = next(w for w in (await process.stdout.readline()).decode().split() if w.startswith("http"))
    body = {"device_token": "x", "assertion": "x"}
    try:
        async with aiohttp.ClientSession() as http:

            async def statuses() -> list[int]:
                async with (
                    http.get(f"{url}/readyz") as ready,
                    http.post(f"{url}/v1/tokens", json=body) as tokens,
                ):
                    return [ready.status, tokens.status]

            assert await statuses() == [200, 401]
            if away == "stopped":
                cluster.stop()
            else:
                cluster.tell_all(signal.SIGSTOP)
            async with asyncio.timeout(25):
                assert await statuses() == [503, 503]
                async with http.get(f"{url}/healthz") as well:
                    assert well.status == 200
            if away == "stopped":
                cluster.start()
            else:
                cluster.tell_all(signal.SIGCONT)
            async with asyncio.timeout(25):
                while await statuses() != [200, 401]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            # Away once more: that keeps nobody from ending the process.
            cluster.tell_all(signal.SIGSTOP)
            asking = asyncio.create_task(statuses())
            await asyncio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(15):
                assert await process.wait() == 0
            await asyncio.gather(asking, return_exceptions=True)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = log.read_text()
    assert "the store failed" in told and "Traceback" not in told
