"""Microphone and loudspeaker on a sound system that does what the test says, on miniaudio's null device, in the room."""

import asyncio
import itertools
import threading
from collections.abc import Callable

import numpy as np
import pytest

from media.audio_processing.settings import AudioProcessingSettings, Direction
from media.errors import SourceError
from media.io.device_keeper import DeviceKeeper
from media.io.devices import Microphone, Speaker, list_devices
from media.io.loopback import LoopbackSystem
from media.io.sound_system import DeviceInfo, MiniaudioSystem
from media.io.sources import AudioSource, PullSink
from media.io.ticker import Ticker

RAW = AudioProcessingSettings(False, False, False)


class Bench:
    """A sound system whose devices are there when `there` says so, and speak when the test wants it."""

    latency = 0.04

    def __init__(self) -> None:
        self.there = {"one", "two"}
        self.broken = False
        self.opened: list[tuple[Direction, str | None]] = []
        self.callbacks: dict[Direction, Callable] = {}
        self.lost: dict[Direction, Callable[[], None]] = {}
        self.open_now = {Direction.CAPTURE: threading.Event(), Direction.PLAYBACK: threading.Event()}
        self.reopened = threading.Event()
        self.streams: list[BenchStream] = []

    def devices(self) -> list[DeviceInfo]:
        return [DeviceInfo(d, name) for d in Direction for name in sorted(self.there)]

    def open_capture(self, name, take, lost):
        return self._open(Direction.CAPTURE, name, take, lost)

    def open_playback(self, name, pull, lost):
        return self._open(Direction.PLAYBACK, name, pull, lost)

    def _open(self, direction, name, callback, lost):
        if self.broken:
            raise RuntimeError("a driver's surprise")
        if not self.there or name not in {None, *self.there}:
            raise SourceError(f"no {name}")
        self.opened.append((direction, name))
        self.callbacks[direction], self.lost[direction] = callback, lost
        stream = BenchStream(lambda: self.open_now[direction].clear())
        self.streams.append(stream)
        self.open_now[direction].set()
        if len(self.streams) > 1:
            self.reopened.set()
        return stream

    async def wait(self, direction: Direction) -> Callable:
        assert await asyncio.to_thread(self.open_now[direction].wait, 10)
        return self.callbacks[direction]


class BenchStream:
    def __init__(self, on_close: Callable[[], None]) -> None:
        self.is_alive, self.closed, self._on_close = True, False, on_close

    def alive(self) -> bool:
        return self.is_alive

    def close(self) -> None:
        self.closed = True
        self._on_close()


def pieces(first: int, count: int) -> list[np.ndarray]:
    return [np.full(480, n + 1, np.int16) for n in range(first, first + count)]


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("ringline")}


async def test_what_the_device_gives_is_read_and_played() -> None:
    bench = Bench()
    speaker = Speaker("one", system=bench)
    microphone = Microphone("two", speaker=speaker, processing=RAW)
    assert isinstance(speaker, PullSink) and isinstance(microphone, AudioSource)
    numbers = itertools.count(1)
    speaker.start(lambda count: np.full(count, next(numbers) * 1000, np.int16))
    pull = await bench.wait(Direction.PLAYBACK)
    assert [int(pull(480)[0]) for _ in range(3)] == [1000, 2000, 3000]
    assert speaker.level.peak_dbfs > -25 and len(speaker.played) == 3
    reading = asyncio.ensure_future(microphone.read())
    take = await bench.wait(Direction.CAPTURE)
    device = Ticker(lambda now: take(np.full(480, 10_000, np.int16)))
    await reading
    while not 9000 < (await microphone.read()).mean() < 11_000:
        pass
    device.stop()
    assert not speaker.played  # the microphone's chain has taken it
    assert microphone.is_open and microphone.level.peak_dbfs > -15
    assert sorted(bench.opened) == [(Direction.CAPTURE, "two"), (Direction.PLAYBACK, "one")]
    speaker.close()
    microphone.close()
    speaker.close()
    assert all(stream.closed for stream in bench.streams) and not threads()


async def test_no_device_is_silence_and_the_call_goes_on() -> None:
    bench = Bench()
    bench.there.clear()
    speaker, microphone = Speaker(system=bench), Microphone(system=bench, processing=RAW)
    pulled = asyncio.Event()
    speaker.start(lambda count: (pulled.set(), np.zeros(count, np.int16))[1])
    for _ in range(3):
        assert not (await microphone.read()).any()
    await asyncio.wait_for(pulled.wait(), 5)  # the engine does not notice that nobody listens
    assert microphone.silence >= 3 and speaker.unheard > 0
    assert [(e.kind, e.direction) for e in microphone.events + speaker.events] == [
        ("failed", Direction.CAPTURE),
        ("failed", Direction.PLAYBACK),
    ]
    speaker.close()
    microphone.close()
    assert not threads()


async def test_a_device_pulled_out_is_replaced_and_a_hole_keeps_its_length() -> None:
    bench = Bench()
    microphone = Microphone("two", system=bench, processing=RAW, retry_after=0.0)
    first = asyncio.ensure_future(microphone.read())
    take = await bench.wait(Direction.CAPTURE)
    for piece in pieces(1000, 4):
        take(piece)
    await first
    bench.there = {"one"}
    bench.streams[-1].is_alive = False
    bench.open_now[Direction.CAPTURE].clear()
    bench.lost[Direction.CAPTURE]()
    for _ in range(8):
        await microphone.read()  # never waits for the device
    await bench.wait(Direction.CAPTURE)
    assert bench.opened == [(Direction.CAPTURE, "two"), (Direction.CAPTURE, None)]
    assert [e.kind for e in microphone.events] == ["opened", "lost", "opened"]
    assert "no two" in microphone.events[-1].text
    before = microphone._until
    bench.callbacks[Direction.CAPTURE](pieces(1, 1)[0])
    frame = await microphone.read()
    assert len(frame) == 960 and microphone._until > before
    microphone.close()


async def test_another_device_in_the_call() -> None:
    bench = Bench()
    speaker = Speaker("one", system=bench)
    speaker.start(lambda count: np.zeros(count, np.int16))
    await bench.wait(Direction.PLAYBACK)
    first = bench.streams[0]
    with pytest.raises(SourceError, match="there are: 'one', 'two'"):
        speaker.select("three")
    speaker.select("two")
    assert await asyncio.to_thread(bench.reopened.wait, 10) and first.closed
    assert bench.opened[1] == (Direction.PLAYBACK, "two")
    speaker.close()


async def test_a_pull_that_fails_is_silence() -> None:
    bench = Bench()
    speaker = Speaker(system=bench)

    def fail(count: int) -> np.ndarray:
        raise RuntimeError("the engine has a bug")

    speaker.start(fail)
    pull = await bench.wait(Direction.PLAYBACK)
    assert not pull(480).any()
    speaker.close()


def test_wrong_names_and_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    with pytest.raises(SourceError, match="no microphone 'three'; there are: 'one', 'two'"):
        Microphone("three", system=bench, processing=RAW)
    with pytest.raises(SourceError, match="no speaker 'three'"):
        Speaker("three", system=bench)
    assert not Microphone(system=bench, processing=RAW).processing.echo_cancellation
    monkeypatch.setitem(__import__("sys").modules, "miniaudio", None)
    with pytest.raises(SourceError, match="not installed: "):
        list_devices()


def test_a_driver_that_does_not_open_and_one_that_does_not_close() -> None:
    bench = Bench()
    bench.broken = True
    keeper = DeviceKeeper(Direction.CAPTURE, None, lambda name, lost: bench.open_capture(name, None, lost))
    assert keeper._open() is None and "surprise" in keeper.events[0].text
    keeper._open()
    assert len(keeper.events) == 1  # the same failure is told once
    bench.broken = False
    stream = keeper._open()
    assert stream is not None
    stream.close = lambda: 1 / 0
    keeper._open_stream = lambda name, lost: stream
    keeper.start()
    keeper.close()  # says so in the log, and returns
    assert not threads()


def test_miniaudio_knows_its_backends() -> None:
    pytest.importorskip("miniaudio")
    with pytest.raises(SourceError, match="null"):
        MiniaudioSystem("fax")
    system = MiniaudioSystem("null")
    assert {info.direction for info in list_devices(system)} == set(Direction)
    with pytest.raises(SourceError, match="no speaker 'fax'"):
        Speaker("fax", system=system)


@pytest.mark.parametrize("make", [lambda: MiniaudioSystem("null"), LoopbackSystem], ids=["null", "room"])
async def test_real_threads(make: Callable) -> None:
    if make is not LoopbackSystem:
        pytest.importorskip("miniaudio")
    system = make()
    speaker = Speaker(system=system)
    microphone = Microphone(speaker=speaker, processing=RAW)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def pull(count: int) -> np.ndarray:
        loop.call_soon_threadsafe(asked.set)
        return np.full(count, 3000, np.int16)

    speaker.start(pull)
    await asyncio.wait_for(asked.wait(), 10)
    for _ in range(8):
        assert len(await microphone.read()) == 960
    for _ in range(200):
        if microphone.is_open and microphone._chain.clock.running:
            break
        await microphone.read()
    assert microphone._chain.clock.running and speaker._position > 0
    speaker.close()
    microphone.close()
    assert not threads()


def test_the_room_has_one_of_each() -> None:
    system = LoopbackSystem()
    stream = system.open_capture(None, lambda samples: None, lambda: None)
    with pytest.raises(SourceError, match="in use"):
        system.open_capture(None, lambda samples: None, lambda: None)
    with pytest.raises(SourceError, match="no speaker"):
        system.open_playback("other", lambda count: np.zeros(count, np.int16), lambda: None)
    stream.close()
    assert not threads()
