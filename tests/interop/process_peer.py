"""A peer in a process of its own: commands on its standard input, answers and events on its standard output."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.interop.browser import plan_of
from tests.interop.material import Plan, Side

ENDS_WITHIN = 10.0
ROOT = Path(__file__).parents[2]


class ProcessPeer:
    """`words`: the command; the protocol is told in gst_end.py. `more` goes to it with the plan."""

    def __init__(
        self,
        words: list[str],
        plan: Plan,
        side: Side,
        other: Side,
        on_candidate: Callable[[str, str], Awaitable[None]],
        **more: Any,
    ) -> None:
        self._words = words
        self._plan = plan_of(plan, side, other) | more
        self._on_candidate = on_candidate
        self._process: asyncio.subprocess.Process | None = None
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._number = 0
        self._events = {"heard": asyncio.Event(), "seen": asyncio.Event()}
        self.errors: list[str] = []

    async def do(self, what: str, *arguments: Any) -> Any:
        """Raises RuntimeError for what the other process says of it."""
        if self._process is None:
            await self._start()
        assert self._process is not None and self._process.stdin is not None
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": self._number, "do": what, "with": arguments})
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()
        return await answer

    async def _start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._words, stdin=pipe, stdout=pipe, limit=2**24, cwd=ROOT
        )
        self._tasks.append(asyncio.ensure_future(self._read()))
        await self.do("begin", self._plan)

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            match json.loads(line):
                case {"id": number, "result": result}:
                    self._answers.pop(number).set_result(result)
                case {"id": number, "error": why}:
                    self._answers.pop(number).set_exception(RuntimeError(why))
                case {"kind": "candidate", "mid": mid, "line": text}:
                    self._tasks.append(asyncio.ensure_future(self._on_candidate(mid, text)))
                case {"kind": "error", "why": why}:
                    self.errors.append(why)
                case {"kind": kind}:
                    self._events[kind].set()
        for answer in self._answers.values():
            answer.set_exception(RuntimeError(f"the process is gone {self.errors}"))

    async def offer(self) -> str:
        return str(await self.do("offer"))

    async def answer(self, offer: str) -> str:
        return str(await self.do("answer", offer))

    async def accept(self, answer: str) -> None:
        await self.do("accept", answer)

    async def candidate(self, mid: str, line: str) -> None:
        await self.do("candidate", mid, line)

    async def heard(self) -> None:
        await self._events["heard"].wait()

    async def seen(self) -> None:
        await self._events["seen"].wait()

    async def ask(self, message: str | bytes) -> str | bytes:
        """Bytes go as a list of numbers."""
        text = isinstance(message, str)
        answer = await self.do("ask", "text" if text else "bytes", message if text else list(message))
        return str(answer["text"]) if "text" in answer else bytes(answer["bytes"])

    async def again(self) -> None:
        await self.do("again")
        for event in self._events.values():
            event.clear()

    async def decoded(self) -> int:
        return int(await self.do("decoded"))

    async def start(self, kind: str) -> None:
        await self.do("start", kind)

    async def stop(self, kind: str) -> None:
        await self.do("stop", kind)

    async def restart_ice(self) -> None:
        await self.do("restart_ice")

    async def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                async with asyncio.timeout(ENDS_WITHIN):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert not self.errors, self.errors
