"""What the tests with sockets share."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

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
