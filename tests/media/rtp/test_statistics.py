"""What a receiver counts (RFC 3550 appendices A.3 and A.8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.rtp.statistics import MAX_MISSING, ReceiveStatistics


def receive(statistics: ReceiveStatistics, numbers: list[int], now: float = 0.0) -> None:
    for number in numbers:
        statistics.receive(number & 0xFFFF, number * 960 & 0xFFFFFFFF, 80, 12, now + number * 0.02)


def test_nothing_lost() -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, list(range(100)))
    report = statistics.report(2.0)
    assert (report.fraction_lost, report.packets_lost, report.highest_sequence) == (0, 0, 99)
    assert (statistics.packets_received, statistics.bytes_received) == (100, 8000)
    assert statistics.header_bytes_received == 1200
    assert statistics.jitter < 1e-6


def test_the_fraction_is_of_the_interval_and_the_sum_of_the_call() -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, [n for n in range(100) if n % 4 != 1])
    first = statistics.report(2.0)
    assert (first.fraction_lost, first.packets_lost) == (64, 25)
    receive(statistics, list(range(100, 200)))
    second = statistics.report(4.0)
    assert (second.fraction_lost, second.packets_lost) == (0, 25)
    receive(statistics, [n for n in range(200, 300) if n % 2])
    assert statistics.report(6.0).fraction_lost == 128


def test_no_packet_in_the_interval_is_no_loss_that_one_could_know_of() -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, list(range(10)))
    statistics.report(1.0)
    assert statistics.report(2.0).fraction_lost == 0


def test_all_but_the_last_lost() -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, [0])
    statistics.report(0.0)
    receive(statistics, [1000])
    assert statistics.report(1.0).fraction_lost == 255


def test_duplicates_make_the_sum_negative_and_the_fraction_zero() -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, [0, 1, 1, 1, 2])
    report = statistics.report(1.0)
    assert (report.packets_lost, report.fraction_lost) == (-2, 0)


def test_late_packets_are_not_lost() -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, [0, 1, 3, 4, 2])
    assert statistics.report(1.0).packets_lost == 0


def test_a_packet_before_the_first_one_is_expected_too() -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, [5, 4, 6])
    assert (statistics.packets_expected, statistics.packets_lost) == (3, 0)


def test_the_highest_sequence_counts_the_cycles() -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, list(range(65530, 65546)))
    report = statistics.report(1.0)
    assert report.highest_sequence == 65545
    assert report.packets_lost == 0


@given(st.sets(st.integers(1, 300)), st.integers(0, 65535))
def test_expected_less_received_is_lost_wherever_the_numbers_begin(missing: set[int], start: int) -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, [start + n for n in range(302) if n not in missing])
    report = statistics.report(1.0)
    assert report.packets_lost == len(missing)
    assert report.fraction_lost == len(missing) * 256 // 302


def test_jitter_is_the_smoothed_difference_of_transit_times() -> None:
    statistics = ReceiveStatistics(1, 48000)
    expected = 0.0
    arrivals = [0.0, 0.025, 0.040, 0.0666, 0.080]
    for number, now in enumerate(arrivals):
        statistics.receive(number, number * 960, 80, 12, now)
        if number:
            step = abs((now - arrivals[number - 1]) - 0.02)
            expected += (step - expected) / 16
    assert statistics.jitter == pytest.approx(expected, rel=1e-6)
    assert statistics.report(1.0).jitter == round(expected * 48000)


def test_a_timestamp_that_wraps_or_jumps_is_not_jitter() -> None:
    statistics = ReceiveStatistics(1, 48000)
    for number in range(50):
        statistics.receive(number, (0xFFFFFFFF - 960 * 25 + number * 960) & 0xFFFFFFFF, 80, 12, number * 0.02)
    assert statistics.jitter < 1e-6
    statistics.receive(50, 12345678, 80, 12, 1.0)
    assert statistics.jitter < 1e-6


def test_the_last_sender_report_is_echoed_with_its_age() -> None:
    statistics = ReceiveStatistics(1, 48000)
    receive(statistics, [0])
    assert statistics.report(0.5).last_sr == statistics.report(0.5).delay_since_last_sr == 0
    statistics.receive_sender_report(0x1122334455667788, 1.0)
    report = statistics.report(3.5)
    assert report.last_sr == 0x33445566
    assert report.delay_since_last_sr == round(2.5 * 65536)


@given(st.lists(st.integers(0, 60), max_size=60), st.lists(st.integers(0, 60), max_size=20))
def test_each_packet_is_counted_once_in_any_order(arrivals: list[int], again: list[int]) -> None:
    """Expected = received + missing, duplicates apart; what was recovered was missing."""
    statistics = ReceiveStatistics(1, 48000)
    seen: set[int] = set()
    recovered: set[int] = set()
    for index, number in enumerate(arrivals):
        new = statistics.receive((number + 65500) & 0xFFFF, number * 960, 80, 12, index * 0.02)
        assert new is (number not in seen)
        seen.add(number)
        recovered.discard(number)
        if index % 3 == 0 and again:
            copy = again[index % len(again)]
            statistics.recover((copy + 65500) & 0xFFFF)
            if min(seen) < copy < max(seen) and copy not in seen:
                recovered.add(copy)
        missing = max(seen) - min(seen) + 1 - len(seen)
        assert statistics.packets_expected == max(seen) - min(seen) + 1
        assert statistics.packets_received - statistics.packets_duplicated == len(seen)
        assert statistics.packets_missing == missing
        assert statistics.packets_recovered == len(recovered) <= missing
        assert statistics.packets_lost == missing - statistics.packets_duplicated  # RFC 3550


def test_what_is_remembered_as_missing_is_bounded() -> None:
    statistics = ReceiveStatistics(1, 48000)
    for number in range(0, 600_000, 30_000):
        statistics.receive(number & 0xFFFF, 0, 80, 12, 0.0)
        assert len(statistics._missing) <= MAX_MISSING
    assert statistics.packets_missing == 570_001 - 20
    assert statistics.receive((number - MAX_MISSING // 4) & 0xFFFF, 0, 80, 12, 0.0), "late, and no duplicate"
    assert not statistics.receive((number - 30_000) & 0xFFFF, 0, 80, 12, 0.0)
