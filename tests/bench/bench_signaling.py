"""Capacity of the embedded signaling server, with Debian's ejabberd beside it in the same run.

    make bench-signaling            (BENCH_ARGS="--connections 1000 --loaded 1000 --seconds 5" for a short one)

One server after the other gets the same phones (bench_signaling_phones.py, several processes) and the same stanzas:
idle connections with memory and processor time, sign-ins, messages and whole calls, as many as it takes and at a
steady rate. The last lines are the table of docs/performance.md, where method and figures are.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_signaling_servers import DOMAIN, ROOT, Ejabberd, Measured, Ringline, Unavailable

from signaling import stanza as st
from signaling.jid import Jid
from signaling.jingle.content import Action, Content, Jingle, Role, SessionDescription, build_jingle
from signaling.jingle.initiation import Initiation, Kind, build_initiation
from signaling.jingle.sdp import parse_sdp
from signaling.jingle.transport import Candidate, Transport
from signaling.storage.keys import load_keys
from signaling.xml import CLIENT, HINTS, element, serialise

FIXTURES = ROOT / "tests" / "signaling" / "jingle" / "fixtures"
PASSPORT = "x" * 475  # as long as a real one; a server does not read it
SPARE = 500  # files and ports beside the connections
AT_ONCE = 100  # sign-ins, and calls under full load
TO = Jid("", "TO")
# Enough for the clients of the steady load to be independent of each other.
STEADY = (20, 50, 100)


def stanzas() -> dict[str, str]:
    """Those of a voice call as our client makes them, with TO, INITIATOR and SID to be replaced."""
    offer = parse_sdp((FIXTURES / "ringline-audio-offer.sdp").read_text(), Role.INITIATOR)
    answer = parse_sdp((FIXTURES / "ringline-audio-answer.sdp").read_text(), Role.RESPONDER)
    candidate = Candidate("1", 1, "udp", 2130706431, "192.0.2.17", 50000, "host")
    transport = Transport("abcd", "a" * 22, candidates=(candidate,))
    trickle = SessionDescription((Content(name="0", transport=transport),))
    jingles = {
        "initiate": Jingle(Action.SESSION_INITIATE, "SID", offer, initiator="INITIATOR", passport=PASSPORT),
        "answer": Jingle(Action.SESSION_ACCEPT, "SID", answer, responder="INITIATOR", passport=PASSPORT),
        "info": Jingle(Action.TRANSPORT_INFO, "SID", trickle),
        "terminate": Jingle(Action.SESSION_TERMINATE, "SID", reason="success"),
    }
    initiations = {
        "propose": Initiation(Kind.PROPOSE, "SID", media=("audio",)),
        "ringing": Initiation(Kind.RINGING, "SID"),
        "proceed": Initiation(Kind.PROCEED, "SID"),
        "accept": Initiation(Kind.ACCEPT, "SID"),
        "finish": Initiation(Kind.FINISH, "SID", reason="success"),
    }
    body = element(CLIENT, "body", text="Call me back when you are there, please.")
    made = {name: st.iq("set", build_jingle(j), id=f"{name}-SID", to=TO) for name, j in jingles.items()}
    made |= {name: build_initiation(i, TO, f"{name}-SID") for name, i in initiations.items()}
    made["message"] = st.message(TO, body, id="SID")
    made["kept"] = st.message(TO, body, element(HINTS, "store"), id="SID")
    return {name: serialise(node) for name, node in made.items()}


def spread(times: list[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(times)
    if not ordered:
        return {}
    at = {f"p{p}_ms": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 99)}
    return {name: round(1000 * value, 2) for name, value in (at | {"max_ms": ordered[-1]}).items()}


@dataclass
class Crowd:
    """The processes with the phones, as one."""

    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    lost: int = 0

    @classmethod
    async def start(cls, server: Measured, keys: Path, count: int) -> "Crowd":
        crowd = cls()
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("bench_signaling_phones.py")),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=2**26,
            )
            crowd.processes.append(process)
        world = {"host": server.host, "port": server.port, "path": server.path, "domain": DOMAIN}
        world |= {"key": str(keys / "signing.pem"), "key_id": load_keys(keys).key_id, "stanzas": stanzas()}
        await crowd.all([world | {"do": "world", "seed": n} for n in range(count)])
        return crowd

    async def all(self, commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
        async def one(process: asyncio.subprocess.Process, command: dict[str, Any]) -> dict[str, Any]:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(command).encode() + b"\n")
            line = await process.stdout.readline()
            if not line:
                raise RuntimeError("a process of phones died")
            answer: dict[str, Any] = json.loads(line)
            return answer

        answers = await asyncio.gather(*map(one, self.processes, commands))
        for answer in answers:
            self.failed.update(answer.get("failed", {}))
            self.failed.update(answer.get("strange", {}))
        self.lost = sum(answer.get("lost", 0) for answer in answers)
        return answers

    async def measure(self, server: Measured, commands: list[dict[str, Any]]) -> dict[str, Any]:
        """Rate, times, and what the server's processor time was for one."""
        cpu = server.cpu()
        answers = await self.all(commands)
        cpu = server.cpu() - cpu
        times = [time for answer in answers for time in answer["times"]]
        seconds = max(answer["seconds"] for answer in answers)
        return {
            "per_second": round(len(times) / seconds, 1),
            "server_ms_each": round(1000 * cpu / max(1, len(times)), 3),
            "count": len(times),
            "failed": sum(sum(answer["failed"].values()) for answer in answers),
            **spread(times),
        }

    async def connect(self, server: Measured, first: int, count: int) -> dict[str, Any]:
        share, n = count // len(self.processes) // 2 * 2, len(self.processes)
        at_once = AT_ONCE // n
        return await self.measure(
            server,
            [
                {"do": "connect", "first": first + k * share, "count": share, "at_once": at_once}
                for k in range(n)
            ],
        )

    async def load(self, server: Measured, kind: str, seconds: float, rate: float = 0) -> dict[str, Any]:
        n = len(self.processes)
        command = {"do": "load", "kind": kind, "seconds": seconds, "at_once": AT_ONCE // n, "rate": rate / n}
        return await self.measure(server, [command] * n)

    async def stop(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def examine(server: Measured, keys: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one server that runs."""
    crowd = await Crowd.start(server, keys, options.processes)
    result: dict[str, Any] = {"version": server.version(), "idle": []}

    def say(what: str, value: object) -> None:
        print(f"{server.name:9} {what}: {value}", flush=True)

    try:
        # What the first ones make it load is not theirs.
        await crowd.connect(server, 0, 100)
        base, online = server.memory_kib(), 100
        result["empty_mib"] = round(base / 1024, 1)
        for target in options.connections:
            result["sign_in"] = await crowd.connect(server, online, target - online)
            say(f"sign-ins up to {target}", result["sign_in"])
            online = target
            await asyncio.sleep(options.settle)
            cpu, began = server.cpu(), time.monotonic()
            await asyncio.sleep(options.idle)
            row = {
                "connections": target,
                "kib_each": round((server.memory_kib() - base) / (target - 100), 1),
                "cpu_percent": round(100 * (server.cpu() - cpu) / (time.monotonic() - began), 1),
                "lost": crowd.lost,
            }
            result["idle"].append(row)
            say("idle", row)
        keep = min(options.loaded, online) // options.processes
        await crowd.all([{"do": "close", "keep": keep}] * options.processes)
        await asyncio.sleep(options.settle)
        for kind in ("message", "kept", "call"):
            result[kind] = await crowd.load(server, kind, options.seconds)
            say(f"{kind}s, as many as it takes", result[kind])
        for rate in STEADY:
            result[f"call_{rate}"] = await crowd.load(server, "call", options.seconds, rate)
            say(f"{rate} calls a second", result[f"call_{rate}"])
        result |= {"lost": crowd.lost, "failed": dict(crowd.failed.most_common(5))}
        say("lost connections, failures", (crowd.lost, result["failed"]))
    finally:
        await crowd.stop()
    return result


async def run(options: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        keys = folder / "ringline" / "data" / "keys"
        (folder / "ringline").mkdir()
        load_keys(keys)
        servers: list[Ringline | Ejabberd] = [
            Ringline(folder / "ringline", max(options.connections)),
            Ejabberd(folder / "ejabberd", keys),
        ]
        for server in servers:
            if options.only in ("", server.name):
                try:
                    await server.start()
                    results[server.name] = await examine(server, keys, options)
                except Unavailable as why:
                    print(f"{server.name} is left out: {why}", flush=True)
                finally:
                    await server.stop()
    return results


def table(results: dict[str, Any]) -> str:
    """Markdown; the last column is ringline / ejabberd."""
    ours, theirs = results.get("ringline", {}), results.get("ejabberd", {})
    rows: list[tuple[str, Any, Any]] = [
        ("memory, empty: MiB", ours.get("empty_mib"), theirs.get("empty_mib"))
    ]
    idle = [{row["connections"]: row for row in found.get("idle", [])} for found in (ours, theirs)]
    for count in sorted(idle[0] | idle[1]):
        mine, other = (rows_of.get(count, {}) for rows_of in idle)
        for key, text in (("kib_each", "KiB a connection"), ("cpu_percent", "% of a core")):
            rows.append((f"{count} idle: {text}", mine.get(key), other.get(key)))
    names = {"sign_in": "sign-ins", "message": "messages", "kept": "kept messages", "call": "calls"}
    names |= {f"call_{rate}": f"{rate} calls a second" for rate in STEADY}
    texts = {"per_second": "a second", "server_ms_each": "ms of processor each", "p50_ms": "p50 ms"}
    texts |= {"p99_ms": "p99 ms", "failed": "failed"}
    for name, title in names.items():
        for key, text in texts.items():
            if key != "per_second" or not name.startswith("call_"):
                rows.append((f"{title}: {text}", ours.get(name, {}).get(key), theirs.get(name, {}).get(key)))
    rows.append(("connections lost", ours.get("lost"), theirs.get("lost")))
    lines = ["| | ringline | ejabberd | ratio |", "|---|---|---|---|"]
    for title, a, b in rows:
        ratio = f"{a / b:.2f}" if a is not None and b else ""
        lines.append(f"| {title} | {'' if a is None else a} | {'' if b is None else b} | {ratio} |")
    return "\n".join(lines)


def check_host(connections: list[int]) -> list[int]:
    """Those of the counts that this host allows: open files of one process, and ports to connect from."""
    need = max(connections) + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < need:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (need, need))
        except (OSError, ValueError):
            print(
                f"Only {hard} open files a process are allowed here; {max(connections)} connections need {need}. "
                f"Before, as root: ulimit -n {need} (or LimitNOFILE=, or /etc/security/limits.conf)."
            )
    elif soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if last - first < need:
        print(
            f"Only {last - first} ports to connect from (net.ipv4.ip_local_port_range); {need} are needed. "
            'Before, as root: sysctl -w net.ipv4.ip_local_port_range="10240 65000"'
        )
        most = min(most, last - first - SPARE)
    if most < max(connections):
        print(f"So there are at most {most} connections in this run.")
    return sorted({min(count, most) for count in connections})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--connections", type=int, nargs="+", default=[2000, 10000, 15000])
    parser.add_argument("--loaded", type=int, default=10000, help="how many stay while there are calls")
    parser.add_argument("--seconds", type=float, default=20, help="of each load")
    parser.add_argument("--settle", type=float, default=5, help="seconds before memory is read")
    parser.add_argument("--idle", type=float, default=40, help="seconds of watching the idle ones")
    parser.add_argument("--processes", type=int, default=2, help="of phones")
    parser.add_argument("--only", choices=("", "ringline", "ejabberd"), default="")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    options.connections = check_host(options.connections)
    results = asyncio.run(run(options))
    about = ", ".join(found["version"] for found in results.values())
    print(
        f"\n{about}; {os.cpu_count()} cores, {platform.system()} {platform.release()}\n\n{table(results)}\n"
    )
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1))
    bad = [name for name, found in results.items() if found["lost"] or found["failed"]]
    print(f"lost or failed: {', '.join(bad) or 'none'}")
    return 1 if "ringline" in bad or not results else 0


if __name__ == "__main__":
    sys.exit(main())
