"""As it is, shorter or longer."""

import pytest

from media.jitterbuffer.decision_logic import DecisionLogic, Operation


@pytest.mark.parametrize("error", [-1e-9, 0.0, 0.0004])
def test_small_errors_are_left_alone(error: float) -> None:
    assert DecisionLogic().decide(error, 10.0)[0] is Operation.NORMAL


def test_a_little_late_is_hurried_in_pauses_only() -> None:
    operation, correlation = DecisionLogic().decide(0.003, 10.0)
    assert operation is Operation.ACCELERATE and correlation > 1


@pytest.mark.parametrize("error", [0.05, 0.15, 0.5, 5.0])
def test_late_playout_is_hurried(error: float) -> None:
    assert DecisionLogic().decide(error, 10.0)[0] is Operation.ACCELERATE


# A sample too early is a pull too early.
@pytest.mark.parametrize("error", [-1 / 48_000, -0.005, -0.05, -5.0])
def test_early_playout_is_slowed(error: float) -> None:
    assert DecisionLogic().decide(error, 10.0)[0] is Operation.PREEMPTIVE_EXPAND


def test_the_larger_the_error_the_weaker_a_join_may_be() -> None:
    logic = DecisionLogic()
    needed = [logic.decide(error, 10.0)[1] for error in (0.011, 0.05, 0.15, 0.5)]
    assert needed == sorted(needed, reverse=True)


def test_joins_keep_their_distance_unless_the_error_is_large() -> None:
    logic = DecisionLogic()
    logic.joined(10.0)
    assert logic.decide(0.05, 10.010)[0] is Operation.NORMAL
    assert logic.decide(0.05, 10.041)[0] is Operation.ACCELERATE
    assert logic.decide(0.5, 10.0)[0] is Operation.ACCELERATE
    assert logic.decide(-0.01, 10.010)[0] is Operation.NORMAL
    assert logic.decide(-0.01, 10.041)[0] is Operation.PREEMPTIVE_EXPAND
