"""The attackers, a process of its own, so that they are not what keeps the healthy clients waiting.

The first line on stdin is what World.open wants; "stop" ends it. One line of JSON on stdout says what was done.
"""

import asyncio
import json
import logging
import random
import re
import sys
import traceback
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import http_cases
import websocket_cases
import xml_cases
from wire import Failure, Record
from world import World

Case = Callable[[World, random.Random, Record], Awaitable[None]]
FAMILIES: dict[str, dict[Case, int]] = {
    "http": http_cases.CASES,
    "websocket": websocket_cases.CASES,
    "xml": xml_cases.CASES,
}
AT_ONCE = {"http": 8, "websocket": 12, "xml": 14}
KEPT_CASES = 60
MAX_FAILURES = 20


class Attack:
    """Cases, one after the other in each of some tasks: number N of a family does the same for the same seed."""

    def __init__(self, world: World, seed: int, out: Path) -> None:
        self.world, self.seed, self.out = world, seed, out
        self.total, self.cases = Record(), Counter[str]()
        self.failures: list[str] = []
        self.stopping = False
        self.recent: deque[tuple[str, Record]] = deque(maxlen=KEPT_CASES)
        self._next: Counter[str] = Counter()

    async def run_case(self, family: str, number: int) -> None:
        rng = random.Random(f"{self.seed}:{family}:{number}")
        table = FAMILIES[family]
        case = rng.choices([*table], [*table.values()])[0]
        name, record = f"{family}:{number}:{case.__name__}", Record()
        self.recent.append((name, record))
        try:
            async with asyncio.timeout(self.world.patience + 60):
                await case(self.world, rng, record)
        except Failure as failure:
            self._failed(name, record, str(failure))
        except TimeoutError:
            self._failed(name, record, "this case hangs")
        except OSError as error:
            self._failed(name, record, f"no connection: {error}")
        except Exception:
            self._failed(name, record, "a bug of the fuzzer: " + traceback.format_exc())
        self.cases[f"{family} {case.__name__}"] += 1
        self.total.inputs.update(record.inputs)
        self.total.answers.update(record.answers)
        self.total.slowest = max(self.total.slowest, record.slowest)

    def _failed(self, name: str, record: Record, why: str) -> None:
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(f"{name}: {why}")
            self._write(name, record, why)
            print(f"FAILED {name}: {why[:600]}", file=sys.stderr, flush=True)

    def _write(self, name: str, record: Record, why: str) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        text = "\n".join((f"# seed {self.seed}", f"# {why}", *(repr(data) for data in record.last), ""))
        (self.out / (re.sub(r"\W", "-", name) + ".txt")).write_text(text)

    def dump(self) -> None:
        """What the last cases sent, for when it is the server that fails."""
        for name, record in self.recent:
            self._write("last-" + name, record, "one of the last cases")

    async def keep_on(self, family: str) -> None:
        while not self.stopping:
            number = self._next[family]
            self._next[family] += 1
            await self.run_case(family, number)
            await asyncio.sleep(0)

    def result(self) -> dict[str, Any]:
        return {
            "inputs": dict(sorted(self.total.inputs.items())),
            "answers": dict(self.total.answers.most_common()),
            "cases": dict(sorted(self.cases.items())),
            "slowest": self.total.slowest,
            "failures": self.failures,
        }


async def main() -> None:
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # a server that hangs up is what is wanted
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    options = json.loads(await reader.readline())
    world = await World.open(options)
    attack = Attack(world, options["seed"], Path(options["out"]))
    if options["only"]:
        family, _, number = options["only"].partition(":")
        await attack.run_case(family, int(number.partition(":")[0]))
        tasks = []
    else:
        tasks = [asyncio.create_task(attack.keep_on(f)) for f, count in AT_ONCE.items() for _ in range(count)]
    while line := await reader.readline():
        command = line.decode().strip()
        if command == "dump":
            attack.dump()
        elif command == "count":
            print(json.dumps({"inputs": attack.total.inputs.total()}), flush=True)
        elif command == "stop":
            attack.stopping = True
            # What is left after that is what waits for the server to lose its patience.
            _, late = await asyncio.wait(tasks, timeout=30) if tasks else ((), ())
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            world.close()
            print(json.dumps(attack.result()), flush=True)
            return


if __name__ == "__main__":
    asyncio.run(main())
