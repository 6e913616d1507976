"""A device's clock measured, and its sound brought over to ours."""

from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from media.audio_processing.clock_bridge import ClockBridge, Follower
from media.audio_processing.sample_clock import SampleClock

START = 1000.0


def arrivals(ppm: float, pieces: int, lateness: float, seed: int = 1) -> Iterator[tuple[float, int]]:
    """(time, samples up to then) of a device with pieces of 480, whose thread is late by `lateness` on average."""
    rng, last = Random(seed), START
    for number in range(1, pieces + 1):
        last = max(last, START + number * 0.01 / (1 + ppm * 1e-6) + rng.expovariate(1 / lateness))
        yield last, number * 480


@pytest.mark.parametrize("ppm", [-200, 0, 50, 200])
def test_the_clock_is_measured(ppm: float) -> None:
    clock = SampleClock()
    for now, position in arrivals(ppm, 2000, 0.003):
        clock.observe(now, position)
    assert clock.drift_ppm == pytest.approx(ppm, abs=10)
    due = START + 19 / (1 + ppm * 1e-6)
    assert clock.time_at(19 * 48_000) == pytest.approx(due, abs=0.001)
    assert clock.position_at(due) == pytest.approx(19 * 48_000, abs=48)
    assert clock.position_at(clock.time_at(123_456.0)) == pytest.approx(123_456.0)


def test_a_break_begins_anew_and_keeps_the_rate() -> None:
    clock = SampleClock()
    for now, position in arrivals(150, 2000, 0.001):
        clock.observe(now, position)
    drift = clock.drift_ppm
    clock.observe(now + 30.0, position + 480)  # the machine slept
    assert clock.breaks == 1 and clock.drift_ppm == drift and not clock.settled
    assert clock.position_at(now + 30.0) == pytest.approx(position + 480)


def bridged(ppm: float, pieces: int, lateness: float) -> tuple[np.ndarray, list[float]]:
    """A sine of 440 Hz through the bridge, and when each frame was there after the end of what it holds."""
    clock, frames, ages = SampleClock(), [], []
    bridge = ClockBridge(clock, 960)
    rate = 48_000 * (1 + ppm * 1e-6)
    for now, position in arrivals(ppm, pieces, lateness):
        clock.observe(now, position)
        sound = 10_000 * np.cos(2 * np.pi * 440 * np.arange(position - 480, position) / rate)
        for frame in bridge.push(sound.astype(np.int16)):
            frames.append(frame)
            ages.append(now - bridge.until)
    return np.concatenate(frames), ages


@pytest.mark.parametrize("ppm", [-200, 1000])
def test_drift_goes_without_clicks(ppm: float) -> None:
    sound, ages = bridged(ppm, 2000, 0.001)
    tail = sound[-48_000 * 5 :].astype(float)
    # 440 Hz on our clock again: the phase against a sine of 440 Hz stands still.
    turned = tail * np.exp(-2j * np.pi * 440 * np.arange(len(tail)) / 48_000)
    phase = np.unwrap(np.angle(turned.reshape(-1, 4800).mean(axis=1)))
    drift = np.polyfit(0.1 * np.arange(len(phase)), phase, 1)[0] / (2 * np.pi * 440) * 1e6
    assert abs(drift) < max(15, 0.06 * abs(ppm))
    # No click: the second difference of the sine and of rounding, nothing more.
    assert (
        np.abs(np.diff(sound[960:].astype(float), 2)).max() < 1.3 * 10_000 * (2 * np.pi * 440 / 48_000) ** 2
    )
    # As many frames as time went by, none of them late by more than a piece and the thread.
    assert len(sound) == pytest.approx(20 * 48_000 / (1 + ppm * 1e-6), abs=960 * 2)
    assert np.percentile(ages[50:], 99) < 0.016 and min(ages) > -0.003


def test_a_device_without_drift_costs_two_milliseconds() -> None:
    _, ages = bridged(0, 1000, 0.0003)
    assert np.mean(ages[50:]) < 0.004


def test_after_a_break_the_frames_are_those_of_now() -> None:
    clock = SampleClock()
    bridge = ClockBridge(clock, 960)
    for now, position in arrivals(0, 300, 0.001):
        clock.observe(now, position)
        list(bridge.push(np.zeros(480, np.int16)))
    assert bridge.until == pytest.approx(now, abs=0.03)
    for number in range(1, 5):
        clock.observe(now + 20 + number * 0.01, position + number * 480)
        list(bridge.push(np.zeros(480, np.int16)))
    assert bridge.until == pytest.approx(now + 20.04, abs=0.03)


def test_the_follower_bends_a_little_and_jumps_when_far_off() -> None:
    follower = Follower(0.0)
    start, step = follower.follow(480.0, 1.0)  # 10 ms behind
    assert start == 0.0 and 1.0 < step <= 1.001
    start, _ = follower.follow(48_000.0, 1.0)
    assert start == 48_000.0 and follower.jumps == 1
    assert follower.follow(48_000.0, 3.0)[1] <= 1.021  # no clock is off by that much
