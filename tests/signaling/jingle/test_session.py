"""The table of a call's life."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.errors import CallError, CallUntrusted
from signaling.jingle.session import (
    CONDITIONS,
    REASONS,
    TRANSITIONS,
    EndReason,
    IllegalStep,
    State,
    Step,
    advance,
    error_for,
    reason_of,
)


def test_a_calls_life() -> None:
    state = State.NEW
    steps = [Step.PROPOSE, Step.RING, Step.RING, Step.PROCEED, Step.INITIATE, Step.ACCEPT, Step.CONNECT]
    for step in [*steps, Step.DISCONNECT, Step.CONNECT, Step.END]:
        state = advance(state, step)
    assert state is State.ENDED


@given(st.lists(st.sampled_from(Step)))
def test_media_flow_only_after_an_answer_and_nothing_after_the_end(steps: list[Step]) -> None:
    state, taken = State.NEW, []
    for step in steps:
        try:
            following = advance(state, step)
        except IllegalStep:
            assert (state, step) not in TRANSITIONS
            continue
        assert state is not State.ENDED
        taken.append(step)
        state = following
        if state is State.CONNECTED:
            assert Step.INITIATE in taken and Step.ACCEPT in taken


def test_every_end_has_a_condition_and_comes_back_as_itself_where_it_can() -> None:
    silent = {EndReason.NOT_REGISTERED}
    assert set(CONDITIONS) == set(EndReason) - silent
    for condition, reason in REASONS.items():
        assert reason_of(condition) is reason
    assert reason_of(None) is reason_of("invented") is EndReason.FAILED
    for reason in (EndReason.HUNG_UP, EndReason.UNTRUSTED, EndReason.NO_ROUTE, EndReason.CONNECTION_LOST):
        assert reason_of(CONDITIONS[reason]) is reason


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_end_is_an_error_of_one_line(reason: EndReason) -> None:
    error = error_for(reason, "+12025550101", "why")
    assert isinstance(error, CallError) and len(str(error).splitlines()) == 1
    if isinstance(error, CallUntrusted):
        assert error.why == "why"
