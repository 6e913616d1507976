"""Against the definition: every bin multiplied at every step."""

from random import Random

import numpy as np
import pytest

from media.jitterbuffer.histogram import BINS, ForgettingHistogram, bin_of


@pytest.mark.parametrize("keep", [0.5, 0.99, 0.999])
def test_it_is_what_multiplying_every_bin_gives(keep: float) -> None:
    rng, histogram, plain = Random(1), ForgettingHistogram(), np.zeros(BINS)
    for count in range(1, 8000):
        share = 1 - min(keep, 1 - 1 / count)
        index = min(BINS - 1, int(rng.expovariate(1 / 60)))
        histogram.forget(1 - share)
        histogram.add(index, share)
        plain *= 1 - share
        plain[index] += share
        if count % 500 == 1:
            bins = [0, 1, 7, 60, 200, 500, BINS - 1]
            assert [histogram.above(b) for b in bins] == pytest.approx(
                [plain[b:].sum() for b in bins], abs=3e-4 * (1 - keep) + 1e-5
            )
            assert histogram.quantile(0.9) == int(np.searchsorted(np.cumsum(plain), 0.9))


def test_what_moves_over_the_end_stays_in_the_first_bin() -> None:
    histogram = ForgettingHistogram()
    for index in (2, 10, 30):
        histogram.add(index, 0.25)
    histogram.shift_earlier(10)
    assert [histogram.above(b) for b in (0, 1, 20, 21)] == [0.75, 0.25, 0.25, 0]
    histogram.shift_earlier(500)
    assert [histogram.above(b) for b in (0, 1)] == [0.75, 0]


def test_a_copy_stays_as_it_was() -> None:
    histogram = ForgettingHistogram()
    histogram.add(3, 1.0)
    other = histogram.copy()
    histogram.forget(0.0)
    assert (histogram.above(0), other.above(0)) == (0, 1)


def test_what_is_forgotten_takes_no_room() -> None:
    histogram = ForgettingHistogram()
    histogram.add(BINS - 1, 1.0)
    for _ in range(3000):
        histogram.forget(0.99)
        histogram.add(1, 0.01)
    assert len(histogram._bins) < 10


@pytest.mark.parametrize(("delay", "index"), [(-1.0, 0), (0.0, 0), (0.0019, 1), (5.0, BINS - 1)])
def test_delays_have_a_bin(delay: float, index: int) -> None:
    assert bin_of(delay) == index
