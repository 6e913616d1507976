"""G.107.2 against check values worked out from the recommendation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.quality.emodel import burst_ratio, mos, mos_from_r, one_way_delay_ms, verdict


@pytest.mark.parametrize(
    ("concealed", "delay", "expected"),
    [
        (0, 0, 4.408), (0, 150, 4.404), (0, 300, 3.960), (0, 400, 3.552), (1, 50, 4.209), (3, 50, 3.757),
        (5, 50, 3.351), (10, 50, 2.634), (5, 300, 2.584),
    ],
)  # fmt: skip
def test_check_values(concealed: float, delay: float, expected: float) -> None:
    assert mos(concealed, delay) == pytest.approx(expected, abs=0.0006)


def test_scale() -> None:
    assert (mos_from_r(-5), mos_from_r(0), mos_from_r(100), mos_from_r(130)) == (1.0, 1.0, 4.5, 4.5)


@given(st.floats(0, 100), st.floats(0, 5000), st.floats(0.01, 100), st.floats(0, 5), st.floats(0, 100))
def test_bounds_and_monotony(loss: float, delay: float, burst: float, more: float, later: float) -> None:
    score = mos(loss, delay, burst)
    assert 1.0 <= score <= 4.5
    assert mos(min(100.0, loss + more), delay, burst) <= score + 1e-9
    assert mos(loss, delay + later, burst) <= score + 1e-9
    assert mos(loss, delay, burst * 2) <= score + 1e-9


def test_what_is_no_measurement_is_refused() -> None:
    for wrong in ((-1, 0, 1), (101, 0, 1), (float("nan"), 0, 1), (1, -1, 1), (1, float("inf"), 1), (1, 0, 0)):
        with pytest.raises(ValueError):
            mos(*wrong)


def test_burst_ratio() -> None:
    assert burst_ratio(1 / 0.9, 0.1) == pytest.approx(1.0)
    assert burst_ratio(3.5, 0.1) == pytest.approx(3.15)
    assert burst_ratio(0.5, 0.1) == pytest.approx(0.9)
    assert burst_ratio(0, 0) == 1.0
    assert burst_ratio(40, 0.5) == burst_ratio(50, 1.0) == 8.0
    assert mos(100, burst_ratio=burst_ratio(50, 1.0)) == 1.0  # a second of nothing is the worst there is


def test_one_way_delay_and_words() -> None:
    assert one_way_delay_ms(60, 80) == 136.5
    assert [verdict(score) for score in (4.4, 4.1, 3.7, 3.2, 1.5)] == [
        "very good",
        "good",
        "fair",
        "poor",
        "bad",
    ]
