"""What was said and heard, on one time line."""

import numpy as np

from media.io.call_sound import CallSound

RATE = 48_000


def ones(value: int, count: int = 480) -> np.ndarray:
    return np.full(count, value, np.int16)


def test_both_sides_are_as_long_and_the_same_sample_is_the_same_moment() -> None:
    sound = CallSound()
    for tick in range(100):
        sound.said(ones(1, 960), 50.0 + tick * 0.02)
    for tick in range(50):  # heard 0.5 s later, by a clock that trembles
        sound.heard(ones(2), 50.5 + tick * 0.01 + 0.004 * (tick % 3))
    said, heard = sound.both()
    assert len(said) == len(heard) == 2 * RATE
    assert np.array_equal(said, ones(1, 2 * RATE))
    assert np.flatnonzero(heard)[[0, -1]].tolist() == [RATE // 2, RATE - 1], "no gap, no overlap"


def test_a_pause_is_silence() -> None:
    sound = CallSound()
    sound.said(ones(1), 10.0)
    sound.said(ones(1), 12.0)  # held for two seconds
    said, heard = sound.both()
    assert np.flatnonzero(said == 1).tolist() == [*range(480), *range(2 * RATE, 2 * RATE + 480)]
    assert len(heard) == len(said) and not heard.any()


def test_what_is_kept_is_bounded() -> None:
    sound = CallSound(seconds=1.0)
    for tick in range(200):
        sound.heard(ones(tick), tick * 0.01)
    said, heard = sound.both()
    assert len(said) == len(heard) == RATE and heard[-1] == 99


def test_a_call_without_sound() -> None:
    assert [len(side) for side in CallSound().both()] == [0, 0]
