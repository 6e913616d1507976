"""The adaptive playout in virtual time, with a decoder that writes down what it is asked."""

import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.jitterbuffer.jitter_buffer import JitterBuffer
from media.jitterbuffer.packet_buffer import CAPACITY

Playback = Any  # conftest's; a conftest cannot be imported
FRAME = 960


def rest(playback: Playback) -> int:
    """Samples that were decoded and joined away or in."""
    counters = playback.buffer.counters
    return int(counters.inserted_samples_for_deceleration - counters.removed_samples_for_acceleration)


# -- a path without faults


def test_silence_before_the_first_packet(playback: Playback) -> None:
    playback.run(1.0)
    assert not np.concatenate(playback.out).any()
    assert playback.buffer.counters.total_samples_received == 0
    assert playback.decoder.log == []


def test_every_frame_is_played_once_and_in_order(playback: Playback) -> None:
    playback.frames(range(500))
    playback.run(9.9)
    decoded = playback.decoded()
    assert decoded == list(range(len(decoded)))
    assert len(decoded) > 490
    counters = playback.buffer.counters
    assert counters.concealed_samples == counters.concealment_events == 0
    assert counters.late_packets == counters.duplicate_packets == counters.broken_packets == 0
    values = np.concatenate(playback.out)
    steps = np.diff(values.astype(int)) % 64
    assert set(steps.tolist()) == {0, 1}, "sound never goes back and leaves nothing out"


def test_a_clean_path_needs_less_than_15_ms(playback: Playback) -> None:
    playback.frames(range(1500))
    playback.run(29.9)
    assert playback.buffer.target_delay < 0.015
    assert playback.delay < 0.030


def test_what_is_concealed_at_the_end_is_counted_until_a_packet_is_played(playback: Playback) -> None:
    playback.frames(range(50))
    playback.run(0.95)
    assert playback.buffer.concealed_at_end == 0
    playback.run(1.3)
    counters = playback.buffer.counters
    assert (
        0 < playback.buffer.concealed_at_end == counters.concealed_samples == counters.concealed_empty_samples
    )
    playback.frames(range(70, 100))
    playback.run(1.95)
    assert playback.buffer.concealed_at_end == 0 < counters.concealed_samples


def test_the_target_follows_30_ms_of_jitter(playback: Playback) -> None:
    rng = Random(1)
    playback.frames(range(1000), delay=lambda n: rng.uniform(0, 0.03))
    playback.run(19.9)
    assert 0.020 <= playback.buffer.target_delay <= 0.045
    assert playback.buffer.counters.concealed_samples <= 0.01 * 20 * 48000


def test_the_reported_delay_is_the_time_from_arrival_to_sound(playback: Playback) -> None:
    playback.frames(range(500))
    playback.run(9.9)
    counters = playback.buffer.counters
    mean = counters.jitter_buffer_delay / counters.jitter_buffer_emitted_count
    assert 0.0 < mean < 0.045
    assert counters.jitter_buffer_emitted_count == len(playback.decoded()) * FRAME


# -- order, duplicates, late packets


def test_reordered_packets_are_put_in_order(playback: Playback) -> None:
    playback.frames(range(300), delay=lambda n: 0.025 if n % 5 == 0 else 0.0)
    playback.run(5.9)
    decoded = playback.decoded()
    assert decoded == sorted(decoded)
    missing = set(range(decoded[-1])) - set(decoded)
    assert len(missing) <= 1, "the first swap may come as a surprise, later ones not"


def test_duplicates_are_counted_and_played_once(playback: Playback) -> None:
    playback.frames(range(100))
    playback.frames(range(100), delay=lambda n: 0.001)
    playback.frames(range(100), delay=lambda n: 0.300)
    playback.run(1.9)
    decoded = playback.decoded()
    assert decoded == list(range(len(decoded)))
    counters = playback.buffer.counters
    assert counters.duplicate_packets + counters.late_packets >= 170
    assert counters.duplicate_packets >= 90


def test_a_packet_after_its_turn_is_late_and_not_played(playback: Playback) -> None:
    playback.frames([n for n in range(100) if n != 50])
    playback.send(50 * 0.02 + 0.15, 50 * FRAME, b"P50")
    playback.run(1.9)
    assert 50 not in playback.decoded()
    assert playback.buffer.counters.late_packets == 1


# -- loss


@pytest.mark.parametrize("lost", [0, 1, 17, 100])
def test_one_lost_packet_costs_at_most_one_concealed_frame(playback: Playback, lost: int) -> None:
    playback.frames([n for n in range(500) if n != lost])
    playback.run(9.9)
    decoded = playback.decoded()
    assert decoded == [n for n in range(decoded[-1] + 1) if n != lost]
    assert playback.concealed() <= FRAME
    assert playback.buffer.counters.concealed_samples <= FRAME
    assert playback.buffer.counters.concealment_events <= 1
    assert playback.delay < 0.030, "and the delay recovers"
    assert playback.buffer.target_delay < 0.015


def test_the_copy_in_the_next_packet_is_played_instead(playback: Playback) -> None:
    missing = set(range(20, 480, 10))
    playback.frames([n for n in range(500) if n not in missing], fec=True)
    playback.run(9.9)
    recovered = [n for kind, n in playback.decoder.log if kind == "fec"]
    assert set(recovered) <= missing
    assert playback.buffer.counters.recovered_frames == len(recovered) >= len(missing) - 3
    assert playback.concealed() <= 3 * FRAME


def test_of_two_lost_packets_the_second_is_recovered(playback: Playback) -> None:
    playback.frames([n for n in range(500) if n % 50 not in (20, 21)], fec=True)
    playback.run(9.9)
    recovered = [n for kind, n in playback.decoder.log if kind == "fec"]
    assert recovered and all(n % 50 == 21 for n in recovered)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), percent=st.integers(1, 40), fec=st.booleans())
def test_random_loss_costs_what_was_lost_and_no_delay(
    make_playback: Callable[[], Playback], seed: int, percent: int, fec: bool
) -> None:
    playback = make_playback()
    rng = Random(seed)
    kept = [n for n in range(500) if rng.random() * 100 >= percent]
    playback.frames(kept, fec=fec)
    playback.run(9.9)
    decoded = playback.decoded()
    last = decoded[-1]
    assert decoded == sorted(decoded)
    expected = [n for n in kept if n <= last]
    assert len(expected) - len(decoded) <= 1, "what came in time is played"
    lost = last + 1 - expected[0] - len(expected)
    recovered = playback.buffer.counters.recovered_frames
    # the start, where the buffer finds its delay, and the end, which may lie in an underrun, cost something
    assert playback.concealed() <= (lost - recovered + 6) * FRAME
    assert playback.buffer.target_delay < 0.060


# -- delay spikes and outages


def test_a_spike_loses_nothing_and_its_delay_drains(playback: Playback) -> None:
    # everything sent between 2.0 and 2.3 s comes at 2.3 s
    playback.frames(range(1500), delay=lambda n: max(0.0, 2.3 - n * 0.02) if n >= 100 else 0.0)
    playback.run(2.35)
    assert playback.delay > 0.15
    playback.run(29.9)
    decoded = playback.decoded()
    assert decoded == list(range(len(decoded))), "late is not lost"
    assert playback.buffer.counters.late_packets == 0
    assert playback.delay < 0.050
    assert playback.buffer.counters.removed_samples_for_acceleration > 0.1 * 48000


@pytest.mark.parametrize("jitter", [0.0, 0.010])
@pytest.mark.parametrize("stall", [0.3, 0.45, 0.6, 0.9, 1.2])
def test_after_a_stall_the_delay_is_back_within_3_s(playback: Playback, stall: float, jitter: float) -> None:
    """And so after the next one, half a minute later. All that was held is played."""
    rng = Random(3)

    def delay(n: int) -> float:
        held = [at + stall - n * 0.02 for at in (10.0, 40.0) if at <= n * 0.02 < at + stall]
        return max([rng.uniform(0, jitter), *held])

    playback.frames(range(3000), delay=delay)
    for at in (10.0, 40.0):
        playback.run(at - 0.1)
        usual = playback.delay
        playback.run(at + stall + 3.0)
        assert playback.delay < usual + 0.040
        playback.run(at + 10.0)
        assert playback.delay < usual + 0.025
    decoded = playback.decoded()
    assert decoded == list(range(len(decoded))), "late is not lost"


@pytest.mark.parametrize("gain", [0.25, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("stall", [0.3, 0.6, 1.2])
def test_a_stall_of_a_thin_link_is_over_when_the_link_has_caught_up(
    playback: Playback, stall: float, gain: float
) -> None:
    """What was held comes `1 + gain` times as fast as it was said, not all at once."""
    playback.frames(
        range(1500), delay=lambda n: max(0.0, stall - (n * 0.02 - 10.0) * gain / (1 + gain)) * (n >= 500)
    )
    playback.run(9.9)
    usual = playback.delay
    playback.run(10.0 + stall * (2 + 1 / gain) + 1.5)
    assert playback.delay < usual + 0.040
    decoded = playback.decoded()
    assert decoded == list(range(len(decoded))), "late is not lost"


def test_stalls_that_come_often_are_waited_for(playback: Playback) -> None:
    """Every 3 s 0.3 s: the delay stays, and soon nothing is concealed any more."""
    playback.frames(range(3000), delay=lambda n: max(0.0, 0.3 - n * 0.02 % 3.0))
    playback.run(20.0)
    before = playback.buffer.counters.concealed_samples
    playback.run(50.0)
    assert playback.buffer.counters.concealed_samples - before < 0.02 * 30 * 48000


@pytest.mark.parametrize("step", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("jitter", [0.0, 0.020])
def test_a_path_that_is_longer_from_now_on_is_not_taken_for_a_stall(
    playback: Playback, step: float, jitter: float
) -> None:
    rng = Random(3)
    playback.frames(range(1500), delay=lambda n: step * (n >= 500) + rng.uniform(0, jitter))
    playback.run(10.0 + step + 0.3)
    before = playback.buffer.counters.concealed_samples
    playback.run(28.0)
    assert playback.buffer.counters.concealed_samples == before


def test_one_late_frame_is_half_concealed_and_moves_nothing(playback: Playback) -> None:
    """What it is late by has been concealed; its rest is played in time, and those after it as ever."""
    playback.frames(range(1200), delay=lambda n: 0.012 if n == 1000 else 0.0)
    playback.run(19.9)
    delay, joined = playback.delay, rest(playback)
    playback.run(23.9)
    assert playback.decoded() == list(range(len(playback.decoded())))
    assert playback.buffer.counters.concealed_samples == 480
    assert (playback.delay, rest(playback)) == (pytest.approx(delay), joined)


def test_after_an_outage_of_5_s_current_packets_are_played_at_once(playback: Playback) -> None:
    playback.frames(n for n in range(1000) if not 100 <= n < 350)
    playback.run(7.5)
    assert playback.delay < 0.150
    assert playback.decoded()[-1] >= 360
    playback.run(12.0)
    assert playback.delay < 0.050
    assert playback.buffer.counters.concealed_samples <= 5.1 * 48000
    assert playback.buffer.counters.silent_concealed_samples >= 4.5 * 48000
    assert playback.buffer.counters.concealment_events == 1


def test_silence_of_the_sender_with_time_standing_still(playback: Playback) -> None:
    """A sender that stops and goes on with the next timestamp, as after a hold."""
    playback.frames(range(100))
    for n in range(100, 400):
        playback.send(n * 0.02 + 5.0, n * FRAME, b"P" + str(n).encode())
    playback.run(12.0)
    decoded = playback.decoded()
    assert decoded == list(range(len(decoded)))
    assert len(decoded) > 330


# -- other time lines


@pytest.mark.parametrize("jump", [10**6, -(10**6), 1 << 30, -(1 << 30), 3 * 48000])
def test_a_timestamp_that_jumps_begins_a_new_time_line(playback: Playback, jump: int) -> None:
    playback.frames(range(100), start=12345)
    playback.frames(range(100, 300), start=12345 + jump)
    playback.run(5.9)
    decoded = playback.decoded()
    assert decoded == sorted(decoded)
    assert len(decoded) >= 285
    assert playback.concealed() <= 0.3 * 48000
    assert playback.delay < 0.080


@pytest.mark.parametrize(
    "start", [(1 << 32) - 50 * FRAME, (1 << 32) - 50 * FRAME - 1, (1 << 31) - 50 * FRAME]
)
def test_timestamps_wrap_without_a_trace(playback: Playback, start: int) -> None:
    playback.frames(range(200), start=start)
    playback.run(3.9)
    assert playback.decoded() == list(range(len(playback.decoded())))
    assert playback.concealed() == 0


def test_a_stray_packet_of_elsewhere_costs_little(playback: Playback) -> None:
    playback.frames(range(300))
    playback.send(2.005, 1 << 30, b"P5000")
    playback.run(5.9)
    assert len(set(playback.decoded()) & set(range(300))) >= 280
    assert playback.concealed() <= 0.25 * 48000


# -- clocks


@pytest.mark.parametrize("ppm", [-200, 200])
@pytest.mark.long
def test_clock_drift_over_ten_minutes_makes_no_delay(playback: Playback, ppm: int) -> None:
    """The faster sender fills the buffer, the slower one empties it: 120 ms in ten minutes."""
    count = 30000
    playback.frames(range(count), skew=1 / (1 + ppm / 1e6))
    delays = []
    for minute in range(1, 11):
        playback.run(minute * 60.0 - 1)
        delays.append(playback.delay)
    assert max(delays) < 0.050
    assert delays[-1] < delays[0] + 0.015
    assert playback.buffer.target_delay < 0.020
    assert playback.concealed() <= 0.001 * 600 * 48000
    drift = ppm / 1e6 * 600 * 48000
    # made up for by joins, and by concealment where the slower sender let the buffer run dry
    assert -rest(playback) - playback.concealed() == pytest.approx(drift, abs=0.05 * 48000)


# -- hostile input


def test_what_is_not_the_codec_s_is_counted_and_dropped(playback: Playback) -> None:
    playback.frames(range(100))
    for n in range(20):
        playback.send(n * 0.05, 10**6 * n, b"?")
    playback.send(0.5, 200, b"")
    playback.run(1.9)
    assert playback.buffer.counters.broken_packets == 21
    assert playback.decoded() == list(range(len(playback.decoded())))
    assert playback.concealed() == 0


def test_a_payload_that_the_decoder_refuses_is_concealed(playback: Playback) -> None:
    playback.frames([n for n in range(100) if n != 50])
    playback.send(1.0, 50 * FRAME, b"X50")
    playback.run(1.9)
    assert playback.buffer.counters.broken_packets == 1
    assert playback.concealed() == FRAME
    assert playback.decoded() == [n for n in range(playback.decoded()[-1] + 1) if n != 50]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packets=st.lists(
        st.tuples(
            st.integers(0, 0xFFFFFFFF) | st.integers(0, 20).map(lambda n: n * FRAME) | st.integers(0, 3000),
            st.sampled_from((b"F7", b"P7", b"X", b"?", b"")),
            st.floats(0, 0.3),
        ),
        max_size=40,
    )
)
def test_any_timestamps_and_payloads(
    make_playback: Callable[[], Playback], packets: list[tuple[int, bytes, float]]
) -> None:
    playback = make_playback()
    at = 0.0
    for timestamp, payload, pause in packets:
        playback.send(at, timestamp, payload)
        at += pause
    playback.run(at + 0.5)
    counters = playback.buffer.counters
    assert counters.total_samples_received <= len(playback.out) * 480
    assert counters.concealed_samples >= counters.silent_concealed_samples >= 0
    by_cause = (
        counters.concealed_missing_samples,
        counters.concealed_empty_samples,
        counters.concealed_broken_samples,
    )
    assert counters.concealed_samples == sum(by_cause), "each concealed sample has one cause"
    assert counters.recovered_late_frames <= min(counters.recovered_frames, counters.late_packets)


def test_memory_is_bounded_against_a_sender_into_the_future(make_playback: Callable[[], Playback]) -> None:
    playback = make_playback()
    buffer: JitterBuffer = playback.buffer
    tracemalloc.start()
    for n in range(3000):
        buffer.insert(n * 120 & 0xFFFFFFFF, b"P1" + b"0" * 1000, 100.0 + n * 1e-4)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(buffer._packets) <= CAPACITY
    assert len(buffer._arrivals) <= 4 * CAPACITY + 65
    assert size < 1_000_000


def test_a_burst_of_old_packets_is_bounded_too(playback: Playback) -> None:
    playback.frames(range(50))
    playback.run(0.9)
    for n in range(5000):
        playback.buffer.insert(n % 40 * FRAME, b"P1", playback.now)
    assert len(playback.buffer._packets) <= CAPACITY
    assert len(playback.buffer._arrivals) <= 4 * CAPACITY + 65
