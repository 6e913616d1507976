"""The outgoing stream and its sender reports (RFC 3550 section 6.4.1)."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from media.rtp.packet import RtpPacket
from media.rtp.rtcp import ReportBlock
from media.rtp.sender import NTP_EPOCH_OFFSET, RtpSender, ntp_time
from media.rtp.statistics import ReceiveStatistics


def sender(seed: int = 1) -> RtpSender:
    return RtpSender(ssrc=7, clock_rate=48000, rng=Random(seed))


def sent(
    stream: RtpSender, payload_type: int, media_time: int, payload: bytes, captured: float, **more: Any
) -> bytes:
    """The next packet as bytes, counted."""
    packet = stream.make(payload_type, media_time, payload, captured, **more)
    data = packet.serialize()
    stream.count(packet, data)
    return data


def test_packets_are_numbered_and_counted() -> None:
    stream = sender()
    packets = [RtpPacket.parse(sent(stream, 111, 960 * n, b"x" * 50, n * 0.02)) for n in range(66000)]
    numbers = [p.sequence_number for p in packets]
    assert all((b - a) & 0xFFFF == 1 for a, b in pairwise(numbers))
    times = [p.timestamp for p in packets]
    assert all((b - a) & 0xFFFFFFFF == 960 for a, b in pairwise(times))
    assert {(p.ssrc, p.payload_type) for p in packets} == {(7, 111)}
    assert numbers[0] < 1 << 15
    assert (stream.packets_sent, stream.bytes_sent) == (66000, 66000 * 50)
    assert stream.header_bytes_sent == 66000 * 12


def test_header_extensions_count_as_header() -> None:
    stream = sender()
    sent(stream, 111, 0, b"x", 0.0, extensions={1: b"0"})
    assert (stream.bytes_sent, stream.header_bytes_sent) == (1, 12 + 8)


def test_ntp_time_counts_from_1900() -> None:
    assert ntp_time(0.0) == NTP_EPOCH_OFFSET << 32
    assert ntp_time(0.5) == NTP_EPOCH_OFFSET << 32 | 1 << 31
    assert NTP_EPOCH_OFFSET == 25567 * 86400  # days from 1900-01-01 to 1970-01-01


def test_the_sender_report_s_rtp_time_is_the_capture_clock_now() -> None:
    stream = sender()
    sent(stream, 111, 48000, b"x" * 10, captured=101.0)
    report = stream.sender_report((), now=101.25, unix_time=1_000_000.0)
    assert report.rtp_time == (stream.timestamp_offset + 48000 + 12000) & 0xFFFFFFFF
    assert (report.packet_count, report.octet_count) == (1, 10)
    assert report.ntp_time == ntp_time(1_000_000.0)


@pytest.mark.parametrize("rtt", [0.001, 0.05, 0.5, 3.0])
def test_the_round_trip_time_comes_out_of_a_report_of_a_report(rtt: float) -> None:
    stream, receiver = sender(), ReceiveStatistics(7, 48000)
    sent(stream, 111, 0, b"x", 0.0)
    receiver.receive(0, 0, 1, 12, 0.0)
    # the two clocks have nothing to do with each other
    unix, elsewhere = 1_700_000_000.0, 55.0
    report = stream.sender_report((), 0.0, unix)
    receiver.receive_sender_report(report.ntp_time, elsewhere)
    block = receiver.report(elsewhere + 0.7)
    stream.receive_report(block, unix + 0.7 + rtt)
    assert stream.round_trip_time == pytest.approx(rtt, abs=2 / 65536)
    assert stream.total_round_trip_time == stream.round_trip_time
    assert stream.round_trip_time_measurements == 1


def test_a_round_trip_over_the_wrap_of_the_middle_bits() -> None:
    stream = sender()
    # 18 hours and 12 minutes are 2^16 s: the middle 32 bits wrap
    unix = 65536.0 * 30000 - NTP_EPOCH_OFFSET % 65536 - 0.01
    sent = ntp_time(unix) >> 16 & 0xFFFFFFFF
    stream.receive_report(ReportBlock(7, 0, 0, 0, 0, sent, 0), unix + 0.05)
    assert sent > 0xFFFF0000
    assert stream.round_trip_time == pytest.approx(0.05, abs=2 / 65536)


def test_what_cannot_be_a_round_trip_is_not_one() -> None:
    stream = sender()
    now = 1_700_000_000.0
    middle = ntp_time(now) >> 16 & 0xFFFFFFFF
    stream.receive_report(ReportBlock(7, 0, 0, 0, 0, 0, 0), now)
    assert stream.round_trip_time is None, "no sender report was seen by the peer"
    stream.receive_report(ReportBlock(7, 0, 0, 0, 0, middle - (3600 << 16), 0), now)
    assert stream.round_trip_time is None, "an hour"
    stream.receive_report(ReportBlock(7, 0, 0, 0, 0, middle, 1), now)
    assert stream.round_trip_time == 0.0, "less than the clock's granularity"
