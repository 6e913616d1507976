"""Bursts and gaps of RFC 3611 section 4.7.2."""

from random import Random

import pytest

from media.jitterbuffer.bursts import GMIN, BurstMeter, Bursts

FRAME, RATE = 960, 48000


def measure(pattern: str) -> Bursts:
    """`pattern`: a frame a character, x for a missing one."""
    meter = BurstMeter()
    for each in pattern:
        if each == "x":
            meter.miss(FRAME, FRAME)
        else:
            meter.play(FRAME)
    assert (meter.frames, meter.missing) == (len(pattern), pattern.count("x"))
    return meter.measure(RATE)


def by_definition(pattern: str) -> Bursts:
    """The same, read off the whole pattern: groups of missing frames less than GMIN played ones apart."""
    at = [i for i, each in enumerate(pattern) if each == "x"]
    groups: list[list[int]] = []
    for i in at:
        if groups and i - groups[-1][-1] - 1 < GMIN:
            groups[-1].append(i)
        else:
            groups.append([i])
    bursts = [g for g in groups if len(g) > 1]
    frames = sum(g[-1] - g[0] + 1 for g in bursts)
    missing = sum(map(len, bursts))
    rest = len(pattern) - frames
    gaps = len(bursts) + 1
    if bursts and bursts[0][0] == 0:
        gaps -= 1
    # What follows a burst is a gap once it is GMIN frames long.
    if bursts and len(pattern) - 1 - bursts[-1][-1] < GMIN:
        gaps -= 1
    return Bursts(
        missing / frames if frames else 0.0,
        (len(at) - missing) / rest if rest else 0.0,
        frames * 0.02 / len(bursts) if bursts else 0.0,
        rest * 0.02 / gaps if gaps else 0.0,
    )


def test_nothing_missing_is_one_gap() -> None:
    assert measure("." * 50) == Bursts(0.0, 0.0, 0.0, 1.0)


def test_a_frame_that_stands_alone_is_of_the_gap() -> None:
    assert measure("." * 20 + "x" + "." * 29) == Bursts(0.0, 1 / 50, 0.0, 1.0)


def test_frames_closer_than_gmin_are_a_burst() -> None:
    found = measure("." * 20 + "x" + "." * (GMIN - 1) + "x" + "." * 20)
    assert found.burst_density == 2 / (GMIN + 1) and found.gap_density == 0
    assert found.burst_duration == pytest.approx(0.02 * (GMIN + 1)) and found.gap_duration == pytest.approx(
        0.4
    )
    assert measure("x" + "." * GMIN + "x").burst_density == 0


def test_any_pattern() -> None:
    rng = Random(7)
    for _ in range(300):
        share = rng.choice((0.02, 0.1, 0.5, 0.97))
        pattern = "".join("x" if rng.random() < share else "." for _ in range(rng.randrange(1, 200)))
        found, wanted = measure(pattern), by_definition(pattern)
        for name in Bursts.__slots__:
            assert getattr(found, name) == pytest.approx(getattr(wanted, name)), (name, pattern)


def test_parts_of_a_frame_count_as_one() -> None:
    meter = BurstMeter()
    for _ in range(8):
        meter.miss(FRAME // 4, FRAME)
    meter.miss(FRAME // 2, FRAME)
    meter.play(FRAME // 2)  # the rest of it came from a copy
    assert (meter.frames, meter.missing) == (3, 2)
