"""Camera to screen through two engines in real time, and everything the caller's devices may do."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest

from media.engine import MediaEngine
from media.io import video_pump, video_workers
from media.io.video_pump import VideoPump
from media.negotiation import VideoParameters
from media.simulation.picture import Pattern
from media.transport.srtp import PROFILES, SrtpKeys
from media.video_frame import VideoFrame

PATTERN = Pattern(160, 120)
VIDEO = VideoParameters("1", "VP8", 96, 96, 97, 97)
KEYS = SrtpKeys(PROFILES[0], bytes(range(28)), bytes(range(50, 78)))


class Camera:
    """`pause` seconds between pictures; `fails_at`: raises instead of that picture; `stalls_at`: waits for ever."""

    def __init__(self, pause: float = 0.02, fails_at: int = -1, stalls_at: int = -1) -> None:
        self.pause, self.fails_at, self.stalls_at = pause, fails_at, stalls_at
        self.taken = self.closed = 0

    async def read(self) -> VideoFrame:
        loop = asyncio.get_running_loop()
        if self.taken == self.stalls_at:
            await asyncio.Event().wait()
        if self.taken == self.fails_at:
            raise OSError("unplugged")
        if self.pause:
            due = loop.create_future()
            loop.call_later(self.pause, lambda: due.done() or due.set_result(None))
            await due
        self.taken += 1
        return VideoFrame(PATTERN.picture(self.taken), loop.time())

    def close(self) -> None:
        self.closed += 1


class Screen:
    """`seen` is set with the `wanted`th picture; `fails`: raises with every one."""

    def __init__(self, wanted: int = 5, fails: bool = False) -> None:
        self.wanted, self.fails = wanted, fails
        self.seen = asyncio.Event()
        self.pictures = self.closed = 0

    def write(self, frame: VideoFrame) -> None:
        self.pictures += 1
        if self.pictures >= self.wanted:
            self.seen.set()
        if self.fails:
            raise RuntimeError("no window")

    def close(self) -> None:
        self.closed += 1


class Call:
    """Two engines that hand their datagrams to each other, turned every 5 ms."""

    def __init__(self, screen: Screen) -> None:
        self.loop = asyncio.get_running_loop()
        self.engines = [MediaEngine(rng=Random(n), unix_time_offset=1.7e9) for n in (1, 2)]
        for engine, keys in zip(self.engines, (KEYS, KEYS.swapped()), strict=True):
            engine.configure_video(VIDEO)
            engine.set_keys(keys, self.loop.time())
        self.screen = screen
        self.pumps = [
            VideoPump(engine, threading.Lock(), screen if n else None, self.drain)
            for n, engine in enumerate(self.engines)
        ]
        for pump in self.pumps:
            pump.start()
        self.turns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tick()

    def _tick(self) -> None:
        self._timer = self.loop.call_later(0.005, self._tick)
        for engine in self.engines:
            engine.handle_timer(self.loop.time())
        self.drain()

    def drain(self) -> None:
        self.turns += 1
        now = self.loop.time()
        for n, (engine, pump) in enumerate(zip(self.engines, self.pumps, strict=True)):
            pump.turn(now)
            for data in engine.packets_to_send(now):
                self.engines[1 - n].receive_packet(data, now)

    async def close(self, camera: Camera | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.wait_for(self.pumps[0].close(camera), 10)
        await asyncio.wait_for(self.pumps[1].close(None), 10)
        for engine in self.engines:
            engine.close(self.loop.time())


@pytest.fixture
async def make_call() -> AsyncIterator[Callable[[Screen], Call]]:
    calls: list[Call] = []

    def make(screen: Screen) -> Call:
        calls.append(Call(screen))
        return calls[-1]

    yield make
    for call in calls:
        await call.close()
    assert not [t for t in threading.enumerate() if t.name.startswith(("ringline-encode", "ringline-decode"))]


Make = Callable[[Screen], Call]


async def test_pictures_go_from_the_camera_to_the_screen(make_call: Make) -> None:
    camera, screen = Camera(), Screen(10)
    call = make_call(screen)
    call.pumps[0].read(camera)
    await asyncio.wait_for(screen.seen.wait(), 10)
    await call.close(camera)
    assert camera.closed == 1 == screen.closed
    taken = camera.taken
    await asyncio.sleep(0)
    assert camera.taken == taken


async def test_a_camera_that_raises_ends_the_pictures_only(
    make_call: Make, caplog: pytest.LogCaptureFixture
) -> None:
    screen = Screen(4)
    call = make_call(screen)
    call.pumps[0].read(Camera(fails_at=6))
    await asyncio.wait_for(screen.seen.wait(), 10)
    another = Screen(screen.wanted)
    call.pumps[1].set_screen(another)
    assert screen.closed == 1
    with caplog.at_level(logging.ERROR):
        call.pumps[0].read(Camera(fails_at=0))
        reading = call.pumps[0]._reading
        assert reading is not None
        await asyncio.wait_for(reading, 5)
    assert "camera failed" in caplog.text and "unplugged" in caplog.text
    call.pumps[0].read(Camera())  # and another one goes on
    await asyncio.wait_for(another.seen.wait(), 10)


async def test_a_screen_that_raises_is_not_asked_again(make_call: Make) -> None:
    screen = Screen(1, fails=True)
    call = make_call(screen)
    call.pumps[0].read(Camera())
    await asyncio.wait_for(screen.seen.wait(), 10)
    receiver = call.engines[1].video_receiver
    assert receiver is not None
    shown = receiver.display.frames_rendered
    another = Screen(5)
    call.pumps[1].set_screen(another)
    await asyncio.wait_for(another.seen.wait(), 10)
    assert screen.pictures == 1 == screen.closed and receiver.display.frames_rendered >= shown + 5


async def test_a_camera_that_stalls_is_left_alone_and_close_returns(make_call: Make) -> None:
    camera, screen = Camera(stalls_at=5), Screen(5)
    call = make_call(screen)
    call.pumps[0].read(camera)
    await asyncio.wait_for(screen.seen.wait(), 10)
    await call.close(camera)
    assert camera.closed == 1


async def test_a_camera_that_never_waits_does_not_take_the_loop(make_call: Make) -> None:
    camera, screen = Camera(pause=0.0), Screen(5)
    call = make_call(screen)
    call.pumps[0].read(camera)
    began = call.loop.time()
    await asyncio.wait_for(screen.seen.wait(), 10)
    assert camera.taken <= (call.loop.time() - began) / video_pump.MIN_PERIOD + 2


async def test_a_slow_codec_skips_pictures_and_a_hung_one_does_not_hold_close(
    make_call: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()

    class Hung:
        def encode(self, picture: Any, **more: Any) -> None:
            begun.set()
            go.wait(10)

        def close(self) -> None: ...

    monkeypatch.setattr(video_workers, "make_encoder", lambda name: Hung())
    monkeypatch.setattr(video_pump, "CLOSE_TIMEOUT", 0.05)
    camera = Camera(pause=0.0)
    call = make_call(Screen())
    call.pumps[0].read(camera)
    await call.loop.run_in_executor(None, begun.wait, 5)
    sender = call.engines[0].video_sender
    assert sender is not None
    skipped = sender.frames_skipped
    later = asyncio.Event()
    call.loop.call_later(0.1, later.set)
    await later.wait()
    assert sender.frames_skipped > skipped + 3, "one picture is with the codec, none waits"
    before = call.loop.time()
    await call.close(camera)
    assert call.loop.time() - before < 2
    go.set()
