"""What is asked for again, by the clock; in virtual time."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.streams.audio_repair import FRAME, MAX_AHEAD, MAX_REPAIR_DELAY, MAX_REQUESTS, AudioRepair


class Path:
    """Packets every 20 ms with a delay of 0, less the lost ones; requests are drained when the timer says so."""

    def __init__(self, *, rtt: float | None = 0.060, redundant: bool = False) -> None:
        self.repair = AudioRepair()
        self.repair.round_trip_time = rtt
        self.repair.redundant = redundant
        self.asked: list[tuple[float, int]] = []

    def run(self, numbers: Iterable[int], *, lost: Iterable[int] = ()) -> None:
        gone = set(lost)
        arrivals = [(n * FRAME, n) for n in numbers if n not in gone]
        while arrivals:
            at, number = arrivals[0]
            self.wait(at)
            arrivals.pop(0)
            self.repair.receive(number & 0xFFFF, at)
            self._drain(at)

    def wait(self, until: float) -> None:
        """Serve the timer up to `until`."""
        turns = 0
        while (due := self.repair.get_timer()) is not None and due < until:
            self._drain(due)
            turns += 1
            assert turns < 500, "the timer does not advance"

    def _drain(self, now: float) -> None:
        self.asked += [(now, number) for number in self.repair.requests_to_send(now)]

    def numbers(self) -> list[int]:
        return [number for _, number in self.asked]


def test_nothing_is_asked_for_on_a_clean_path() -> None:
    path = Path()
    path.run(range(500))
    assert path.asked == []


def test_a_single_loss_is_asked_for_before_the_next_packet_comes() -> None:
    path = Path()
    path.run(range(20), lost=[10])
    at, number = path.asked[0]
    assert number == 10 and 10 * FRAME < at < 11 * FRAME


def test_a_burst_is_noticed_while_it_lasts() -> None:
    path = Path()
    path.run(range(10))
    path.wait(12.9 * FRAME)
    assert set(path.numbers()) == {10, 11, 12}, "nothing has come since number 9"


@pytest.mark.parametrize("growth", [0.002, 0.006, 0.011, 0.019])
def test_what_waits_in_a_queue_is_not_asked_for(growth: float) -> None:
    """A queue that grows by so much a packet for a second, then drains: a request each would make it grow faster."""
    path, delay = Path(), 0.0
    for n in range(150):
        delay = min(0.5, delay + growth) if 50 <= n < 100 else max(0.0, delay - 0.01)
        path.wait(n * FRAME + delay)
        path.repair.receive(n, n * FRAME + delay)
        path._drain(n * FRAME + delay)
    assert len(path.asked) <= 3


def test_what_is_lost_in_a_queue_is_asked_for() -> None:
    path = Path(rtt=0.040)
    for n in range(150):
        delay = 0.006 * min(20, max(0, n - 50))
        path.wait(n * FRAME + delay)
        if n not in (80, 81):
            path.repair.receive(n, n * FRAME + delay)
            path._drain(n * FRAME + delay)
    assert {80, 81} <= set(path.numbers()) and len(path.asked) <= 6


def test_with_copies_only_runs_are_asked_for() -> None:
    path = Path(redundant=True)
    path.repair.playout_delay = 0.085
    path.run(range(30), lost=[10])
    assert path.asked == []
    path.run(range(30, 60), lost=[40, 41, 42])
    assert set(path.numbers()) == {40, 41, 42}


def test_with_copies_the_delay_is_what_they_need() -> None:
    path = Path(redundant=True)
    path.repair.playout_delay = 0.025
    path.run(range(30), lost=[10, 11, 12])
    assert path.asked == [], "an answer after 72 ms could not be played"


def test_where_packets_overtake_each_other_a_gap_tells_nothing() -> None:
    path = Path()
    path.repair.jitter = 0.020
    path.run(range(10))
    path.repair.receive(11, 11 * FRAME - 0.015)
    path.wait(11 * FRAME + 0.030)
    path.repair.receive(10, 11 * FRAME + 0.030)
    assert path.numbers() == []


def test_what_is_sent_again_is_not_asked_for_again() -> None:
    path = Path()
    path.run(range(11))
    path.wait(11 * FRAME + 0.015)
    assert path.numbers() == [11]
    path.repair.receive(11, 11 * FRAME + 0.070)
    path.run(range(12, 40))
    assert path.numbers() == [11]


@pytest.mark.parametrize("rtt", [0.02, 0.06, 0.1])
def test_the_deadline_counts_the_round_trip(rtt: float) -> None:
    path = Path(rtt=rtt)
    path.run(range(60), lost=range(20, 28))
    assert path.asked
    for at, number in path.asked:
        assert at + rtt <= number * FRAME + MAX_REPAIR_DELAY + 1e-9, "an answer would come too late"
    assert max(path.numbers().count(n) for n in set(path.numbers())) <= MAX_REQUESTS


@pytest.mark.parametrize("rtt", [None, 0.12, 0.5])
def test_nothing_is_asked_for_where_an_answer_comes_too_late(rtt: float | None) -> None:
    path = Path(rtt=rtt)
    path.run(range(60), lost=range(20, 28))
    assert path.asked == [] and path.repair.get_timer() is None


def test_a_sender_that_stops_is_not_asked_for_ever() -> None:
    path = Path()
    path.run(range(50))
    path.wait(60.0)
    assert len(path.asked) <= MAX_AHEAD * MAX_REQUESTS
    assert path.repair.get_timer() is None, "and there is nothing to wait for"
    path.run(range(3000, 3050))
    asked = len(path.asked)
    path.run(range(3050, 3080), lost=[3060])
    assert path.numbers()[asked:].count(3060) >= 1, "it goes on after the pause"


@given(st.lists(st.tuples(st.integers(0, 65535), st.floats(0, 0.5)), max_size=60), st.booleans())
def test_any_numbers_are_bounded(packets: list[tuple[int, float]], redundant: bool) -> None:
    path, now = Path(redundant=redundant), 0.0
    for number, gap in packets:
        now += gap
        path.wait(now)
        path.repair.receive(number, now)
        path._drain(now)
        assert len(path.repair._missing) <= 20 * MAX_AHEAD
    path.wait(now + 5.0)
    assert not path.repair._missing
