"""Freezes, with faults that are known."""

import random

import pytest

from media.quality.freezes import FreezeCounter, find_freezes


def steady(seconds: float, fps: float = 30.0, start: float = 0.0) -> list[float]:
    return [start + n / fps for n in range(round(seconds * fps))]


def test_a_steady_picture_does_not_freeze() -> None:
    assert find_freezes(steady(10)) == []
    assert find_freezes(steady(10, fps=4)) == []


def test_known_gaps_are_found_with_start_and_duration() -> None:
    times = [t for t in steady(20) if not (5.0 < t < 5.5 or 12.0 < t < 13.2)]
    found = find_freezes(times)
    assert [(f.start, f.duration) for f in found] == [
        (pytest.approx(5.0), pytest.approx(0.5)),
        (pytest.approx(12.0), pytest.approx(1.2)),
    ]


@pytest.mark.parametrize(("lost", "freezes"), [(3, 0), (4, 0), (5, 1)])
def test_the_threshold_at_30_a_second(lost: int, freezes: int) -> None:
    """mean + 150 ms: with the interval itself among 30 of 33 ms, five lost pictures (200 ms) are a freeze."""
    times = steady(10)
    del times[100 : 100 + lost]
    assert len(find_freezes(times)) == freezes


def test_slow_pictures_need_three_times_their_interval() -> None:
    times = steady(40, fps=2)
    one_lost = times[:40] + times[41:]
    assert find_freezes(one_lost) == []
    three_lost = times[:40] + times[43:]
    assert [f.duration for f in find_freezes(three_lost)] == [pytest.approx(2.0)]


def test_the_first_intervals_are_not_judged() -> None:
    assert find_freezes([0.0, 1.0, 1.03, 1.06, 1.09, 1.12, 1.15]) == []


def test_a_freeze_at_the_end_of_the_call_counts_when_the_end_is_known() -> None:
    assert find_freezes(steady(5), end=5.1) == []
    (freeze,) = find_freezes(steady(5), end=9.0)
    assert freeze.duration == pytest.approx(9.0 - steady(5)[-1])


def test_jitter_is_no_freeze() -> None:
    rng = random.Random(3)
    times = sorted(t + rng.uniform(0, 0.1) for t in steady(60))
    assert find_freezes(times) == []


def test_counter_has_the_totals_of_webrtc_stats() -> None:
    counter = FreezeCounter()
    times = [t for t in steady(10) if not 5.0 < t < 5.5]
    for t in times:
        counter.shown(t)
    assert counter.frames == len(times)
    assert (counter.count, counter.total) == (1, pytest.approx(0.5))
    assert counter.total_interval == pytest.approx(times[-1] - times[0])
    assert counter.total_squared_interval == pytest.approx((len(times) - 2) / 900 + 0.25)


def test_a_camera_that_was_off_is_no_freeze() -> None:
    counter = FreezeCounter()
    for t in steady(5):
        counter.shown(t)
    counter.paused()
    for t in steady(5, start=30.0):
        counter.shown(t)
    assert counter.count == 0


def test_a_clock_that_goes_back_is_survived() -> None:
    assert find_freezes([1.0, 0.5, *steady(3)]) == []
