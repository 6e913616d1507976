"""The camera with containers that stand for one: FFmpeg's own test device, and faults made by hand."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import av
import pytest

from media.errors import SourceError
from media.io import camera as camera_module
from media.io.camera import Camera
from media.io.video_sources import VideoSource


class FakeContainer:
    """Gives what its script says; waits where it says so."""

    def __init__(self, script: Callable[[], Iterator[av.VideoFrame]]) -> None:
        self._frames = script()
        self.closed = False

    def decode(self, *, video: int) -> Iterator[av.VideoFrame]:
        while True:
            try:
                yield next(self._frames)
            except StopIteration:
                return

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Iterator[av.VideoFrame]]], FakeContainer]:
    def make(script: Callable[[], Iterator[av.VideoFrame]]) -> FakeContainer:
        container = FakeContainer(script)
        monkeypatch.setattr(camera_module, "_open", lambda *_: container)
        return container

    return make


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def gray(level: int, size: tuple[int, int] = (64, 48)) -> av.VideoFrame:
    frame = av.VideoFrame(*size, "gray")
    frame.planes[0].update(bytes([level]) * frame.planes[0].buffer_size)
    return frame


async def test_ffmpegs_test_device() -> None:
    camera = Camera("testsrc2=size=352x288:rate=30", "lavfi", 320, 240)
    assert isinstance(camera, VideoSource)
    for _ in range(3):
        frame = await asyncio.wait_for(camera.read(), 10)
        assert (frame.width, frame.height) == (320, 240) and frame.luma.std() > 20
    camera.close()
    camera.close()
    assert camera.error is None


async def test_the_latest_picture_wins(fake: Callable[..., FakeContainer]) -> None:
    given, go = threading.Event(), threading.Event()

    def script() -> Iterator[av.VideoFrame]:
        for level in (20, 60, 100):
            yield gray(level)
        given.set()
        go.wait(10)
        yield gray(200)
        go.clear()
        go.wait(10)

    container = fake(script)
    camera = Camera("x", "x", 64, 48)
    assert await asyncio.to_thread(given.wait, 10)
    first = await camera.read()
    assert camera.replaced == 2
    reading = asyncio.ensure_future(camera.read())
    await asyncio.sleep(0)
    assert not reading.done()
    go.set()
    second = await asyncio.wait_for(reading, 10)
    assert second.luma.mean() > first.luma.mean() > 80
    assert first.captured < second.captured
    camera._closed = True
    go.set()
    camera.close()
    assert container.closed


async def test_a_camera_that_is_pulled_out(fake: Callable[..., FakeContainer], stalls: Any) -> None:
    def script() -> Iterator[av.VideoFrame]:
        yield gray(100)

    container = fake(script)
    camera = Camera("x", "x", 64, 48)
    camera._thread.join(10)
    assert (await camera.read()).width == 64
    assert await stalls(camera)
    assert camera.error == "the camera has gone" and container.closed
    camera.close()


async def test_a_driver_that_raises_anything(fake: Callable[..., FakeContainer]) -> None:
    def script() -> Iterator[av.VideoFrame]:
        yield gray(100)
        raise RuntimeError("driver bug")

    fake(script)
    camera = Camera("x", "x", 64, 48)
    await asyncio.to_thread(camera._thread.join, 10)
    assert camera.error == "driver bug"
    camera.close()


class Flaky:
    """Every other picture is damaged."""

    def __init__(self, damaged: int) -> None:
        self._damaged = damaged
        self.asked = 0

    def decode(self, *, video: int) -> Iterator[av.VideoFrame]:
        while True:
            self.asked += 1
            if self._damaged:
                self._damaged -= 1
                raise av.error.InvalidDataError(1, "damaged")
            yield gray(100)

    def close(self) -> None:
        pass


async def test_damaged_pictures_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "_open", lambda *_: Flaky(7))
    camera = Camera("x", "x", 64, 48)
    assert (await asyncio.wait_for(camera.read(), 10)).height == 48
    camera.close()
    assert camera.error is None


async def test_nothing_but_damaged_pictures_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    flaky = Flaky(10**9)
    monkeypatch.setattr(camera_module, "_open", lambda *_: flaky)
    camera = Camera("x", "x", 64, 48)
    await asyncio.to_thread(camera._thread.join, 10)
    assert camera.error is not None and flaky.asked < 100
    camera.close()


async def test_a_driver_that_hangs_does_not_hold_close(
    fake: Callable[..., FakeContainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "_CLOSE_TIMEOUT", 0.05)
    go = threading.Event()

    def script() -> Iterator[av.VideoFrame]:
        go.wait(10)
        yield gray(1)

    fake(script)
    camera = Camera("x", "x", 64, 48)
    camera.close()
    go.set()
    camera._thread.join(10)


def test_no_camera_is_a_clear_error() -> None:
    with pytest.raises(SourceError, match="cannot be opened"):
        Camera("/nowhere/video99", "v4l2")
    with pytest.raises(SourceError, match="cannot be opened"):
        Camera("x", "no-such-format")
    with pytest.raises(ValueError, match="even sides"):
        Camera(width=641)


@pytest.mark.parametrize(
    ("platform", "chosen"),
    [
        ("linux", ("/dev/video0", "v4l2")),
        ("darwin", ("default:none", "avfoundation")),
        ("win32", None),
        ("wasi", None),
    ],
)
def test_the_first_camera_of_each_platform(
    platform: str, chosen: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module.sys, "platform", platform)
    if chosen is None:
        with pytest.raises(SourceError, match="name"):
            camera_module._choose(None, None)
    else:
        assert camera_module._choose(None, None) == chosen
    assert camera_module._choose("a", "b") == ("a", "b")
