import random

import pytest

from media.jitterbuffer.pull_clock import PAUSE, WINDOW, PullClock

PERIOD = 0.010


def due_times(pulls: list[float]) -> list[float]:
    clock = PullClock(PERIOD)
    return [clock.pull(now) for now in pulls]


def test_punctual_pulls_are_due_when_they_come() -> None:
    pulls = [5.0 + PERIOD * n for n in range(200)]
    assert due_times(pulls) == pytest.approx(pulls)


def test_a_pull_that_is_late_by_chance_was_due_on_the_grid() -> None:
    grid = [5.0 + PERIOD * n for n in range(300)]
    chance = random.Random(1)
    pulls = [at + (chance.random() * 0.008 if chance.random() < 0.2 else 0.0) for at in grid]
    pulls[0] = grid[0]
    assert due_times(pulls) == pytest.approx(grid)


def test_a_first_pull_that_was_late_is_forgotten_with_the_second() -> None:
    assert due_times([5.004, 5.010, 5.020]) == pytest.approx([5.004, 5.010, 5.020])


def test_pulls_made_up_for_after_a_stall_were_due_before() -> None:
    pulls = [5.000, 5.010, 5.055, 5.055, 5.055, 5.055, 5.060]
    assert due_times(pulls) == pytest.approx([5.0 + PERIOD * n for n in range(7)])


@pytest.mark.parametrize("ppm", [-300, 300])
def test_a_card_of_another_clock_is_followed(ppm: int) -> None:
    pulls = [5.0 + PERIOD * n * (1 + ppm * 1e-6) for n in range(60_000)]
    assert all(0 <= now - due < 0.0003 for now, due in zip(pulls, due_times(pulls), strict=True))


def test_a_grid_that_moved_for_good_is_found_within_a_second() -> None:
    pulls = [5.0 + PERIOD * n + (0.015 if n > 100 else 0.0) for n in range(400)]
    due = due_times(pulls)
    assert due[101] == pytest.approx(pulls[101] - 0.015)
    assert due[101 + 2 * WINDOW :] == pytest.approx(pulls[101 + 2 * WINDOW :])


@pytest.mark.parametrize("pause", [2 * PAUSE, 3.0, 3600.0])
def test_after_a_pause_the_grid_is_a_new_one(pause: float) -> None:
    pulls = [5.0, 5.01, 5.02 + pause, 5.03 + pause]
    assert due_times(pulls) == pytest.approx(pulls)


def test_it_never_says_later_than_now_nor_goes_back() -> None:
    chance = random.Random(2)
    now, pulls = 0.0, []
    for _ in range(5_000):
        now += chance.choice((0.0, 0.001, PERIOD, PERIOD, 0.02, 0.3)) * chance.random()
        pulls.append(now)
    due = due_times(pulls)
    assert all(d <= n for d, n in zip(due, pulls, strict=True))
    assert due == sorted(due)
