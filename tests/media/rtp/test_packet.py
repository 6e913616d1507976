"""RTP packets (RFC 3550 section 5.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.rtp.packet import RtpPacket

u16, u32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
one_byte = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=4)
two_byte = st.dictionaries(st.integers(1, 255), st.binary(max_size=40), max_size=4)


def fields(packet: RtpPacket) -> dict[str, object]:
    return {name: getattr(packet, name) for name in RtpPacket.__slots__ if name != "header_size"}


@given(
    st.integers(0, 127),
    u16,
    u32,
    u32,
    st.binary(max_size=100),
    st.booleans(),
    one_byte | two_byte,
    st.lists(u32, max_size=15),
)
def test_what_is_serialized_is_parsed_back(
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    payload: bytes,
    marker: bool,
    extensions: dict[int, bytes],
    csrcs: list[int],
) -> None:
    packet = RtpPacket(
        payload_type,
        sequence,
        timestamp,
        ssrc,
        payload,
        marker=marker,
        extensions=extensions,
        csrcs=tuple(csrcs),
    )
    assert fields(RtpPacket.parse(packet.serialize())) == fields(packet)


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda b: b"\x90\x6f" + b))
def test_any_bytes_give_a_packet_or_a_packet_error(data: bytes) -> None:
    try:
        packet = RtpPacket.parse(data)
    except PacketError:
        return
    assert 12 + 4 * len(packet.csrcs) + len(packet.payload) <= len(data)


def test_the_header_is_laid_out_as_in_the_rfc() -> None:
    packet = RtpPacket(111, 0x1234, 0x01020304, 0xA0B0C0D0, b"payload", marker=True)
    assert packet.serialize() == bytes.fromhex("80ef123401020304a0b0c0d0") + b"payload"


def test_the_extension_block_is_laid_out_as_in_the_rfc() -> None:
    packet = RtpPacket(111, 1, 2, 3, b"x", extensions={1: b"0"})
    assert packet.serialize()[12:] == bytes.fromhex("bede0001 10 30 0000") + b"x"
    assert packet.serialize()[0] == 0x90
    assert RtpPacket.parse(packet.serialize()).header_size == 20


def test_padding_is_taken_off() -> None:
    data = bytearray(RtpPacket(0, 1, 2, 3, b"voice\0\0\3").serialize())
    data[0] |= 0x20
    assert RtpPacket.parse(bytes(data)).payload == b"voice"
    assert RtpPacket.parse(bytes(data)).header_size == 12 + 3


def test_a_packet_of_padding_only_has_an_empty_payload() -> None:
    data = bytearray(RtpPacket(0, 1, 2, 3, b"\0\0\0\4").serialize())
    data[0] |= 0x20
    assert RtpPacket.parse(bytes(data)).payload == b""


@pytest.mark.parametrize("count", [0, 9, 255])
def test_padding_longer_than_the_payload_is_refused(count: int) -> None:
    data = bytearray(RtpPacket(0, 1, 2, 3, b"voice\0\0" + bytes((count,))).serialize())
    data[0] |= 0x20
    with pytest.raises(PacketError, match="padding"):
        RtpPacket.parse(bytes(data))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "shorter"),
        (b"\x80" * 11, "shorter"),
        (b"\x40" + bytes(11), "version 1"),
        (b"\x81" + bytes(11), "contributing"),
        (b"\x90" + bytes(14), "extension"),
        (b"\x90" + bytes(11) + b"\xbe\xde\x00\x02" + bytes(4), "extension"),
        (b"\x90" + bytes(11) + b"\xbe\xde\x00\x01\x13ab\0", "extension"),
        (b"\xa0" + bytes(11), "padding"),
    ],
)
def test_each_defect_is_named(data: bytes, why: str) -> None:
    with pytest.raises(PacketError, match=why):
        RtpPacket.parse(data)


def test_libwebrtc_s_fuzz_seeds(vectors) -> None:  # type: ignore[no-untyped-def]
    parsed = 0
    for data in vectors("rtp"):
        try:
            packet = RtpPacket.parse(data)
        except PacketError:
            continue
        parsed += 1
        assert fields(RtpPacket.parse(packet.serialize())) == fields(packet)
    assert parsed
