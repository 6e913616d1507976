"""Calls over a real relay: Debian's coturn between two network namespaces that cannot reach each other."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from signaling.external_services import password_of

ROOT = Path(__file__).parents[2]
END = Path(__file__).with_name("relay_end.py")
PUBLIC = "203.0.113.1"  # RFC 5737; of coturn and the signaling server
SECRET = "north-south"
# As docs/operations.md says: nothing behind the relay may be reached through it.
DENIED = (
    "0.0.0.0-0.255.255.255",
    "10.0.0.0-10.255.255.255",
    "100.64.0.0-100.127.255.255",
    "127.0.0.0-127.255.255.255",
    "169.254.0.0-169.254.255.255",
    "172.16.0.0-172.31.255.255",
    "192.168.0.0-192.168.255.255",
)
URLS = {
    "udp": f"turn:{PUBLIC}:3478?transport=udp",
    "tcp": f"turn:{PUBLIC}:3478?transport=tcp",
    "tls": f"turns:{PUBLIC}:5349?transport=tcp",
}


def ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=10)


@pytest.fixture(scope="module")
def namespaces() -> Iterator[tuple[str, str, str]]:
    """Caller, callee and what is between them: it answers both and forwards nothing."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and iproute2")
    if shutil.which("turnserver") is None:
        pytest.skip("coturn is not installed (Debian: apt install coturn)")
    names = [f"ringline-{os.getpid()}-{end}" for end in ("caller", "callee", "relay")]
    middle, made = names[2], []
    try:
        try:
            for name in names:
                ip("netns", "add", name)
                made.append(name)
                ip("-n", name, "link", "set", "lo", "up")
            ip("-n", middle, "address", "add", f"{PUBLIC}/32", "dev", "lo")
            for link, name in enumerate(names[:2], 1):
                peer = ("type", "veth", "peer", f"r{link}", "netns", middle)
                ip("-n", name, "link", "add", "e0", *peer)
                ip("-n", name, "address", "add", f"10.78.{link}.2/24", "dev", "e0")
                ip("-n", middle, "address", "add", f"10.78.{link}.1/24", "dev", f"r{link}")
                ip("-n", name, "link", "set", "e0", "up")
                ip("-n", middle, "link", "set", f"r{link}", "up")
                ip("-n", name, "route", "add", "default", "via", f"10.78.{link}.1")
            forward = ["ip", "netns", "exec", middle, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]
            subprocess.run(forward, check=True, capture_output=True, text=True, timeout=10)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine allows no network namespaces: {error.stderr.strip()}")
        yield names[0], names[1], middle
    finally:
        for name in made:
            ip("netns", "delete", name)


def make_certificate(folder: Path) -> None:
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -keyout {folder}/key.pem"
    more = ["-out", f"{folder}/cert.pem", "-addext", f"subjectAltName=IP:{PUBLIC}"]
    subprocess.run(["openssl", *words.split(), *more], check=True, capture_output=True, timeout=20)


class Process:
    """One in a namespace, that says JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, namespace: str, *words: str, **environment: str) -> "Process":
        pipe = asyncio.subprocess.PIPE
        command = ("ip", "netns", "exec", namespace, *words)
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, env=os.environ | environment, limit=2**22
            )
        )

    async def says(self, what: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        said: dict[str, Any] = json.loads(line) if line else {"what": "nothing more"}
        assert said["what"] == what, said
        return said

    async def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"over\n")
        await self.process.stdin.drain()

    async def close(self) -> int:
        try:
            async with asyncio.timeout(10):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            return await self.process.wait()


class Scene:
    """The processes of one test."""

    def __init__(self, namespaces: tuple[str, str, str], folder: Path) -> None:
        self.caller, self.callee, self.middle = namespaces
        self.folder = folder
        self.processes: list[Process] = []
        self.log = folder / "coturn.log"

    async def coturn(self) -> None:
        options = [
            f"--listening-ip={PUBLIC}",
            f"--relay-ip={PUBLIC}",
            "--use-auth-secret",
            f"--static-auth-secret={SECRET}",
            "--realm=calls.example",
            f"--cert={self.folder}/cert.pem",
            f"--pkey={self.folder}/key.pem",
            f"--pidfile={self.folder}/coturn.pid",
            f"--userdb={self.folder}/turndb",
            f"--log-file={self.log}",
            "--simple-log",
            "--no-cli",
            "--no-dtls",
            "--no-multicast-peers",
            *(f"--denied-peer-ip={range_}" for range_ in DENIED),
        ]
        await self.start(self.middle, "turnserver", "-n", *options)
        async with asyncio.timeout(10):
            while not await self._answers():  # noqa: ASYNC110  (another process)
                await asyncio.sleep(0.1)

    async def _answers(self) -> bool:
        """Whether somebody listens on the TLS port, the last one that it opens."""
        command = ("ip", "netns", "exec", self.middle, "ss", "-Hltn", f"src {PUBLIC}:5349")
        seen = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await seen.communicate()
        return bool(out)

    async def start(self, namespace: str, *words: str, **environment: str) -> Process:
        made = await Process.start(
            namespace,
            *words,
            SSL_CERT_FILE=str(self.folder / "cert.pem"),
            PYTHONPATH=str(ROOT),
            **environment,
        )
        self.processes.append(made)
        return made

    async def end(self, namespace: str, role: str, *more: str, **environment: str) -> Process:
        words = (sys.executable, str(END), role, str(self.folder), *more)
        return await self.start(namespace, *words, **environment)

    async def server(self, urls: str, secret: str = SECRET, **environment: str) -> tuple[Process, Any]:
        made = await self.end(self.middle, "server", PUBLIC, urls, secret, **environment)
        return made, (await made.says("ready"))["victims"]

    async def call(self, places: tuple[str, str], relays: Any = (), **environment: str) -> list[Process]:
        more = environment | {"RELAYS": json.dumps(relays)}
        callee = await self.end(places[1], "callee", **more)
        await callee.says("ready")
        return [await self.end(places[0], "caller", **more), callee]


@pytest.fixture
async def scene(namespaces: tuple[str, str, str], tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(namespaces, tmp_path)
    make_certificate(tmp_path)
    try:
        await made.coturn()
        yield made
    finally:
        for each in reversed(made.processes):
            if each.process.returncode is None:
                each.process.terminate()
            await each.close()


@pytest.mark.timeout(90)
@pytest.mark.parametrize("protocol", ["udp", "tcp", "tls"])
async def test_a_call_between_networks_that_cannot_reach_each_other(scene: Scene, protocol: str) -> None:
    async with asyncio.timeout(60):
        await scene.server(URLS[protocol])
        ends = await scene.call((scene.caller, scene.callee))
        for end in ends:
            said = await end.says("heard")
            path = said["report"]["path"]
            print(protocol, path, said["page"], said["report"]["setup"], said["report"]["events"])
            assert path["local"] == "relay" and path["relay_protocol"] == protocol
            assert path["remote"] in ("relay", "prflx")
            assert f"relay ({protocol}) - {path['remote']}" in said["table"]
            assert said["page"] == [f"Path: relay (by {protocol.upper()}) here, {path['remote']} there, UDP"]
            assert said["report"]["summary"]["received_bps"] > 5000
        for end in ends:
            await end.tell()
        assert [await end.close() for end in ends] == [0, 0]


@pytest.mark.timeout(90)
async def test_nobody_behind_the_relay_is_reached_through_it(scene: Scene) -> None:
    async with asyncio.timeout(60):
        server, victims = await scene.server(URLS["udp"], VICTIMS="127.0.0.1 10.78.1.1 10.78.2.1")
        attacker = await scene.end(scene.caller, "attacker", json.dumps(victims), URLS["udp"], SECRET)
        said = await attacker.says("refused")
        print(said)
        assert said["url"] == URLS["udp"] and said["why"].startswith("403 ")
        events = (await attacker.says("report"))["events"]
        assert any(e["kind"] == "candidate-error" and "403" in e["text"] for e in events)
        assert await attacker.close() == 0
        await server.tell()
        assert (await server.says("victims"))["heard"] == 0


@pytest.mark.timeout(90)
async def test_wrong_and_expired_credentials_are_told_and_the_call_goes_on(scene: Scene) -> None:
    expired = "1000000000:somebody"
    relays = [
        (URLS["tcp"], expired, password_of(expired, SECRET.encode())),
        ("turn:203.0.113.77", "u", "dead"),
    ]
    async with asyncio.timeout(60):
        await scene.server(URLS["udp"], "another secret")
        ends = await scene.call((scene.caller, scene.caller), relays, KNOWN="1")
        for end in ends:
            said = await end.says("heard")
            assert said["report"]["path"]["local"] in ("host", "prflx")
            assert said["report"]["setup"]["ice_connected"] < 5
            told = {e["text"] for e in said["report"]["events"] if e["kind"] == "candidate-error"}
            print(said["report"]["path"], told)
            for url in (URLS["udp"], URLS["tcp"]):
                assert any(text.startswith(f"{url}: 401 ") and "expired" in text for text in told)
            await end.tell()
        assert [await end.close() for end in ends] == [0, 0]


@pytest.mark.timeout(90)
async def test_a_stranger_is_not_answered_around_the_relay(scene: Scene) -> None:
    """Both ends share a network; the callee does not know the caller, and shows no address of its own."""
    async with asyncio.timeout(60):
        await scene.server(URLS["udp"])
        ends = await scene.call((scene.caller, scene.caller))
        caller, callee = [(await end.says("heard"))["report"]["path"] for end in ends]
        print(caller, callee)
        assert callee["local"] == "relay" and caller["remote"] in ("relay", "prflx")
        for end in ends:
            await end.tell()
        assert [await end.close() for end in ends] == [0, 0]
