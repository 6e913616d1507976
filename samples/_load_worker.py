"""A process of load_test.py: callers and callees with real media. Commands come on stdin, what happened goes to stdout.

Both are lines of JSON. When stdin ends, so does the process: whoever started it may be gone.
"""

import argparse
import asyncio
import contextlib
import json
import re
import resource
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
from _checkout import ROOT  # noqa: F401  (finds the checkout)

from media import MediaError, PeerConnection, avoid_pauses, load_speech
from media.io.sources import FRAME_SAMPLES, PLAYOUT_SAMPLES, SAMPLE_RATE, PacedSource
from media.simulation.voice import generate_voice
from signaling import Client, SignalingError
from signaling.client.registration import Progress, register

SPEECH_SECONDS = 60.0
SIGN_IN_TIMEOUT = 30.0
SIGN_INS_AT_ONCE = 4
LAG_INTERVAL = 0.010
HISTOGRAM_MS = 2000  # later than this counts as this


class Lateness:
    """How late things were, in whole milliseconds: a histogram, since a process has 100 of them a second and end."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        late = min(HISTOGRAM_MS, max(0, round(seconds * 1000)))
        self.counts[late] = self.counts.get(late, 0) + 1


class Speech(PacedSource):
    """Speech that all calls of the process share, each from a place of its own, without end."""

    def __init__(self, samples: np.ndarray, start: int) -> None:
        super().__init__()
        self._samples, self._position = samples, start % len(samples)

    def _frame(self) -> np.ndarray:
        places = np.arange(self._position, self._position + FRAME_SAMPLES)
        self._position = (self._position + FRAME_SAMPLES) % len(self._samples)
        return self._samples.take(places, mode="wrap")


class Ear:
    """A loudspeaker without sound: notes how late each 10 ms came, by the schedule of the first one."""

    def __init__(self, lateness: Lateness) -> None:
        self._lateness = lateness
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None

    def write(self, samples: np.ndarray) -> None:
        now = self._loop.time()
        due = now if self._due is None else self._due + PLAYOUT_SAMPLES / SAMPLE_RATE
        self._lateness.add(now - due)
        # After more than half a second playout begins a schedule anew; so does this.
        self._due = now if now - due > 0.5 else due

    def close(self) -> None:
        pass


class Worker:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        speech = (
            load_speech(options.speech, SPEECH_SECONDS)
            if options.speech
            else generate_voice(7, SPEECH_SECONDS)
        )
        self._speech: np.ndarray = speech
        self._clients: dict[str, Client] = {}
        self._stack = contextlib.AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hang_up = asyncio.Event()
        self._pulls, self._lag = Lateness(), Lateness()
        self._started = 0
        self._step = 0  # what is told of a call names the step that it was placed or taken in

    async def run(self) -> None:
        """Until stdin ends."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        lag = asyncio.ensure_future(self._measure_lag())
        tell("ready")
        try:
            while line := await reader.readline():
                self._handle(json.loads(line))
        finally:
            self._hang_up.set()
            lag.cancel()
            await self._stack.aclose()  # ends their calls, and whoever waits for calls
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=5)
            for task in self._tasks:
                task.cancel()

    def _handle(self, command: dict[str, Any]) -> None:
        match command["do"]:
            case "sign_in":
                self._spawn(self._sign_in(command["callers"], command["callees"]))
            case "place":
                self._hang_up, self._step = asyncio.Event(), command["step"]
                for caller, callee, after in command["calls"]:
                    self._spawn(self._place(caller, callee, after))
            case "begin":  # the time that counts
                self._pulls.counts.clear()
                self._lag.counts.clear()
            case "hang_up":
                tell("load", step=self._step, pulls=self._pulls.counts, lag=self._lag.counts)
                self._hang_up.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            self._lag.add(loop.time() - due)

    # -- people

    async def _sign_in(self, callers: list[str], callees: list[str]) -> None:
        slots = asyncio.Semaphore(SIGN_INS_AT_ONCE)

        async def one(number: str) -> None:
            async with slots:
                try:
                    client = await self._online(number)
                except Exception as error:
                    return tell("offline", number=number, reason=words(error))
            self._clients[number] = client
            if number in callees:
                self._spawn(self._answer(client))
            tell("online", number=number)

        await asyncio.gather(*(one(number) for number in (*callers, *callees)))

    async def _online(self, number: str) -> Client:
        options = self._options
        profile: Path = options.people / f"{number}.profile"

        async def code(progress: Progress) -> str:
            lines = options.sms_file.read_text().splitlines()
            texts = [m["text"] for m in map(json.loads, lines) if m["to"] == progress.number]
            return re.findall(r"\b\d{6}\b", texts[-1])[0]

        if not profile.exists():
            (await register(number, options.server, profile, code, device_name="load test")).close()
        client = await self._stack.enter_async_context(Client.open(profile, ring_unknown=True))
        await client.wait_online(SIGN_IN_TIMEOUT)
        return client

    # -- calls

    def _connection(self) -> PeerConnection:
        self._started += 1
        start = self._started * SAMPLE_RATE * 7  # nobody says the same at the same time
        speech, ear = Speech(self._speech, start), Ear(self._pulls)
        return PeerConnection(microphone=speech, speaker=ear, addresses=self._options.address)

    async def _place(self, caller: str, callee: str, after: float) -> None:
        loop, hang_up = asyncio.get_running_loop(), self._hang_up
        said = {"step": self._step, "caller": caller}
        await asyncio.sleep(after)
        if hang_up.is_set():
            return tell("failed", **said, reason="the test was stopped before it was placed")
        tell("placed", **said)
        try:
            connection = self._connection()
            asked = loop.time()
            call = await self._clients[caller].call(callee, connection)
        except Exception as error:
            return tell("failed", **said, reason=words(error))
        tell("up", **said)
        wanted = asyncio.ensure_future(hang_up.wait())
        ended = asyncio.ensure_future(call.ended())
        await asyncio.wait((wanted, ended), return_when=asyncio.FIRST_COMPLETED)
        lost = not hang_up.is_set()
        wanted.cancel()
        await call.hang_up()
        tell(
            "ended",
            **said,
            end="caller",
            lost=lost,
            reason=call.end_sentence.replace(call.number, "the callee"),
            **figures(connection, call.timings, asked - connection.created_at),
        )

    async def _answer(self, client: Client) -> None:
        """Take every call, one after the other."""
        async for incoming in client.incoming():
            said = {"step": self._step, "caller": incoming.number}
            try:
                connection = self._connection()
                call = await incoming.accept(connection)
            except Exception as error:
                tell("not_answered", **said, reason=words(error))
                continue
            await call.ended()
            tell("ended", **said, end="callee", **figures(connection, call.timings, 0.0))


def figures(connection: PeerConnection, timings: dict[str, float | None], asked: float) -> dict[str, Any]:
    """What counts of a report. `asked`: when the call was, after the connection was made."""
    report = connection.report().with_signaling(timings, None, offset=asked)
    s = report.summary
    return {
        "setup": {**report.setup, "connected": timings["connected"]},
        "mos_lq": s.mos_lq,
        "mos_cq": s.mos_cq,
        "delay_ms": s.delay_ms,
        "jitter_buffer_ms": s.jitter_buffer_ms,
        "concealed_percent": s.concealed_percent,
        "measured": report.duration,
    }


NUMBER = re.compile(r"\+\d{7,15}")


def words(error: Exception) -> str:
    """An error in one line, the same for all pairs of numbers; a programming mistake with its type."""
    known = isinstance(error, SignalingError | MediaError)
    text = NUMBER.sub("the callee", (str(error).splitlines() or [""])[0])
    return (text if known else f"{type(error).__name__}: {text}".rstrip(": "))[:200]


def tell(kind: str, **content: Any) -> None:
    print(json.dumps({"kind": kind} | content), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--server", required=True)
    add("--people", required=True, type=Path)
    add("--sms-file", type=Path)
    add("--speech", type=Path)
    add("--address", action="append")
    options = parser.parse_args()
    # Ctrl-C reaches the whole group of processes; it is for load_test.py, which then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    avoid_pauses(real_time=False)
    asyncio.run(Worker(options).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
