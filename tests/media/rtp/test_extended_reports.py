"""RTCP extended reports (RFC 3611)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.rtp.extended_reports import (
    DelaySinceLast,
    ReceiverReferenceTime,
    VoipMetrics,
    build,
    parse,
)
from media.rtp.rtcp import ExtendedReport, parse_compound, serialize_compound

u32 = st.integers(0, 0xFFFFFFFF)
u16, share = st.integers(0, 0xFFFF), st.integers(0, 255).map(lambda n: n / 256)
score = st.none() | st.integers(0, 100)
mos = st.none() | st.integers(10, 50).map(lambda n: n / 10)
level = st.none() | st.integers(-128, 126)
metrics = st.builds(
    VoipMetrics,
    *(u32, share, share, share, share, u16, u16, u16, u16),
    *(level, level, st.none() | st.integers(0, 126), st.integers(0, 255), score, score, mos, mos),
    *(st.integers(0, 3), st.integers(0, 3), st.integers(0, 15), u16, u16, u16),
)
blocks = st.one_of(
    st.builds(ReceiverReferenceTime, st.integers(0, (1 << 64) - 1)),
    st.builds(DelaySinceLast, u32, u32, u32),
    metrics,
)
FULL = VoipMetrics(
    ssrc=0x01020304, loss_rate=0.25, discard_rate=0.125, burst_density=0.5, gap_density=1 / 256,
    burst_duration_ms=0x0102, gap_duration_ms=0x0304, round_trip_ms=0x0506, end_system_delay_ms=0x0708,
    signal_level_dbm=-20, noise_level_dbm=None, echo_return_loss_db=None, gmin=16, r_factor=93,
    external_r_factor=None, mos_lq=4.4, mos_cq=4.1, concealment=2, jitter_buffer_kind=3, jitter_buffer_rate=1,
    jitter_buffer_nominal_ms=60, jitter_buffer_maximum_ms=560, jitter_buffer_absolute_maximum_ms=1024,
)  # fmt: skip


def test_the_bytes_of_rfc_3611() -> None:
    """Figures of sections 2, 4.4, 4.5 and 4.7, by hand."""
    report = build(7, [ReceiverReferenceTime(0x0123456789ABCDEF), DelaySinceLast(8, 9, 10), FULL])
    assert serialize_compound([report]).hex(" ", 4) == (
        "80cf0011 00000007 04000002 01234567 89abcdef 05000003 00000008 00000009 0000000a"
        " 07000008 01020304 40208001 01020304 05060708 ec7f7f10 5d7f2c29 b100003c 02300400"
    )


@given(st.lists(blocks, max_size=4), u32)
def test_what_is_built_is_parsed_back(found: list, ssrc: int) -> None:
    (report,) = parse_compound(serialize_compound([build(ssrc, found)]))
    assert isinstance(report, ExtendedReport) and report.ssrc == ssrc
    assert parse(report) == found


@given(
    st.binary(max_size=80)
    | st.tuples(st.integers(0, 9), st.integers(0, 12), st.binary(max_size=60)).map(
        lambda t: bytes((t[0], 0, 0, t[1])) + t[2]
    )
)
def test_any_bytes_give_blocks_or_a_packet_error(data: bytes) -> None:
    try:
        assert len(parse(ExtendedReport(1, data))) <= len(data) // 12
    except PacketError:
        pass


def test_unknown_blocks_and_wrong_lengths_are_skipped() -> None:
    time = build(1, [ReceiverReferenceTime(5)]).blocks
    strange = b"\x01\x00\x00\x02" + bytes(8) + b"\x07\x00\x00\x01" + bytes(4) + b"\x04\x00\x00\x00"
    assert parse(ExtendedReport(1, strange + time)) == [ReceiverReferenceTime(5)]
    with pytest.raises(PacketError):
        parse(ExtendedReport(1, time[:-4]))


def test_what_does_not_fit_is_cut() -> None:
    large = replace(
        FULL,
        loss_rate=1.0,
        discard_rate=-0.1,
        gap_duration_ms=100_000,
        r_factor=140,
        mos_lq=0.3,
        jitter_buffer_nominal_ms=-1,
    )
    (found,) = parse(build(1, [large]))
    assert isinstance(found, VoipMetrics)
    assert (found.loss_rate, found.discard_rate, found.gap_duration_ms) == (255 / 256, 0.0, 65535)
    assert (found.r_factor, found.mos_lq, found.jitter_buffer_nominal_ms) == (100, 1.0, 0)
