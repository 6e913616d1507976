"""Relative delays in, a target delay out."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.jitterbuffer.delay_manager import BIN_MS, BINS, MARGIN_MS, RELEASE_MS_PER_S, DelayManager


def feed(manager: DelayManager, delays: list[float], start: int = 0) -> None:
    for n, delay in enumerate(delays, start):
        manager.receive(n * 0.02, 50.0 + n * 0.02 + delay)


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


def test_a_clean_path() -> None:
    manager = DelayManager()
    feed(manager, [0.0] * 500)
    # but for a change that is too small to be worth a join
    assert manager.target <= (2 * BIN_MS + MARGIN_MS) / 1000 + 1e-9


@pytest.mark.parametrize("jitter_ms", [10, 30, 60, 120])
def test_the_target_covers_nearly_all_of_the_jitter(jitter_ms: int) -> None:
    rng = Random(2)
    manager = DelayManager()
    delays = [rng.uniform(0, jitter_ms / 1000) for _ in range(1000)]
    feed(manager, delays)
    late = sum(d > manager.target for d in delays) / len(delays)
    assert late < 0.03
    assert manager.target < jitter_ms / 1000 + 0.010


def test_it_rises_with_the_first_spikes_and_falls_slowly() -> None:
    manager = DelayManager()
    feed(manager, [0.0] * 500)
    quiet = manager.target
    feed(manager, [0.08] * 5, start=500)
    raised = manager.target
    assert raised > quiet + 0.05
    feed(manager, [0.0] * 50, start=505)
    assert manager.target >= raised - RELEASE_MS_PER_S / 1000 * 1.01


def test_it_comes_back_after_the_jitter_has_gone() -> None:
    rng = Random(3)
    manager = DelayManager()
    feed(manager, [rng.uniform(0, 0.03) for _ in range(1000)])
    assert manager.target > 0.02
    feed(manager, [0.0] * 7500, start=1000)
    assert manager.target < 0.015


def test_a_copy_that_must_be_waited_for_counts_as_a_packet() -> None:
    with_copies, without = DelayManager(), DelayManager()
    for n in range(500):
        for manager in (with_copies, without):
            manager.receive(n * 0.02, 50.0 + n * 0.02)
        if n % 10 == 0:
            with_copies.receive_recovery((n - 1) * 0.02, 50.0 + n * 0.02)
    assert with_copies.target >= 0.020 > without.target


def test_a_new_time_line_keeps_what_is_known_of_the_network() -> None:
    rng = Random(4)
    manager = DelayManager()
    feed(manager, [rng.uniform(0, 0.05) for _ in range(500)])
    before = manager.target
    manager.reset()
    assert manager.receive(77777.0, 61.0) == 0.0
    assert manager.base == pytest.approx(61.0 - 77777.0)
    assert manager.target == pytest.approx(before, abs=0.005)


@settings(max_examples=25)
@given(st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_any_offsets_give_a_bounded_target(offsets: list[float]) -> None:
    manager = DelayManager()
    for n, offset in enumerate(offsets):
        assert manager.receive(n * 0.02 - offset, 50.0 + n * 0.02) >= 0.0
        assert 0.0 < manager.target <= (BINS * BIN_MS + MARGIN_MS) / 1000
