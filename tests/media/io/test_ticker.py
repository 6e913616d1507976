"""Every 10 ms, after an absolute schedule; on a loop whose time stands in our hand."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from media.io.ticker import GIVE_UP_AFTER, Ticker


class Handle:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when, self.call, self.cancelled = when, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as a ticker needs."""

    def __init__(self) -> None:
        self.now = 50.0
        self.handles: list[Handle] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Handle:
        self.handles.append(Handle(when, call))
        return self.handles[-1]

    def run(self, until: float, *, late: float = 0.0) -> None:
        while True:
            due = [h for h in self.handles if not h.cancelled]
            if not due or due[0].when + late > until:
                self.now = max(self.now, until)
                return
            self.handles.remove(due[0])
            self.now = max(self.now, due[0].when + late)
            due[0].call()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    fake = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: fake)
    return fake


def test_it_ticks_every_10_ms_without_drift(loop: Loop) -> None:
    ticks: list[float] = []
    ticker = Ticker(ticks.append)
    loop.run(60.0, late=0.003)
    assert len(ticks) == 1000
    assert ticker.late == pytest.approx(0.003)
    for n, at in enumerate(ticks):
        assert at == pytest.approx(50.003 + n * 0.01, abs=1e-6)


def test_what_was_missed_is_made_up_for(loop: Loop) -> None:
    ticks: list[float] = []
    Ticker(ticks.append)
    loop.run(50.1)
    before = len(ticks)
    loop.now = 50.4
    loop.run(50.4)
    assert len(ticks) - before == 30
    loop.run(51.0)
    assert len(ticks) == pytest.approx(101, abs=1)


def test_after_a_long_sleep_it_begins_anew(loop: Loop) -> None:
    ticks: list[float] = []
    Ticker(ticks.append)
    loop.run(50.1)
    before = len(ticks)
    loop.now = 50.1 + GIVE_UP_AFTER + 3600
    loop.run(loop.now)
    assert len(ticks) - before <= 2


def test_stop(loop: Loop) -> None:
    ticks: list[float] = []
    ticker = Ticker(ticks.append)
    loop.run(50.05)
    ticker.stop()
    ticker.stop()
    before = len(ticks)
    loop.run(60.0)
    assert len(ticks) == before


def test_stop_from_within(loop: Loop) -> None:
    calls: list[Any] = []

    def tick(now: float) -> None:
        calls.append(now)
        ticker.stop()

    ticker = Ticker(tick)
    loop.now = 50.3
    loop.run(60.0)
    assert len(calls) == 1


async def test_on_a_real_loop() -> None:
    done = asyncio.Event()
    count = 0

    def tick(now: float) -> None:
        nonlocal count
        count += 1
        if count == 5:
            done.set()

    ticker = Ticker(tick)
    try:
        await asyncio.wait_for(done.wait(), 2)
    finally:
        ticker.stop()
