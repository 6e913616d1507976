"""The processes of load_test.py: the server, those with media, what they say and what they cost."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _checkout import ROOT
from _load_figures import Cost

START_TIMEOUT = 30.0
MAX_LINE = 1 << 20


class LoadError(Exception):
    """A part of the test failed; the message is for the user."""


@contextlib.asynccontextmanager
async def child(*command: str | Path, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process of ours; ended when the block is left, whatever happens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=MAX_LINE,
        **options,
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None and process.stdin is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def signaling_server(folder: Path, log: Any) -> AsyncIterator[tuple[str, int]]:
    """(URL, process id) of a server for this test."""
    serve = ("-m", "signaling", "serve", "--port", "0", "--data", folder / "data")
    options = {"stdin": asyncio.subprocess.DEVNULL, "stderr": log, "start_new_session": True}
    async with child(*serve, "--sms", f"file:{folder / 'sms.jsonl'}", **options) as process:
        assert process.stdout is not None
        url = ""
        async with asyncio.timeout(START_TIMEOUT):
            while not url and (line := (await process.stdout.readline()).decode()):
                url = line.split()[3] if line.startswith("Ringline signaling server") else ""
        if not url:
            raise LoadError("the signaling server ended at its start; see the log")
        yield url, process.pid


@dataclass(slots=True)
class Workers:
    """The media processes and what they say."""

    processes: list[asyncio.subprocess.Process]
    records: list[dict[str, Any]] = field(default_factory=list)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)
    step: int = 0
    late: int = 0  # records of earlier steps
    gone: dict[int, int] = field(default_factory=dict)  # which one -> its exit code

    def tell(self, which: int, **command: Any) -> None:
        stdin = self.processes[which].stdin
        assert stdin is not None
        if which not in self.gone:
            stdin.write(json.dumps(command).encode() + b"\n")

    def tell_all(self, **command: Any) -> None:
        for which in range(len(self.processes)):
            self.tell(which, **command)

    async def listen(self, which: int) -> None:
        process = self.processes[which]
        assert process.stdout is not None
        while line := await process.stdout.readline():
            record = json.loads(line)
            async with self.more:
                if record.get("step", self.step) == self.step:
                    self.records.append(record)
                else:
                    self.late += 1
                self.more.notify_all()
        async with self.more:
            self.gone[which] = await process.wait()
            self.more.notify_all()

    async def until(self, done: Callable[[], bool], timeout: float, *, all_alive: bool = True) -> bool:
        """Whether it came true in time, and, if `all_alive`, before a process ended by itself."""
        try:
            async with asyncio.timeout(timeout), self.more:
                await self.more.wait_for(lambda: done() or (all_alive and bool(self.gone)))
        except TimeoutError:
            return False
        return done()

    def said(self, *kinds: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] in kinds]


@contextlib.asynccontextmanager
async def media_processes(
    options: argparse.Namespace, server: str, folder: Path, log: Any
) -> AsyncIterator[Workers]:
    people = options.people or folder
    command: list[str | Path] = [ROOT / "samples" / "_load_worker.py", "--server", server, "--people", people]
    command += ["--sms-file", options.sms_file or folder / "sms.jsonl"]
    command += ["--speech", options.speech.absolute()] if options.speech else []
    for address in options.address or ():
        command += ["--address", address]
    async with contextlib.AsyncExitStack() as stack:
        ends = {"stdin": asyncio.subprocess.PIPE, "stderr": log}
        made = [await stack.enter_async_context(child(*command, **ends)) for _ in range(options.processes)]
        workers = Workers(made)
        listeners = [asyncio.create_task(workers.listen(which)) for which in range(len(made))]
        try:
            yield workers
        finally:
            workers.tell_all(do="hang_up")
            for process in made:
                assert process.stdin is not None
                process.stdin.close()
            await asyncio.wait(listeners, timeout=20)
            for listener in listeners:
                listener.cancel()


class Meter:
    """Processor time and memory of processes, and how busy the machine is, from /proc; nothing where there is none."""

    def __init__(self, media: list[int], server: int | None) -> None:
        self._media, self._server = media, server
        self._known = Path("/proc/self/stat").exists()
        self._idle_mb = self._megabytes()
        self._before = self._read()

    def begin(self) -> None:
        self._before = self._read()

    def end(self) -> Cost:
        if not self._known:
            return Cost()
        before, after = self._before, self._read()
        seconds = after["time"] - before["time"]
        spent = {pid: (after["cpu"][pid] - before["cpu"].get(pid, 0.0)) / seconds for pid in after["cpu"]}
        cores = os.cpu_count() or 1
        busy = cores - (after["idle"] - before["idle"]) / seconds
        return Cost(
            media_cores=[round(spent[pid], 3) for pid in self._media if pid in spent],
            server_cores=None if self._server not in spent else round(spent[self._server], 3),
            machine_busy=round(min(1.0, max(0.0, busy / cores)), 3),
            other_cores=round(max(0.0, busy - sum(spent.values())), 3),
            media_mb=self._megabytes() - self._idle_mb,
        )

    def _read(self) -> dict[str, Any]:
        if not self._known:
            return {}
        tick = os.sysconf("SC_CLK_TCK")
        cpu: dict[int, float] = {}
        for pid in (*self._media, *([self._server] if self._server else [])):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                cpu[pid] = (int(fields[11]) + int(fields[12])) / tick
        machine = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        idle = (int(machine[4]) + int(machine[5])) / tick
        return {"time": time.monotonic(), "cpu": cpu, "idle": idle}

    def _megabytes(self) -> float:
        pages = 0
        for pid in self._media if self._known else ():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
