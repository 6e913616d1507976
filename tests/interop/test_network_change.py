"""A call whose network goes away under it: two network namespaces, two links, one of them is taken down."""

import asyncio
import datetime
import ipaddress
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).parents[2]
END = Path(__file__).with_name("network_end.py")
SERVER = "10.77.0.1"
RECOVERY = 10.0  # issue 3


def ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=10)


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    """The caller's and the callee's: links 10.77.1.0/24 and 10.77.2.0/24 between them, the server on the callee's."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and iproute2")
    caller, callee = (f"ringline-{os.getpid()}-{end}" for end in ("a", "b"))
    made = []
    try:
        try:
            for name in (caller, callee):
                ip("netns", "add", name)
                made.append(name)
                ip("-n", name, "link", "set", "lo", "up")
            for link in ("1", "2"):
                ip(
                    "-n",
                    caller,
                    "link",
                    "add",
                    f"a{link}",
                    "type",
                    "veth",
                    "peer",
                    f"b{link}",
                    "netns",
                    callee,
                )
                ip("-n", caller, "address", "add", f"10.77.{link}.2/24", "dev", f"a{link}")
                ip("-n", callee, "address", "add", f"10.77.{link}.1/24", "dev", f"b{link}")
                ip("-n", caller, "link", "set", f"a{link}", "up")
                ip("-n", callee, "link", "set", f"b{link}", "up")
            ip("-n", callee, "address", "add", f"{SERVER}/32", "dev", "lo")
            for link in ("1", "2"):
                way = ("via", f"10.77.{link}.1", "metric", link)
                ip("-n", caller, "route", "add", SERVER, *way)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine allows no network namespaces: {error.stderr.strip()}")
        yield caller, callee
    finally:
        for name in made:
            ip("netns", "delete", name)


def make_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ringline test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(SERVER))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


class End:
    """A process of network_end.py."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, namespace: str, role: str, folder: Path) -> "End":
        words = ("ip", "netns", "exec", namespace, sys.executable, str(END), role, str(folder), SERVER)
        environment = os.environ | {"SSL_CERT_FILE": str(folder / "cert.pem"), "PYTHONPATH": str(ROOT)}
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                *words, stdin=pipe, stdout=pipe, env=environment, limit=2**22
            )
        )

    async def says(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        said = json.loads(line) if line else {"what": "nothing more"}
        print(f"{time.monotonic():.1f}", said["what"])
        assert said["what"] == what
        return said

    async def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def close(self) -> int:
        if self._process.returncode is None:
            await self.tell("over")
        try:
            async with asyncio.timeout(10):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()


@pytest.mark.timeout(90)
async def test_a_call_survives_the_loss_of_its_interface(namespaces: tuple[str, str], tmp_path: Path) -> None:
    caller, callee = namespaces
    make_certificate(tmp_path)
    ends: list[End] = []
    try:
        async with asyncio.timeout(60):
            ends.append(await End.start(callee, "callee", tmp_path))
            await ends[0].says("ready")
            ends.append(await End.start(caller, "caller", tmp_path))
            await asyncio.gather(*(end.says("heard") for end in ends))
            for end in ends:
                await end.tell("again")
                await end.says("listening")
            gone = time.monotonic()
            ip("-n", caller, "link", "set", "a1", "down")
            await asyncio.gather(*(end.says("restarted") for end in ends))
            await asyncio.gather(*(end.says("heard") for end in ends))
            recovered = time.monotonic() - gone
            for end in ends:
                await end.tell("end")
            reports = [await end.says("report") for end in ends]
    finally:
        codes = [await end.close() for end in reversed(ends)]
    assert codes == [0, 0]
    print(f"heard again after {recovered:.1f} s", [report["history"] for report in reports])
    assert recovered < RECOVERY
    for report in reports:
        restarted = [by_peer for name, _, by_peer in report["history"] if name == "ice-restarted"]
        assert restarted and restarted[0] is (report is reports[0])  # it was the caller who noticed
        assert report["history"][-1][0] != "ended"
