"""H.264 in RTP (RFC 6184)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.payload.h264 import FU_A, MAX_PAYLOAD_BYTES, STAP_A, START_CODE, packetize, parse, split_annex_b

# A NAL unit: a type of 1 to 23, and bytes without start codes that do not end in 0.
UNITS = st.lists(
    st.builds(
        lambda head, fill, size: bytes((head,)) + bytes((fill,)) * size,
        st.integers(1, 23).map(lambda kind: 0x60 | kind),
        st.integers(1, 255),
        st.integers(1, 3000),
    ),
    min_size=1,
    max_size=6,
)


@given(UNITS)
def test_an_access_unit_comes_back_from_its_payloads(units: list[bytes]) -> None:
    payloads = packetize(b"".join(START_CODE + unit for unit in units))
    assert all(len(p) <= MAX_PAYLOAD_BYTES for p in payloads)
    assert split_annex_b(b"".join(parse(p).data for p in payloads)) == units


@given(st.binary(max_size=60))
def test_any_bytes_give_a_payload_or_one_error(data: bytes) -> None:
    try:
        parsed = parse(data)
    except PacketError:
        return
    assert parsed.data and (parsed.data.startswith(START_CODE) or not parsed.start)


@given(st.binary(max_size=200))
def test_any_access_unit_can_be_cut(data: bytes) -> None:
    for payload in packetize(START_CODE + data):
        try:
            parse(payload)
        except PacketError:
            assert payload[0] & 0x1F in (0, *range(24, 32)) or len(payload) < 2  # no NAL unit of an encoder


def test_small_units_share_a_packet_and_large_ones_are_cut() -> None:
    sps, pps, idr = b"\x67sps", b"\x68pps", b"\x65" + bytes([7]) * 3000
    payloads = packetize(b"".join(START_CODE + unit for unit in (sps, pps, idr)))
    assert payloads[0] == b"\x78\x00\x04\x67sps\x00\x04\x68pps"  # STAP-A with the highest NRI (section 5.7.1)
    assert [p[0] & 0x1F for p in payloads] == [STAP_A, FU_A, FU_A, FU_A]
    assert [p[1] for p in payloads[1:]] == [0x85, 0x05, 0x45]  # start, middle, end of type 5 (section 5.8)
    parsed = [parse(p) for p in payloads]
    assert parsed[0].parameter_sets and not any(p.parameter_sets for p in parsed[1:])
    assert [p.start for p in parsed] == [True, True, False, False]
    assert parsed[1].idr


def test_three_and_four_byte_start_codes_and_zeros_between() -> None:
    assert split_annex_b(b"\0\0\1\x67a\0\0\0\1\x68b\0\0\0\0\0\1\x65c\0") == [b"\x67a", b"\x68b", b"\x65c"]
    assert split_annex_b(b"") == [] == packetize(b"no start code")


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x65", b"\x60\0", b"\x7d\x85\0", b"\x78\x00", b"\x78\x00\x05\x67ab", b"\x7c\x85", b"\x79\0\0\0"],
)  # fmt: skip
def test_what_is_no_payload_of_mode_1(payload: bytes) -> None:
    with pytest.raises(PacketError):
        parse(payload)
