"""Arrival feedback (RFC 8888): the format, and the log that makes the reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.rtp.congestion_feedback import (
    CCFB_FORMAT,
    MAX_REPORTS,
    OFFSET_OVERRANGE,
    UNITS_PER_S,
    ArrivalLog,
    ArrivalReport,
    build,
    parse,
)
from media.rtp.rtcp import RTPFB, Feedback, parse_compound, serialize_compound

# Section 3.1, by hand: two streams, three packets (one padded) and two.
BY_HAND = bytes.fromhex(
    "8bcd0008"  # V=2, FMT=11, PT=205, 9 words
    "00000001"  # sender
    "11111111" "fffe" "0003"  # stream, begin, count
    "8400" "0000"  # came 1 s before the report; did not come
    "8001" "0000"  # came 1/1024 s before; padding
    "22222222" "0007" "0002"
    "ffff" "e200"  # ECN bits set and the offset unknown; ECN CE and 0.5 s
)  # fmt: skip
STAMP = bytes.fromhex("00018000")


def test_bytes_made_by_hand() -> None:
    data = bytearray(BY_HAND + STAMP)
    data[3] = len(data) // 4 - 1
    (packet,) = parse_compound(bytes(data))
    assert isinstance(packet, Feedback) and (packet.packet_type, packet.format) == (RTPFB, CCFB_FORMAT)
    first, second = parse(packet)
    assert first == ArrivalReport(0x11111111, 0xFFFE, (1.0, None, 1 / 1024), 1.5)
    assert (second.ssrc, second.begin) == (0x22222222, 7)
    assert second.arrivals == (0x1FFF / UNITS_PER_S, 0.5)


def test_ours_is_laid_out_as_in_the_rfc() -> None:
    report = ArrivalReport(0x11111111, 0xFFFE, (1.0, None, 1 / 1024), 1.5)
    (data,) = [serialize_compound([build(1, [report], 1.5)])]
    assert data == bytes.fromhex("8bcd0006" "00000001" "11111111fffe0003" "84000000" "80010000" "00018000")  # fmt: skip


@given(
    st.lists(
        st.builds(
            ArrivalReport,
            st.integers(0, 2**32 - 1),
            st.integers(0, 65535),
            st.lists(st.none() | st.integers(0, 8191).map(lambda n: n / UNITS_PER_S), max_size=40).map(tuple),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_round_trip(reports: list[ArrivalReport]) -> None:
    feedback = build(1, reports, 7.25)
    (packet,) = parse_compound(serialize_compound([feedback]))
    assert isinstance(packet, Feedback)
    told = parse(packet)
    assert [(r.ssrc, r.begin) for r in told] == [(r.ssrc, r.begin) for r in reports]
    for have, had in zip(told, reports, strict=True):
        # longer ago than a field can tell is told as "longer ago"
        expected = [None if a is None else min(a, OFFSET_OVERRANGE / UNITS_PER_S) for a in had.arrivals]
        assert list(have.arrivals) == expected


@given(st.integers(0, 2**32 - 1), st.binary(max_size=80))
def test_any_bytes(ssrc: int, fci: bytes) -> None:
    try:
        reports = parse(Feedback(RTPFB, CCFB_FORMAT, 1, ssrc, fci))
    except PacketError:
        return
    assert sum(2 * len(r.arrivals) for r in reports) <= len(fci)


@pytest.mark.parametrize("fci", [b"", bytes(4), b"\0\0\0\x09" + bytes(4), bytes(7), b"\0\0\0\0" + bytes(8)])
def test_what_is_cut_off_is_refused(fci: bytes) -> None:
    with pytest.raises(PacketError):
        parse(Feedback(RTPFB, CCFB_FORMAT, 1, 2, fci))


# -- the log


def test_loss_reordering_and_overlap() -> None:
    log = ArrivalLog(5)
    assert log.report(0.0, overlap=3) is None, "nothing came"
    for number, at in ((10, 1.00), (12, 1.04), (11, 1.05), (14, 1.08)):
        log.receive(number, at)
    report = log.report(1.10, overlap=3)
    assert report is not None and (report.ssrc, report.begin) == (5, 10)
    assert report.arrivals == (
        pytest.approx(0.10),
        pytest.approx(0.05),
        pytest.approx(0.06),
        None,
        pytest.approx(0.02),
    )
    assert log.report(1.2, overlap=3) is None, "nothing new"
    log.receive(13, 1.21)  # late, after it was told to be missing
    log.receive(16, 1.22)
    report = log.report(1.3, overlap=3)
    assert report is not None and report.begin == 12
    assert [a is not None for a in report.arrivals] == [True, True, True, False, True]


def test_a_duplicate_keeps_the_first_arrival() -> None:
    log = ArrivalLog(5)
    log.receive(1, 1.0)
    log.receive(1, 1.5)
    report = log.report(2.0, overlap=0)
    assert report is not None and report.arrivals == (1.0,)


def test_numbers_wrap() -> None:
    log = ArrivalLog(5)
    for number in (65534, 65535, 1):
        log.receive(number, 1.0)
    report = log.report(1.0, overlap=5)
    assert report is not None and (report.begin, report.arrivals) == (65534, (0.0, 0.0, None, 0.0))
    log.receive(2, 1.1)
    report = log.report(1.1, overlap=2)
    assert report is not None and (report.begin, report.arrivals[-1]) == (0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 65535), st.booleans()), max_size=200))
def test_any_numbers_are_bounded(events: list[tuple[int, bool]]) -> None:
    log = ArrivalLog(5)
    for index, (number, ask) in enumerate(events):
        log.receive(number, index / 50)
        if ask and (report := log.report(index / 50, overlap=5)) is not None:
            assert 1 <= len(report.arrivals) <= MAX_REPORTS
            assert report.arrivals[-1] is not None, "a report ends with what came last"
    assert len(log._arrivals) <= 4 * MAX_REPORTS


def test_a_long_stream_without_reports_is_bounded() -> None:
    log = ArrivalLog(5)
    for number in range(100_000):
        log.receive(number & 0xFFFF, number / 50)
    assert len(log._arrivals) <= 4 * MAX_REPORTS
    report = log.report(2000.0, overlap=5)
    assert report is not None and len(report.arrivals) == MAX_REPORTS and None not in report.arrivals
