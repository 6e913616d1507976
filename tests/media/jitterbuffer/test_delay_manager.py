"""Relative delays in, a target delay out."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.jitterbuffer.delay_manager import REACH_STEPS, RELEASE_MS_PER_S, DelayManager

STEP = 0.010


def feed(manager: DelayManager, delays: list[float], start: int = 0, phase: float = 0.004) -> float:
    """-> what is chosen in the end, where frames are decoded `phase` plus whole steps after the fastest packet."""
    for n, delay in enumerate(delays, start):
        manager.receive(n * 0.02, 50.0 + n * 0.02 + delay)
    return settle(manager, phase, 50.0 + (start + len(delays)) * 0.02)


def settle(manager: DelayManager, phase: float, now: float) -> float:
    present = phase
    for _ in range(3):
        present = manager.choose(present, STEP, now)
    return present


def test_the_base_is_the_fastest_packet() -> None:
    manager = DelayManager()
    assert manager.receive(0.0, 50.030) == 0.0
    assert manager.receive(0.02, 50.020) == 0.0
    assert manager.base == pytest.approx(50.0)
    assert manager.receive(0.04, 50.055) == pytest.approx(0.015)


def test_the_base_forgets_after_ten_seconds() -> None:
    manager = DelayManager()
    feed(manager, [0.0] * 50)
    feed(manager, [0.1] * 300, start=50)
    assert manager.base == pytest.approx(50.0)
    feed(manager, [0.1] * 300, start=350)
    assert manager.base == pytest.approx(50.1), "the route changed"


@pytest.mark.parametrize("phase", [0.002, 0.005, 0.009])
def test_on_a_clean_path_the_first_pull_after_the_arrival_is_taken(phase: float) -> None:
    manager = DelayManager()
    assert feed(manager, [0.0] * 500, phase=phase) == pytest.approx(phase)
    assert manager.target == pytest.approx(phase)


def test_a_pull_that_comes_with_the_packet_is_too_early() -> None:
    assert feed(DelayManager(), [0.0] * 500, phase=0.0002) == pytest.approx(0.0102)


@pytest.mark.parametrize("jitter_ms", [10, 30, 60, 120])
def test_the_target_covers_nearly_all_of_the_jitter(jitter_ms: int) -> None:
    rng = Random(2)
    manager = DelayManager()
    delays = [rng.uniform(0, jitter_ms / 1000) for _ in range(1000)]
    chosen = feed(manager, delays)
    assert sum(d > chosen for d in delays) / len(delays) < 0.03
    assert chosen < jitter_ms / 1000 + 1.5 * STEP


def test_one_late_packet_is_chance_and_three_are_not() -> None:
    manager = DelayManager()
    quiet = feed(manager, [0.0] * 1000)
    assert feed(manager, [0.012], start=1000) == quiet
    assert feed(manager, [0.012] * 2, start=1001) > quiet


def test_it_rises_with_the_first_spikes_and_comes_back_when_they_are_over() -> None:
    manager = DelayManager()
    quiet = feed(manager, [0.0] * 500)
    raised = feed(manager, [0.08] * 5, start=500)
    assert raised > quiet + 0.05
    assert feed(manager, [0.0] * 50, start=505) > quiet + 0.05
    assert feed(manager, [0.0] * 7500, start=555) == quiet


@pytest.mark.parametrize("rest", [0.0, 0.02])
def test_a_queue_that_has_drained_is_no_jitter(rest: float) -> None:
    """Also where `rest` stays, as on a link that has become thinner: each packet takes longer there."""
    manager = DelayManager()
    feed(manager, [0.0] * 200)
    assert feed(manager, [0.015 * n for n in range(20)] + [0.3] * 20, start=200) > 0.25
    drained = [0.28 - 0.02 * n for n in range(13)] + [rest] * 50
    assert feed(manager, drained, start=240) < 0.06


def test_it_does_not_fall_before_it_has_seen_enough() -> None:
    manager = DelayManager()
    manager.receive(0.0, 50.0)
    assert manager.choose(0.044, STEP, 50.0) == pytest.approx(0.044)


def test_small_gains_are_not_worth_a_join() -> None:
    manager = DelayManager()
    feed(manager, [0.0] * 500)
    assert manager.choose(0.0033, 0.0015, 60.0) == pytest.approx(0.0033), "0.0018 would be 0.2 R better"
    assert manager.choose(0.0063, 0.0015, 60.0) < 0.004


def test_a_copy_that_must_be_waited_for_counts_as_a_packet() -> None:
    with_copies, without = DelayManager(), DelayManager()
    for n in range(500):
        for manager in (with_copies, without):
            manager.receive(n * 0.02, 50.0 + n * 0.02)
        if n % 10 == 0:
            with_copies.receive_recovery((n - 1) * 0.02, 50.0 + n * 0.02)
    assert settle(with_copies, 0.004, 60.0) >= 0.020 > settle(without, 0.004, 60.0)


def test_what_comes_late_and_seldom_does_not_hold_a_target_that_had_to_rise() -> None:
    """Falling a step at a time, it goes on through delays that cost more than the last one."""
    manager, present = DelayManager(), 0.004
    for n in range(3000):
        now = 50.0 + n * 0.02
        manager.receive(n * 0.02, now)
        # At first one in ten is there after 95 ms only, as when it was asked for again; then a copy is, mostly.
        if n % 10 == 0:
            late = 0.095 if n < 300 or n % 150 == 0 else 0.042
            manager.receive_recovery((n - 5) * 0.02, (n - 5) * 0.02 + 50.0 + late)
        present = manager.choose(present, STEP, now)
        if n == 300:
            assert present == pytest.approx(0.104)
    assert present == pytest.approx(0.044)


def test_a_target_that_had_to_rise_falls_no_faster_for_a_sound_card_that_drifts() -> None:
    manager, targets = DelayManager(), []
    for n in range(700):
        now = 50.0 + n * 0.02
        manager.receive(n * 0.02, now + (0.2 - 0.02 * (n - 200) if 200 <= n < 210 else 0.0))
        drift = -1e-6 * n  # 50 ppm
        present = targets[-1] if targets else 0.004
        targets.append(manager.choose(round((present - 0.004) / STEP) * STEP + 0.004 + drift, STEP, now))
    falling = [target for target in targets if 0.06 < target < 0.19]
    assert max(targets) > 0.2 and targets[-1] < 0.01, "it rises, and comes back"
    assert len(falling) * 0.02 > 0.9 * 0.13 * 1000 / RELEASE_MS_PER_S


def test_the_farthest_copy_is_waited_for_while_some_are_needed() -> None:
    manager = DelayManager()
    feed(manager, [0.0] * 500)
    manager.expect_copies(0.060)
    assert settle(manager, 0.004, 60.0) < 0.02, "nothing was lost"
    for n in (498, 499):
        manager.receive_recovery(n * 0.02, 50.0 + (n + 1) * 0.02)
    assert settle(manager, 0.004, 60.0) == pytest.approx(0.064)
    feed(manager, [0.0] * 1000, start=500)
    assert settle(manager, 0.004, 80.0) < 0.04, "that was long ago"


def test_lip_sync_is_a_least_delay() -> None:
    manager = DelayManager()
    feed(manager, [0.0] * 500)
    manager.minimum = 0.083
    assert settle(manager, 0.004, 60.0) == pytest.approx(0.084)


def test_a_new_time_line_keeps_what_is_known_of_the_network() -> None:
    rng = Random(4)
    manager = DelayManager()
    before = feed(manager, [rng.uniform(0, 0.05) for _ in range(500)])
    manager.reset()
    assert manager.receive(77777.0, 61.0) == 0.0
    assert manager.base == pytest.approx(61.0 - 77777.0)
    assert settle(manager, 0.004, 61.0) == pytest.approx(before)


@settings(max_examples=25)
@given(st.lists(st.floats(-1e6, 1e6), max_size=60), st.floats(-1e3, 1e3))
def test_any_offsets_give_a_bounded_target(offsets: list[float], present: float) -> None:
    manager = DelayManager()
    for n, offset in enumerate(offsets):
        assert manager.receive(n * 0.02 - offset, 50.0 + n * 0.02) >= 0.0
        assert 0.0 <= manager.choose(present, STEP, 50.0) <= max(0.0, present) + REACH_STEPS * STEP
