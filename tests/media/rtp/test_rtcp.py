"""RTCP packets (RFC 3550 section 6, RFC 4585)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.rtp.rtcp import (
    APP,
    BYE,
    PSFB,
    RTPFB,
    Bye,
    ExtendedReport,
    Feedback,
    Malformed,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    Unknown,
    parse_compound,
    serialize_compound,
)

u8, u32 = st.integers(0, 255), st.integers(0, 0xFFFFFFFF)
blocks = st.builds(ReportBlock, u32, u8, st.integers(-(1 << 23), (1 << 23) - 1), u32, u32, u32, u32)
reports = st.lists(blocks, max_size=3).map(tuple)
words = st.binary(max_size=12).map(lambda b: b[: len(b) // 4 * 4])
items = st.lists(st.tuples(st.integers(1, 8), st.binary(max_size=30)), max_size=3).map(tuple)
packets = st.one_of(
    st.builds(SenderReport, u32, st.integers(0, (1 << 64) - 1), u32, u32, u32, reports),
    st.builds(ReceiverReport, u32, reports),
    st.builds(SourceDescription, st.lists(st.tuples(u32, items), max_size=3).map(tuple)),
    st.builds(Bye, st.lists(u32, max_size=5).map(tuple), st.binary(max_size=30)),
    st.builds(Feedback, st.sampled_from((RTPFB, PSFB)), st.integers(0, 31), u32, u32, words),
    st.builds(ExtendedReport, u32, words),
    st.builds(Unknown, st.just(APP), st.integers(0, 31), words),
)


@given(st.lists(packets, min_size=1, max_size=4))
def test_what_is_serialized_is_parsed_back(compound: list[RtcpPacket]) -> None:
    data = serialize_compound(compound)
    assert len(data) % 4 == 0
    assert parse_compound(data) == compound


@given(
    st.binary(max_size=80)
    | st.tuples(
        st.integers(0x80, 0xBF), st.integers(200, 207), st.integers(0, 9), st.binary(max_size=40)
    ).map(lambda t: bytes((t[0], t[1], 0, t[2])) + t[3])
)
def test_any_bytes_give_packets_or_a_packet_error(data: bytes) -> None:
    try:
        assert parse_compound(data)
    except PacketError:
        pass


@given(st.lists(packets, min_size=1, max_size=2), st.data())
def test_a_damaged_compound_gives_packets_or_a_packet_error(
    compound: list[RtcpPacket], data: st.DataObject
) -> None:
    raw = bytearray(serialize_compound(compound))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parse_compound(bytes(raw[: data.draw(st.integers(1, len(raw)))]))
    except PacketError:
        pass


def test_libwebrtc_s_fuzz_seeds(vectors) -> None:  # type: ignore[no-untyped-def]
    parsed = 0
    for data in vectors("rtcp"):
        try:
            compound = parse_compound(data)
        except PacketError:
            continue
        parsed += 1
        whole = [packet for packet in compound if not isinstance(packet, Malformed)]
        assert parse_compound(serialize_compound(whole)) == whole
    assert parsed > 10


def test_a_receiver_report_is_laid_out_as_in_the_rfc() -> None:
    block = ReportBlock(0x01020304, 64, -2, 0x00011234, 0x55, 0x66778899, 0x10000)
    data = serialize_compound([ReceiverReport(0xAABBCCDD, (block,))])
    assert data == bytes.fromhex("81c90007 aabbccdd 01020304 40fffffe 00011234 00000055 66778899 00010000")


def test_a_sender_report_is_laid_out_as_in_the_rfc() -> None:
    data = serialize_compound([SenderReport(1, 0x1122334455667788, 2, 3, 4)])
    assert data == bytes.fromhex("80c80006 00000001 11223344 55667788 00000002 00000003 00000004")


def test_cumulative_loss_is_clamped_to_24_bits() -> None:
    for lost, kept in ((1 << 30, (1 << 23) - 1), (-(1 << 30), -(1 << 23))):
        block = ReportBlock(1, 0, lost, 0, 0, 0, 0)
        (report,) = parse_compound(serialize_compound([ReceiverReport(1, (block,))]))
        assert isinstance(report, ReceiverReport)
        assert report.reports[0].packets_lost == kept


def test_padding_is_taken_off_the_last_packet() -> None:
    data = bytearray(serialize_compound([Bye((7,))]) + b"\0\0\0\4")
    data[0] |= 0x20
    data[3] += 1
    assert parse_compound(bytes(data)) == [Bye((7,))]


def test_bytes_after_the_reports_are_profile_specific_and_skipped() -> None:
    data = bytearray(serialize_compound([ReceiverReport(7)]) + b"more")
    data[3] += 1
    assert parse_compound(bytes(data)) == [ReceiverReport(7)]


def test_a_reduced_size_compound_needs_no_report_first() -> None:
    assert parse_compound(serialize_compound([Feedback(RTPFB, 1, 2, 3)])) == [Feedback(RTPFB, 1, 2, 3)]


def test_more_than_31_items_do_not_fit() -> None:
    with pytest.raises(ValueError, match="31"):
        serialize_compound([Bye(tuple(range(32)))])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "empty"),
        ("80c8", "header"),
        ("00c90001 00000000", "version 0"),
        ("80c90002 00000000", "over the end"),
        ("81c90001 00000000", "receiver report is too short"),
        ("80c80001 00000000", "sender report is too short"),
        ("82cb0001 00000000", "BYE is too short"),
        ("81cd0001 00000000", "feedback is too short"),
        ("a0cb0001 00000000", "padding"),
        ("a0cb0001 00000009", "padding"),
        ("a0cb0000", "padding"),
    ],
)
def test_each_defect_is_named(data: str, why: str) -> None:
    with pytest.raises(PacketError, match=why):
        parse_compound(bytes.fromhex(data))


def test_a_bye_reason_that_claims_too_much_is_cut() -> None:
    (bye,) = parse_compound(bytes((0x81, BYE, 0, 2)) + b"\0\0\0\1\xffabc")
    assert bye == Bye((1,), b"abc")


REPORT = SenderReport(1, 2 << 32, 3, 4, 5)


@pytest.mark.parametrize(
    ("chunks", "items"),
    [
        ("00000001 0104" + b"name".hex(), ((1, b"name"),)),  # the item ends where the packet does
        ("00000001 0103" + b"abc".hex(), ((1, b"abc"),)),
        ("00000001", ()),
        ("00000001 0104" + b"name".hex() + "02ff", ((1, b"name"),)),  # the next item claims too much
        ("00000001 0104" + b"name".hex() + "02", ((1, b"name"),)),
    ],
)
def test_a_description_is_read_up_to_what_does_not_hold(
    chunks: str, items: tuple[tuple[int, bytes], ...]
) -> None:
    body = bytes.fromhex(chunks)
    body += bytes(-len(body) % 4) if len(body) % 4 != 3 else b"\xff"
    sdes = bytes((0x81, 202, 0, len(body) // 4)) + body
    found = parse_compound(serialize_compound([REPORT]) + sdes + serialize_compound([Bye((1,))]))
    assert found == [REPORT, SourceDescription(((1, items),)), Bye((1,))]


def test_a_description_may_have_fewer_chunks_than_it_says() -> None:
    body = bytes.fromhex("00000001 0101 61 00  00000002 0101 62 00")
    for count, truth in ((2, 2), (3, 2), (1, 1)):
        (sdes,) = parse_compound(bytes((0x80 | count, 202, 0, 4)) + body)
        assert isinstance(sdes, SourceDescription) and len(sdes.chunks) == truth


@given(st.lists(packets, min_size=1, max_size=3), st.integers(0, 31), st.integers(200, 207), st.data())
def test_one_bad_packet_never_costs_the_others(
    good: list[RtcpPacket], count: int, kind: int, data: st.DataObject
) -> None:
    """Whatever the body of a packet is: its length says where the next one begins."""
    body = data.draw(words)
    bad = bytes((0x80 | count | data.draw(st.sampled_from((0, 0x20))), kind, 0, len(body) // 4)) + body
    place = data.draw(st.integers(0, len(good)))
    found = parse_compound(serialize_compound(good[:place]) + bad + serialize_compound(good[place:]))
    assert found[:place] + found[place + 1 :] == good


@pytest.mark.parametrize("end", ["80", "80c9", "80c90007 00000001", "00c90000", "40c80000"])
def test_what_was_read_before_a_wrong_length_stands(end: str) -> None:
    found = parse_compound(serialize_compound([REPORT]) + bytes.fromhex(end))
    assert found[0] == REPORT and len(found) == 2 and isinstance(found[1], Malformed)
