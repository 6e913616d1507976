"""When a process has too much to do, and when it tries more again."""

from media.io.overload import PAUSE, PAUSE_MAX, Overload


def tell(overload: Overload, lateness: float, seconds: int, now: float) -> float:
    for _ in range(seconds):
        now += 1.0
        overload.tell(lateness, now)
    return now


def test_three_late_turns_in_a_row_are_too_much() -> None:
    overload = Overload()
    assert [overload.tell(late, now) for now, late in enumerate((0.5, 0.001, 0.3, 0.4))] == [False] * 4
    assert overload.tell(0.03, 4.0)


def test_a_busy_machine_that_is_in_time_is_not() -> None:
    overload = Overload()
    tell(overload, 0.012, 60, 0.0)
    assert not overload.now


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
