"""Serial-number arithmetic (RFC 1982)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.rtp.sequence import Unwrapper


@pytest.mark.parametrize("bits", [16, 32])
@given(start=st.integers(0, (1 << 32) - 1), steps=st.lists(st.integers(-1000, 1000), max_size=50))
def test_it_follows_a_counter_through_every_wrap(bits: int, start: int, steps: list[int]) -> None:
    size = 1 << bits
    unwrapper = Unwrapper(bits)
    value = start % size
    assert unwrapper.unwrap(value) == value
    for step in steps:
        value += step * (size // 4096)
        assert unwrapper.unwrap(value % size) == value


def test_it_counts_on_after_the_wrap_and_back_before_it() -> None:
    unwrapper = Unwrapper(16)
    assert [unwrapper.unwrap(v) for v in (65534, 65535, 0, 1, 65535, 2)] == [
        65534,
        65535,
        65536,
        65537,
        65535,
        65538,
    ]


def test_a_first_value_may_be_followed_by_an_earlier_one() -> None:
    unwrapper = Unwrapper(16)
    assert [unwrapper.unwrap(v) for v in (0, 65535)] == [0, -1]
