"""From the engine to a sink, by our clock or by its own."""

import asyncio
import logging
import threading
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from media.io.playout import Playout

Samples = NDArray[np.int16]


class Numbers:
    """Samples 0, 1, 2, ... so that a gap or a repetition shows."""

    def __init__(self) -> None:
        self.next = 0

    def pull(self) -> Samples:
        self.next += 480
        return (np.arange(self.next - 480, self.next) % 32768).astype(np.int16)


class Card:
    """A sink with a clock of its own."""

    def __init__(self) -> None:
        self.pull: Callable[[int], Samples] | None = None
        self.closed = False

    def start(self, pull: Callable[[int], Samples]) -> None:
        self.pull = pull

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("count", [480, 1, 64, 100, 441, 512, 960, 1000, 4800])
def test_pieces_of_any_size(count: int) -> None:
    card = Card()
    playout = Playout(card, Numbers().pull)
    assert card.pull is not None
    pieces = [card.pull(count) for _ in range(12)]
    assert {len(p) for p in pieces} == {count}
    assert np.concatenate(pieces).tolist() == list(range(12 * count)) if 12 * count < 32768 else True
    playout.close()
    assert card.closed


def test_pieces_of_changing_sizes() -> None:
    card = Card()
    Playout(card, Numbers().pull)
    assert card.pull is not None
    joined = np.concatenate([card.pull(count) for count in (480, 100, 480, 0, 1000, 480)])
    assert joined.tolist() == list(range(2540))


def test_a_thread_may_pull() -> None:
    card = Card()
    Playout(card, Numbers().pull)
    got: list[Samples] = []

    def run() -> None:
        assert card.pull is not None
        got.extend(card.pull(441) for _ in range(20))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(5)
    assert np.concatenate(got).tolist() == list(range(20 * 441))


class Pushed:
    def __init__(self, fail: bool = False) -> None:
        self.written: list[Samples] = []
        self.enough = asyncio.Event()
        self.closed = False
        self.calls = 0
        self.fail = fail

    def write(self, samples: Samples) -> None:
        self.calls += 1
        if self.calls >= 5:
            self.enough.set()
        if self.fail:
            raise OSError("no space left on device")
        self.written.append(samples)

    def close(self) -> None:
        self.closed = True


async def test_a_pushed_sink_gets_10_ms_every_10_ms() -> None:
    sink = Pushed()
    playout = Playout(sink, Numbers().pull)
    await asyncio.wait_for(sink.enough.wait(), 2)
    playout.close()
    assert sink.closed
    assert {len(s) for s in sink.written} == {480}
    joined = np.concatenate(sink.written)
    assert joined.tolist() == list(range(len(joined)))


async def test_a_sink_that_fails_is_told_once_and_the_sound_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """What is not pulled would pile up in the jitter buffer, and its statistics would stop."""
    sink, numbers = Pushed(fail=True), Numbers()
    enough = asyncio.Event()

    def pull() -> Samples:
        if numbers.next >= 480 * 5:
            enough.set()
        return numbers.pull()

    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    with caplog.at_level(logging.ERROR):
        playout = Playout(sink, pull)
        await asyncio.wait_for(enough.wait(), 2)
        playout.close()
    assert unhandled == []
    assert sink.calls == 1
    assert [r.getMessage() for r in caplog.records] == [
        "the speaker failed, the call goes on without it: no space left on device"
    ]
