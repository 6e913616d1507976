"""Two numbers, one server, the real engine: what the samples do, in one process."""

import asyncio
import gc
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media import AudioRecorder, GeneratedVoice, load_speech
from media.quality.speech import score
from media.simulation.voice import generate_voice
from signaling import Call, CallBusy, Client

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"


class Until:
    """A sink that tells when so much sound was played."""

    def __init__(self, seconds: float, inner: Any = None) -> None:
        self._left = int(seconds * 48000)
        self._inner = inner
        self.reached = asyncio.Event()

    def again(self, seconds: float) -> None:
        self._left = int(seconds * 48000)
        self.reached.clear()

    def write(self, samples: np.ndarray) -> None:
        if self._inner is not None:
            self._inner.write(samples)
        self._left -= len(samples)
        if self._left <= 0:
            self.reached.set()

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()


async def join(alice: Client, bob: Client, ours: Any, theirs: Any) -> tuple[Call, Call]:
    """Alice calls Bob, who answers."""

    async def answer() -> Call:
        return await (await bob.next_incoming()).accept(theirs)

    return tuple(await asyncio.gather(alice.call(BOB, ours), answer()))  # type: ignore[return-value]


@pytest.mark.long
async def test_what_is_heard_is_what_was_said(town, connect, tmp_path: Path) -> None:
    async with town.online(ALICE) as alice, town.online(BOB) as bob:
        ear = Until(3.0, AudioRecorder(tmp_path / "heard.wav"))
        ours, theirs = connect(GeneratedVoice(7)), connect(speaker=ear)
        call, other = await join(alice, bob, ours, theirs)
        await asyncio.wait_for(ear.reached.wait(), 10)
        await call.hang_up()
        assert await other.ended() == "hung_up"
    result = score(generate_voice(7, 3.0), load_speech(tmp_path / "heard.wav"), pesq=False)
    # In real time on a busy machine some of it may have been concealed.
    assert result.matched_share is not None and result.matched_share > 0.6
    for report in (ours.report(), theirs.report()):
        assert report.summary.mos_lq is not None
        assert report.setup["dtls_connected"] is not None and report.setup["first_sound"] is not None


async def test_a_third_number_is_told_that_the_line_is_busy(town, connect) -> None:
    async with town.online(ALICE) as alice, town.online(BOB) as bob, town.online(CAROL) as carol:
        call, _ = await join(alice, bob, connect(), connect())
        with pytest.raises(CallBusy):
            await carol.call(BOB, connect())
        await call.hang_up()


async def test_connected_while_it_rings(town, connect) -> None:
    async with town.online(ALICE, preconnect=True) as alice, town.online(BOB, preconnect=True) as bob:
        call, other = await join(alice, bob, connect(), connect())  # now they know each other's keys
        await call.hang_up()
        await other.ended()
        ears = Until(0.3), Until(0.3)
        ours, theirs = (connect(speaker=ear) for ear in ears)
        async with asyncio.timeout(15):
            calling = asyncio.create_task(alice.call(BOB, ours))
            incoming = await bob.next_incoming()
            await incoming.prepare(theirs)
            async for event in incoming._call.events():
                if event.name == "preconnected":
                    break
            assert theirs.state == "connected" and not calling.done()
            assert theirs.microphone.started_at is None and ours.microphone.started_at is None
            await incoming.accept()
            call = await calling
            await asyncio.gather(*(ear.reached.wait() for ear in ears))
        await call.hang_up()
        for end in (ours, theirs):
            setup = end.report().with_signaling(call.timings, "hung_up", end="caller").setup
            assert setup["preconnected"] < setup["accepted"]


async def test_a_call_outlives_the_server(town, connect) -> None:
    async with town.online(ALICE) as alice, town.online(BOB) as bob:
        ear = Until(0.1)
        theirs = connect(speaker=ear)
        call, _ = await join(alice, bob, connect(), theirs)
        await asyncio.wait_for(ear.reached.wait(), 5)
        await town.stop()
        before = theirs.get_stats()["inbound-rtp-audio"]["packetsReceived"]
        ear.again(0.5)
        await asyncio.wait_for(ear.reached.wait(), 5)
        assert theirs.get_stats()["inbound-rtp-audio"]["packetsReceived"] > before + 10
        await town.start()
        await alice.wait_online(20)
        await bob.wait_online(20)
        assert call.end_reason is None
        await call.hang_up()


async def test_hanging_up_needs_no_server(town, connect) -> None:
    async with town.online(ALICE) as alice, town.online(BOB) as bob:
        call, other = await join(alice, bob, connect(), connect())
        await town.stop()
        leaving = asyncio.create_task(call.hang_up())
        async with asyncio.timeout(10):  # consent would expire after 30 s
            assert await other.ended() == "hung_up" and other.ended_by_peer
        await leaving


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts files and memory in /proc")
@pytest.mark.long
async def test_fifty_calls_leave_nothing(town, connect) -> None:
    async with town.online(ALICE) as alice, town.online(BOB) as bob:
        after: dict[int, tuple[int, int, int, int]] = {}
        for number in range(1, 51):
            ear = Until(0.1)
            call, other = await join(alice, bob, connect(speaker=ear), connect())
            await asyncio.wait_for(ear.reached.wait(), 5)
            await call.hang_up()
            assert await other.ended() == "hung_up"
            if number in (10, 50):
                del call, other, ear
                gc.collect()
                after[number] = (
                    len(asyncio.all_tasks()),
                    open_files(),
                    threading.active_count(),
                    resident_bytes(),
                )
        # One left by each call would be 40; a timer or a message on its way at that moment is not what is asked for.
        more = [at_last - before for before, at_last in zip(after[10][:3], after[50][:3], strict=True)]
        assert max(more) < 5, f"tasks, files, threads: {more} more after 40 calls"
        grown = (after[50][3] - after[10][3]) / 1e6
        assert grown < 5, f"resident memory grew by {grown:.1f} MB"
