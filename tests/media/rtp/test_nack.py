"""When to ask for a packet again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.rtp.nack import MAX_MISSING, MAX_REQUESTS, MIN_INTERVAL, NackRequester


def requester(*numbers: int, deadline: float = 0.8) -> NackRequester:
    made = NackRequester(deadline=deadline)
    for number in numbers:
        made.receive(number, 0.0)
    return made


def test_a_gap_is_asked_for_at_once_and_then_by_the_round_trip() -> None:
    nack = requester(10, 13)
    nack.round_trip_time = 0.060
    assert nack.get_timer() == 0.0
    assert nack.requests_to_send(0.0) == [11, 12]
    assert nack.requests_to_send(0.059) == []
    assert nack.get_timer() == pytest.approx(0.060)
    assert nack.requests_to_send(0.060) == [11, 12]
    nack.receive(11, 0.07)
    assert nack.requests_to_send(0.121) == [12]
    nack.receive(12, 0.13)
    assert nack.get_timer() is None and nack.hopeless is None and nack.requests_sent == 5


def test_on_a_short_path_requests_keep_a_distance() -> None:
    nack = requester(1, 3)
    nack.round_trip_time = 0.001
    assert nack.requests_to_send(0.0) == [2] and nack.get_timer() == MIN_INTERVAL


def test_a_packet_is_given_up_at_its_deadline_and_not_before() -> None:
    nack = requester(1, 3, deadline=0.4)
    asked = 0
    now = 0.0
    while (due := nack.get_timer()) is not None and nack.hopeless is None:
        now = max(now, due)
        asked += len(nack.requests_to_send(now))
    assert now == pytest.approx(0.4) and nack.hopeless == 2 and asked == 4


def test_a_packet_is_asked_for_so_often_and_no_more() -> None:
    nack = requester(1, 3, deadline=100.0)
    asked = sum(len(nack.requests_to_send(n * 0.01)) for n in range(5000))
    assert asked == MAX_REQUESTS and nack.hopeless is None
    assert nack.get_timer() == 100.0, "its answer may still come"


def test_too_many_missing_packets_are_hopeless_and_forgotten() -> None:
    nack = requester(0, MAX_MISSING + 2)
    assert nack.hopeless == MAX_MISSING + 1 and nack.get_timer() is None
    holes = requester(*range(0, 4 * MAX_MISSING, 2))
    assert holes.hopeless is not None and len(holes.requests_to_send(0.0)) <= MAX_MISSING


def test_numbers_wrap() -> None:
    nack = requester(65534, 1)
    assert nack.requests_to_send(0.0) == [65535, 0]
    assert nack.receive(2, 0.0) == 65538
    nack.forget_before(65536)
    assert nack.requests_to_send(1e-9 + 0.1) == [0]


def test_reordered_packets_and_copies_leave_nothing_behind() -> None:
    nack = requester(5, 8, 7, 6, 6, 8, 5)
    assert nack.get_timer() is None
    nack.receive(4, 0.0)  # before the first: nobody missed it
    assert nack.requests_to_send(0.0) == []


@given(st.lists(st.tuples(st.integers(0, 65535), st.floats(0, 0.1)), max_size=60))
def test_any_numbers_are_bounded_and_the_timer_advances(steps: list[tuple[int, float]]) -> None:
    nack, now = NackRequester(deadline=0.4), 0.0
    for number, elapsed in steps:
        now += elapsed
        nack.receive(number, now)
        assert len(nack.requests_to_send(now)) <= MAX_MISSING
        due = nack.get_timer()
        assert due is None or due > now
