"""When a process has too much to do, and when it tries more again."""

import threading
import time

from media.io.overload import PAUSE, PAUSE_MAX, Overload, ThreadLoad


def tell(overload: Overload, lateness: float, seconds: int, now: float, *, busy: float = 0.3) -> float:
    for _ in range(seconds):
        now += 1.0
        overload.tell(lateness, busy, now)
    return now


def test_three_late_turns_in_a_row_are_too_much() -> None:
    overload = Overload()
    assert [overload.tell(late, 0.3, now) for now, late in enumerate((0.5, 0.001, 0.3, 0.4))] == [False] * 4
    assert overload.tell(0.03, 0.3, 4.0)


def test_a_busy_machine_that_is_in_time_is_not() -> None:
    overload = Overload()
    tell(overload, 0.012, 60, 0.0)
    assert not overload.now


def test_a_loop_that_is_hardly_ever_idle_is_too_much_before_it_is_late() -> None:
    overload = Overload()
    now = tell(overload, 0.002, 20, 0.0, busy=0.7)
    assert not overload.now
    now = tell(overload, 0.002, 3, now, busy=0.8)
    assert overload.now
    tell(overload, 0.002, round(PAUSE) + 2, now, busy=0.6)
    assert not overload.now


def test_calls_that_make_room_leave_the_others_as_they_are() -> None:
    """Each hurried one of 30 takes 0.01 less; all ask once a second, one after the other."""
    calls = [Overload() for _ in range(30)]
    for second in range(60):
        for index, call in enumerate(calls):
            busy = 0.82 - 0.01 * sum(each.now for each in calls)
            call.tell(0.001, busy, second + index / len(calls))
    assert 5 <= sum(each.now for each in calls) <= 15


def test_the_load_is_of_the_thread_that_asks() -> None:
    def work() -> None:
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass

    load = ThreadLoad()
    assert load.since_last(time.monotonic()) == 0.0
    other = threading.Thread(target=work)
    other.start()
    other.join()
    of_the_other = load.since_last(time.monotonic())
    work()
    own = load.since_last(time.monotonic())
    assert 0.0 <= of_the_other < own / 2 and own < 1.05


def test_more_is_tried_after_a_pause() -> None:
    overload = Overload()
    now = tell(overload, 0.1, 5, 0.0)
    now = tell(overload, 0.002, round(PAUSE), now)
    assert overload.now
    tell(overload, 0.002, 2, now)
    assert not overload.now


def test_what_was_too_much_again_is_tried_less_often() -> None:
    overload, now, waited = Overload(), 0.0, []
    for _ in range(8):
        now = tell(overload, 0.1, 3, now)
        assert overload.now
        begun = now
        while overload.now:
            now = tell(overload, 0.001, 1, now)
        waited.append(now - begun)
    assert waited == sorted(waited) and waited[0] < 2 * PAUSE and PAUSE_MAX <= waited[-1] < PAUSE_MAX + 2
