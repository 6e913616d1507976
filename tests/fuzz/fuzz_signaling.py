"""Broken, changed and malicious HTTP, WebSocket frames and XML against a real server, while two healthy clients go on.

    make fuzz FUZZ_ARGS="--minutes 10 --seed 1"
    .venv/bin/python tests/fuzz/fuzz_signaling.py --seed 1 --only xml:4711

Every case is made from the seed, its family and its number alone: `--only` sends it again. What fails is told, and the
bytes that the case sent last are written to build/fuzz. The exit code is 1 if the server died, complained in its log,
left a request or an iq without an answer, kept the healthy clients waiting, or did not come back to where it was.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from counted import count
from healthy import Pair, make_profile, record
from hostile_server import attack
from victim import ROOT, Victim

from signaling.client.profile import Profile

HEALTHY = ("+12025550100", "+12025550101")
ATTACKERS = tuple(f"+1202555{n:04d}" for n in range(102, 110))
# Seconds. The attackers keep the server's core busy; what is bounded here is how long anybody else waits for his turn.
SLOWEST = {"sign-in": 6.0, "message": 4.0, "call set-up": 8.0, "questions": 4.0, "healthz": 4.0}
PATIENCE = 90.0  # for a request that never ends
SETTLE = 40.0
# MiB of resident memory: what may be left of a million inputs, and what an allocator keeps of a short run.
GROWTH_PER_MILLION, GROWTH_ANYWAY = 40.0, 12.0


# Of the streams: those whose end came without a word. Since connections are paced there are a few in a thousand, of which
# it is not known whether the server or the network of this test loses the last words.
MOST_CUT = 0.01


class Run:
    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.seconds, self.seed, self.only = arguments.minutes * 60, arguments.seed, arguments.only
        self.out, self.folder = arguments.out, folder
        self.victim = Victim(folder)
        self.problems: list[str] = []
        self.healthz: list[float] = []
        self._attackers: asyncio.subprocess.Process | None = None

    async def run(self) -> dict[str, Any]:
        victim = self.victim
        await victim.start()
        try:
            paths = [await make_profile(victim, number, self.folder) for number in (*HEALTHY, *ATTACKERS)]
            pair = Pair((paths[0], paths[1]))
            corpus = await record(pair)
            pair.slowest.clear()
            before = {"sockets": victim.handles(), "threads": victim.threads(), "mib": victim.memory_mib()}
            before["tasks"] = (await victim.gauges())["tasks"]
            await self._attack(paths, corpus)
            warm, warm_inputs = await self._watch(pair)
            done = await self._stop_attack()
            after = await self._settle(before)
        finally:
            code = await self._end()
        self.problems += done["failures"] + pair.problems
        cut, sessions = done["answers"].get("cut", 0), done["cases"].get("xml session", 0)
        if cut > MOST_CUT * sessions + 5:
            self.problems.append(f"{cut} of {sessions} streams ended without a word")
        if not self.only:
            self._judge(pair, before, after)
        inputs = sum(done["inputs"].values())
        growth = after["mib"] - warm
        millions = (inputs - warm_inputs) / 1e6
        if growth > GROWTH_ANYWAY + GROWTH_PER_MILLION * millions:
            self.problems.append(f"memory grew by {growth:.1f} MiB in {millions:.3f} million inputs")
        if code != 0:
            self.problems.append(f"the server ended with {code}")
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "inputs": {"all": inputs} | done["inputs"],
            "cases": done["cases"],
            "answers": done["answers"],
            "slowest answer to an attacker (s)": round(done["slowest"], 3),
            "healthy rounds": pair.rounds,
            "slowest for the healthy (s)": {k: round(v, 3) for k, v in pair.slowest.items()},
            "slowest healthz (s)": round(max(self.healthz, default=0.0), 3),
            "before": before,
            "after": after,
            "MiB when warm": round(warm, 1),
            "MiB per million inputs since": round(growth / millions, 1) if millions > 0.1 else None,
            "problems": self.problems,
        }

    async def _attack(self, paths: list[Path], corpus: list[str]) -> None:
        victims = []
        for path in paths[:2]:
            with Profile.open(path) as profile:
                victims.append(str(profile.jid))
        options = {
            "url": self.victim.url,
            "profiles": [str(path) for path in paths[2:]],
            "corpus": corpus,
            "victims": victims,
            "patience": PATIENCE,
            "seed": self.seed,
            "out": str(self.out),
            "only": self.only,
        }
        self._attackers = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("attackers.py")),
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        assert self._attackers.stdin is not None
        self._attackers.stdin.write(json.dumps(options).encode() + b"\n")

    async def _command(self, command: str) -> dict[str, Any]:
        assert self._attackers is not None
        assert self._attackers.stdin is not None and self._attackers.stdout is not None
        self._attackers.stdin.write(command.encode() + b"\n")
        async with asyncio.timeout(120):
            line = await self._attackers.stdout.readline()
        if not line:
            raise RuntimeError("the attackers died")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _watch(self, pair: Pair) -> tuple[float, int]:
        """Until the time is over, or the server is lost. Its memory and the inputs so far, when it was warm."""
        began = time.monotonic()
        warm, inputs = 0.0, 0
        checking = asyncio.create_task(self._check())
        try:
            while time.monotonic() < began + self.seconds and not checking.done():
                if not self.only:
                    await pair.round()
                if not warm and time.monotonic() > began + min(60, self.seconds / 4):
                    warm, inputs = self.victim.memory_mib(), (await self._command("count"))["inputs"]
                await asyncio.sleep(1)
        finally:
            checking.cancel()
            await asyncio.gather(checking, return_exceptions=True)
        return warm or self.victim.memory_mib(), inputs

    async def _check(self) -> None:
        """Ends when the server must not be asked any more."""
        while len(self.problems) < 20:
            await asyncio.sleep(1)
            if not self.victim.lives:
                return
            if complaints := self.victim.complaints():
                self.problems += complaints
                await self._dump()
            began = time.monotonic()
            if not await self.victim.is_well(SLOWEST["healthz"]):
                self.problems.append("/healthz did not answer")
                await self._dump()
            self.healthz.append(time.monotonic() - began)

    async def _dump(self) -> None:
        assert self._attackers is not None and self._attackers.stdin is not None
        self._attackers.stdin.write(b"dump\n")

    async def _stop_attack(self) -> dict[str, Any]:
        if not self.victim.lives:
            await self._dump()
        done = await self._command("stop")
        assert self._attackers is not None
        await self._attackers.wait()
        return done

    async def _settle(self, before: dict[str, float]) -> dict[str, float]:
        """What is left some seconds after all have left."""
        victim, end = self.victim, time.monotonic() + SETTLE
        while victim.lives:
            gauges = await victim.gauges()
            after = {
                "sockets": victim.handles(),
                "threads": victim.threads(),
                "mib": round(victim.memory_mib(), 1),
            }
            after |= {"streams": gauges["connections"], "tasks": gauges["tasks"]}
            given_back = after["sockets"] <= before["sockets"] and after["tasks"] <= before["tasks"]
            if (given_back and not after["streams"]) or time.monotonic() > end:
                return after
            await asyncio.sleep(0.5)
        return {"sockets": 0, "threads": 0, "mib": 0.0, "streams": 0, "tasks": 0}

    def _judge(self, pair: Pair, before: dict[str, float], after: dict[str, float]) -> None:
        slowest = pair.slowest | {"healthz": max(self.healthz, default=0.0)}
        for what, took in slowest.items():
            if took > SLOWEST[what]:
                self.problems.append(f"{what} took {took:.1f} s, at most {SLOWEST[what]} s are allowed")
        if not pair.rounds or not self.healthz:
            self.problems.append("the healthy pair never got through")
        if after["sockets"] > before["sockets"] or after["tasks"] > before["tasks"] or after["streams"]:
            self.problems.append(f"not given back: {before} before, {after} after")
        # The store's own threads come when they are needed, and stay.
        if after["threads"] > before["threads"] + 8:
            self.problems.append(f"threads: {before['threads']} before, {after['threads']} after")

    async def _end(self) -> int:
        died = not self.victim.lives
        code = await self.victim.stop()
        self.problems += self.victim.complaints()
        if died:
            self.problems.append(f"the server died: {self.victim.log.read_text()[-4000:]}")
        if self._attackers is not None and self._attackers.returncode is None:
            self._attackers.kill()
            await self._attackers.wait()
        return code


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="FAMILY:N", help="this case alone")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "fuzz", help="for what failed, and summary.json"
    )
    arguments = parser.parse_args()
    for old in arguments.out.glob("*.txt"):
        old.unlink()
    counts: dict[str, float] = {}
    broken: list[str] = []
    if not arguments.only:
        with tempfile.TemporaryDirectory() as name:
            counts, broken = asyncio.run(count(arguments.seed, Path(name)))
    with tempfile.TemporaryDirectory() as name:
        result = asyncio.run(Run(arguments, Path(name)).run())
    result["counted"], result["problems"] = counts, broken + result["problems"]
    if not arguments.only:
        with tempfile.TemporaryDirectory() as name:
            lies = attack(arguments.minutes * 30, arguments.seed, Path(name), arguments.out)
            result["clients at a hostile server"], fooled = asyncio.run(lies)
        result["problems"] += fooled
    text = json.dumps(result, indent=1)
    print(text)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "summary.json").write_text(text)
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
