"""Jumps of a clock by years, both ways, while it runs and while it does not: nothing has passed by that."""

import pytest

from signaling.store_clock import CONFIRMED_AFTER, MAX_PAUSE, StoreClock

DAY, YEAR = 86400.0, 365 * 86400.0


class Host:
    """`wait` passes time; `set` only turns the clock."""

    def __init__(self, wall=1.7e9):
        self.wall, self.up = wall, 0.0
        self.clock = self.start()

    def start(self, state=None):
        self.clock = StoreClock(lambda: self.wall, lambda: self.up, state)
        return self.clock

    def set(self, seconds):
        self.wall += seconds

    def wait(self, seconds):
        self.wall += seconds
        self.up += seconds

    def restart(self, pause=10.0, wrong=0.0):
        state = self.clock.state()
        self.wall += pause + wrong
        self.up = 5.0
        return self.start(state)


def test_time_passes():
    host = Host()
    host.wait(3 * DAY)
    assert host.clock.now() == host.clock.confirmed() == host.wall
    host.restart()
    assert host.clock.now() == host.clock.confirmed() == host.wall


@pytest.mark.parametrize("wrong", [YEAR, -YEAR, 50 * YEAR, -50 * YEAR, -50 * DAY])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_clock_that_is_wrong_for_a_while(wrong, restarts):
    host = Host()
    host.wait(DAY)
    host.clock.now()
    right = host.wall
    if restarts:
        host.restart(0, wrong)
    else:
        host.set(wrong)
    assert host.clock.now() == pytest.approx(right)
    host.wait(600)
    assert host.clock.now() == pytest.approx(right + 600) and host.clock.confirmed() <= right + 600
    assert host.clock.to_wall(host.clock.now()) == pytest.approx(host.wall), "people are told the host's time"
    if restarts:
        host.restart(0, -wrong)
    else:
        host.set(-wrong)
    assert host.clock.now() == pytest.approx(host.wall)


@pytest.mark.parametrize("wrong", [YEAR, -YEAR])
def test_a_clock_that_was_wrong_at_the_first_start(wrong):
    """What was noted before it was set right is not a year old by that, nor from the future."""
    host = Host(1.7e9 + wrong)
    noted = host.clock.now()
    host.wait(60)
    host.set(-wrong)
    assert host.clock.now() - noted == pytest.approx(60)
    host.wait(DAY)
    host.restart()
    assert host.clock.now() - noted == pytest.approx(DAY + 70)


@pytest.mark.parametrize("ahead", [8 * DAY, 91 * DAY, YEAR])
def test_nothing_is_confirmed_by_a_jump(ahead):
    host = Host()
    began = host.clock.now()
    for starts in range(1, 4):
        host.set(ahead)
        host.wait(60)
        host.restart(0)
        host.set(-ahead)
        host.clock.now()
        host.restart(0, ahead)  # the pause may have been as long: it counts for an hour
        assert host.clock.confirmed() - began < 60 * starts + starts * MAX_PAUSE + 1
        host.restart(0, -ahead)


def test_a_pause_counts_when_the_server_has_run_for_a_day():
    host = Host()
    host.restart(pause=10 * DAY)
    assert host.clock.now() == host.wall
    assert host.wall - host.clock.confirmed() == 10 * DAY - MAX_PAUSE
    for _ in range(25):
        host.wait(CONFIRMED_AFTER / 24)
        host.clock.now()
    assert host.clock.confirmed() == host.wall


def test_corrections_and_a_host_that_slept_are_followed():
    host = Host()
    for step in (1.0, -1.0, -600.0, 3000.0, 7 * DAY):
        host.set(step)
        assert host.clock.now() == host.wall and host.clock.confirmed() <= host.wall
