"""What the tests with sockets share."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from media.io import video_sources
from media.io.sources import Pace
from media.io.video_sources import VideoPace, VideoSource

RunVirtually = Callable[[Coroutine[Any, Any, Any]], Any]


class _Selector(selectors.DefaultSelector):
    """Waits by setting the clock forward, once nothing is left in the sockets."""

    now = 100.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for something that will not come"
            self.now += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


@pytest.fixture
def run_virtually() -> RunVirtually:
    """Runs a coroutine with real sockets of this machine in virtual time; errors in tasks and timers fail the test."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        errors: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
            result = runner.run(main)
        assert not errors
        return result

    return run


class FakeTime:
    """A clock that moves when somebody sleeps, and by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """The clock of sources that keep their own pace."""
    fake = FakeTime()
    monkeypatch.setattr(asyncio, "sleep", fake.sleep)
    monkeypatch.setattr(video_sources, "time", SimpleNamespace(monotonic=fake))
    for pace in (VideoPace, Pace):
        monkeypatch.setattr(pace.__init__, "__defaults__", (fake,))
    return fake


@pytest.fixture
def stalls() -> Callable[[VideoSource], Awaitable[bool]]:
    """await stalls(source): whether a reading does not end, and can be cancelled."""

    async def run(source: VideoSource) -> bool:
        task = asyncio.ensure_future(source.read())
        done, _ = await asyncio.wait([task], timeout=0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return not done

    return run


@pytest.fixture
def socket_count() -> Callable[[], int]:
    """How many sockets this process has open; the test is skipped where the system cannot tell."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc to count sockets in")

    def count() -> int:
        found = 0
        for entry in folder.iterdir():
            try:
                found += str(entry.readlink()).startswith("socket:")
            except OSError:
                continue
        return found

    return count
