"""What strangers cost others: call set-up and sign-in beside floods, idle connections, slow bodies and wrong logins.

    python tests/bench/strangers.py [--seconds 20] [--kinds idle,flood] [--out build/strangers.json]

A server process; two clients that call each other all the time and one that signs in all the time; and, in another
process with a lower priority, strangers. All of them have one address. First without strangers, then with each kind,
then with all kinds together. The exit code is 1 where the 99th percentile of call set-up is above 150 ms and above
three times that without strangers (so a busy machine alone is no failure), or where anybody was refused.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"
sys.path.insert(0, str(FUZZ))

from healthy import Pair, make_profile  # noqa: E402
from victim import Victim  # noqa: E402

from signaling.errors import SignalingError  # noqa: E402

LIMIT_S, LIMIT_RATIO = 0.150, 3.0
NUMBERS = ("+12025550100", "+12025550101", "+12025550102")
FLOODING, IDLE, SLOW, WRONG = 20, 1000, 100, 10
OPEN = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='calls.localhost' version='1.0'/>"
PLAIN = base64.b64encode(b"\0+12025550100\0eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0." + b"A" * 86).decode()
AUTH = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{PLAIN}</auth>"
BODY = json.dumps({"device_token": "x" * 43, "assertion": "x" * 300}).encode()
POST = b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Stranger = Callable[[Reader, Writer, int], Awaitable[None]]


def frame(opcode: int, data: bytes = b"", fin: bool = True) -> bytes:
    size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return bytes(((0x80 if fin else 0) | opcode,)) + size + bytes(4) + data


async def upgrade(reader: Reader, writer: Writer) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    head = "GET /xmpp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    writer.write(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")


async def flood(reader: Reader, writer: Writer, number: int) -> None:
    """Pings, pongs, empty fragments, stanzas, requests without waiting, wrong tokens: as fast as it is taken."""
    kind = number % 6
    if kind < 4:
        await upgrade(reader, writer)
        writer.write(frame(1, fin=False) if kind == 2 else b"")
    block = (
        frame(9) * 4000,
        frame(10) * 4000,
        frame(0, fin=False) * 4000,
        frame(1, OPEN.encode()) * 100,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
        (POST % len(BODY) + BODY) * 20,
    )[kind]

    async def read() -> None:
        while await reader.read(65536):
            pass
        writer.transport.abort()

    reading = asyncio.create_task(read())
    try:
        while not writer.transport.is_closing():
            writer.write(block)
            await writer.drain()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def idle(reader: Reader, writer: Writer, number: int) -> None:
    """Says nothing, or half a head, or opens a WebSocket and says nothing."""
    if number % 3 == 1:
        writer.write(b"GET /xmpp HTTP/1.1\r\nHost: ")
    elif number % 3 == 2:
        await upgrade(reader, writer)
    while await reader.read(65536):
        pass


async def slow(reader: Reader, writer: Writer, number: int) -> None:
    """A head, or a body, a byte at a time."""
    writer.write(b"GET /healthz HTTP/1.1\r\nX: " if number % 2 else POST % 60_000)
    ended = asyncio.create_task(reader.read(1))
    try:
        while not ended.done():
            writer.write(b"a")
            await asyncio.sleep(0.05)
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)


async def wrong(reader: Reader, writer: Writer, number: int) -> None:
    """A login with a token that is none, over and over."""
    await upgrade(reader, writer)
    writer.write(frame(1, OPEN.encode()) + frame(1, AUTH.encode()))
    data = b""
    while b"<close" not in data and (piece := await reader.read(65536)):
        data += piece


KINDS: dict[str, tuple[Stranger, int]] = {
    "flood": (flood, FLOODING),
    "idle": (idle, IDLE),
    "slow": (slow, SLOW),
    "wrong logins": (wrong, WRONG),
}


async def attack(port: int, kinds: list[str]) -> None:
    """Until it is killed. Who is cut off comes back at once, idle ones after a moment."""

    async def again(stranger: Stranger, number: int) -> None:
        while True:
            with suppress(OSError, EOFError, asyncio.LimitOverrunError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await stranger(reader, writer, number)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(random.uniform(2, 6) if stranger is idle else 0.001)

    await asyncio.gather(*(again(KINDS[k][0], n) for k in kinds for n in range(KINDS[k][1])))


class Timed(Pair):
    """`times`: of each thing that was done, in seconds."""

    def __init__(self, paths: tuple[Path, Path]) -> None:
        super().__init__(paths)
        self.times: dict[str, list[float]] = {}

    @asynccontextmanager
    async def _timed(self, what: str) -> AsyncIterator[None]:
        began = time.monotonic()
        yield
        self.times.setdefault(what, []).append(time.monotonic() - began)

    async def call_until(self, end: float) -> None:
        async with AsyncExitStack() as stack:
            clients = [await self._sign_in(stack, path) for path in self._paths]
            await self._call(*clients)  # the first one makes things that stay
            self.times.clear()
            while time.monotonic() < end:
                try:
                    async with asyncio.timeout(10):
                        await self._call(*clients)
                except (SignalingError, TimeoutError) as error:
                    self.problems.append(f"call: {type(error).__name__}: {error}")
                await asyncio.sleep(0.02)

    async def sign_in_until(self, end: float) -> None:
        while time.monotonic() < end:
            try:
                async with AsyncExitStack() as stack, asyncio.timeout(10):
                    await self._sign_in(stack, self._paths[0])
            except (SignalingError, TimeoutError) as error:
                self.problems.append(f"sign-in: {type(error).__name__}: {error}")
            await asyncio.sleep(0.05)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("inf")


async def measure(victim: Victim, paths: list[Path], kinds: list[str], seconds: float) -> dict[str, object]:
    strangers = None
    if kinds:
        port = victim.url.rpartition(":")[2]
        command = [sys.executable, __file__, "--attack", ",".join(kinds), "--port", port]
        strangers = await asyncio.create_subprocess_exec(*command)
        await asyncio.sleep(2)  # all of them are there
    calling, signing = Timed((paths[0], paths[1])), Timed((paths[2], paths[2]))
    calling.rounds = 0
    try:
        end = time.monotonic() + seconds
        await asyncio.gather(calling.call_until(end), signing.sign_in_until(end))
        handles = victim.handles()
    finally:
        if strangers is not None:
            strangers.kill()
            await strangers.wait()
    calls, sign_ins = calling.times.get("call set-up", []), signing.times.get("sign-in", [])
    return {
        "calls": len(calls),
        "call set-up p50 s": percentile(calls, 0.5),
        "call set-up p99 s": percentile(calls, 0.99),
        "sign-ins": len(sign_ins),
        "sign-in p99 s": percentile(sign_ins, 0.99),
        "open files": handles,
        "memory MiB": victim.memory_mib(),
        "problems": calling.problems + signing.problems,
    }


async def run(kinds: list[str], seconds: float, plant: str = "") -> dict[str, dict[str, object]]:
    results: dict[str, dict[str, object]] = {}
    with TemporaryDirectory() as folder:
        victim = Victim(Path(folder), plant=plant)
        await victim.start()
        try:
            paths = [await make_profile(victim, number, Path(folder)) for number in NUMBERS]
            rounds = [[], *([kind] for kind in kinds), *([kinds] if len(kinds) > 1 else [])]
            for chosen in rounds:
                name = "all" if len(chosen) > 1 else (chosen or ["nobody"])[0]
                results[name] = await measure(victim, paths, chosen, seconds)
                await asyncio.sleep(1)
        finally:
            await victim.stop()
        results["log"] = {"characters": len(victim.log.read_text()), "problems": victim.complaints()}
    return results


def judge(results: dict[str, dict[str, object]]) -> list[str]:
    """What was missed."""
    missed = [f"{name}: {problem}" for name, result in results.items() for problem in result["problems"]]  # type: ignore[attr-defined]
    calm = float(str(results["nobody"]["call set-up p99 s"]))
    for name, result in results.items():
        if "calls" in result:
            p99 = float(str(result["call set-up p99 s"]))
            if p99 > max(LIMIT_S, LIMIT_RATIO * calm):
                missed.append(f"{name}: p99 of call set-up {1000 * p99:.0f} ms")
            if not result["sign-ins"] or not result["calls"]:
                missed.append(f"{name}: nobody got through")
    if int(str(results["log"]["characters"])) > 100_000:
        missed.append("the log grows")
    return missed


def show(results: dict[str, dict[str, object]]) -> None:
    table = Table(title="What strangers cost others")
    for column in (
        "strangers",
        "calls",
        "set-up p50 ms",
        "p99 ms",
        "x nobody's",
        "sign-ins",
        "p99 ms",
        "files",
        "MiB",
    ):
        table.add_column(column, justify="left" if column == "strangers" else "right")
    calm = float(str(results["nobody"]["call set-up p99 s"]))
    for name, r in results.items():
        if "calls" in r:
            p50, p99, signed = (
                float(str(r[k])) for k in ("call set-up p50 s", "call set-up p99 s", "sign-in p99 s")
            )
            figures = (f"{1000 * p50:.0f}", f"{1000 * p99:.0f}", f"{p99 / calm:.1f}")
            last = (f"{1000 * signed:.0f}", str(r["open files"]), f"{float(str(r['memory MiB'])):.0f}")
            table.add_row(name, str(r["calls"]), *figures, str(r["sign-ins"]), *last)
    Console(width=110).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="for each line of the table")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of " + ", ".join(KINDS))
    parser.add_argument("--out", type=Path, help="all figures, as JSON")
    parser.add_argument("--plant", default="", help="a fault (tests/fuzz/planted.py) that must be noticed")
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.attack:
        os.nice(10)
        asyncio.run(attack(arguments.port, arguments.attack.split(",")))
    results = asyncio.run(run(arguments.kinds.split(","), arguments.seconds, arguments.plant))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1))
    show(results)
    missed = judge(results)
    for line in missed:
        print("MISSED:", line)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
