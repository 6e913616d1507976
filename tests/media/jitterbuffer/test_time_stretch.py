"""Pitch-synchronous stretching: one period more or less, and nothing that one hears."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from media.jitterbuffer.time_stretch import MAX_LAG, MIN_LAG, accelerate, cross_fade, preemptive_expand

Samples = NDArray[np.int16]
Stretch = Callable[..., Samples]
both = pytest.mark.parametrize("stretch", [accelerate, preemptive_expand])


def sine(hz: float, count: int = 1440, level: float = 10000.0) -> Samples:
    return np.rint(level * np.sin(2 * np.pi * hz * np.arange(count) / 48000)).astype(np.int16)


def frequency(samples: Samples) -> float:
    """The dominant one, by the zero crossings' mean distance."""
    x = samples.astype(float)
    up = np.flatnonzero((x[:-1] < 0) & (x[1:] >= 0))
    exact = up + x[up] / (x[up] - x[up + 1])
    return float(48000 / np.diff(exact).mean())


@both
@pytest.mark.parametrize("hz", [70, 100, 130, 180, 220, 333, 390])
def test_a_tone_stays_a_tone(stretch: Stretch, hz: float) -> None:
    tone = sine(hz, 2880)
    out = stretch(tone)
    change = abs(len(out) - len(tone))
    assert MIN_LAG <= change <= MAX_LAG
    assert out.dtype == np.int16
    # a whole number of periods went out or in
    periods = change * hz / 48000
    assert periods == pytest.approx(round(periods), abs=0.02)
    assert frequency(out) == pytest.approx(hz, rel=0.01)
    # no click: no step larger than the tone itself makes
    largest = np.abs(np.diff(tone.astype(int))).max()
    assert np.abs(np.diff(out.astype(int))).max() <= largest * 1.05 + 2
    assert np.abs(out).max() <= np.abs(tone).max()


@both
def test_what_follows_and_what_went_before_still_fit(stretch: Stretch) -> None:
    """Frames are stretched one by one: both ends must stay as they were."""
    tone = sine(150, 960 * 3)
    out = np.concatenate((tone[:960], stretch(tone[960:1920]), tone[1920:]))
    assert np.abs(np.diff(out.astype(int))).max() <= np.abs(np.diff(tone.astype(int))).max() * 1.05 + 2


@both
def test_noise_is_left_as_it_is(stretch: Stretch) -> None:
    noise = np.random.default_rng(1).normal(0, 5000, 960).astype(np.int16)
    assert len(stretch(noise)) == 960
    assert stretch(noise) is noise


@both
def test_quiet_noise_may_be_joined_anywhere(stretch: Stretch) -> None:
    noise = np.random.default_rng(1).normal(0, 20, 960).astype(np.int16)
    assert MIN_LAG <= abs(len(stretch(noise)) - 960) <= MAX_LAG


@both
def test_digital_silence(stretch: Stretch) -> None:
    out = stretch(np.zeros(960, np.int16))
    assert len(out) != 960 and not out.any()


@pytest.mark.parametrize("limit", [120, 200, 480])
def test_no_more_than_the_limit_goes(limit: int) -> None:
    for hz in (70, 130, 390):
        assert 0 <= 1440 - len(accelerate(sine(hz), limit=limit)) <= limit


@pytest.mark.parametrize("wanted", [1, 100, 480, 720])
def test_quiet_sound_changes_by_what_is_wanted(wanted: int) -> None:
    noise = np.random.default_rng(1).normal(0, 20, 960).astype(np.int16)
    assert len(accelerate(noise, limit=wanted)) == 960 - wanted
    assert len(preemptive_expand(noise, wanted=wanted)) == 960 + wanted


def test_a_period_goes_in_even_where_less_is_wanted() -> None:
    tone = sine(100)
    assert len(preemptive_expand(tone, wanted=10)) == pytest.approx(1440 + 480, abs=2)


@both
@pytest.mark.parametrize("count", [0, 1, 120, 240, 359])
def test_frames_too_short_to_join_are_left_as_they_are(stretch: Stretch, count: int) -> None:
    assert len(stretch(sine(200, count))) == count


@both
def test_a_correlation_that_nothing_has_leaves_only_pauses(stretch: Stretch) -> None:
    assert len(stretch(sine(200), min_correlation=2.0)) == 1440
    assert len(stretch(sine(200, level=50.0), min_correlation=2.0)) != 1440


@both
@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.int16, st.sampled_from((120, 480, 960, 1920, 2880))),
    st.integers(1, 3000),
    st.floats(-1, 2),
)
def test_any_samples(stretch: Stretch, samples: Samples, amount: int, correlation: float) -> None:
    name = "limit" if stretch is accelerate else "wanted"
    out = stretch(samples, min_correlation=correlation, **{name: amount})
    assert abs(len(out) - len(samples)) <= MAX_LAG
    if stretch is accelerate:
        assert len(samples) - len(out) <= amount
    assert out.dtype == np.int16
    if len(samples):
        assert out.min() >= samples.min() and out.max() <= samples.max()


@pytest.mark.parametrize("length", [0, 1, 240, 960])
def test_a_cross_fade_begins_as_the_one_and_ends_as_the_other(length: int) -> None:
    before, after = np.full(240, 100, np.int16), np.full(length, -100, np.int16)
    out = cross_fade(before, after)
    assert len(out) == length and out.dtype == np.int16
    assert np.all(np.diff(out.astype(int)) <= 0)
    assert length == 0 or out[0] == 100
    assert np.all(out[240:] == -100)
