"""Feedback against messages made by hand from the RFCs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import PacketError
from media.rtp import feedback
from media.rtp.rtcp import PSFB, RTPFB, Feedback, parse_compound, serialize_compound


def parsed(data: bytes) -> Feedback:
    (message,) = parse_compound(data)
    assert isinstance(message, Feedback)
    return message


def test_a_nack_made_by_hand() -> None:
    """RFC 4585 section 6.2.1: PID 100 with BLP bits 0 and 15 (101 and 116), PID 200 alone."""
    data = bytes.fromhex("81cd0004 00000001 00000002 00648001 00c80000".replace(" ", ""))
    assert feedback.nacked(parsed(data)) == [100, 101, 116, 200]
    assert serialize_compound([feedback.nack(1, 2, [200, 116, 100, 101, 100])]) == data


def test_a_pli_made_by_hand() -> None:
    """RFC 4585 section 6.3.1: no FCI."""
    assert serialize_compound([feedback.pli(1, 2)]) == bytes.fromhex("81ce00020000000100000002")


def test_a_fir_made_by_hand() -> None:
    """RFC 5104 section 4.3.1.1: SSRC and sequence number for each entry; the header's media SSRC is 0."""
    data = bytes.fromhex("84ce0006 00000001 00000000 00000002 05000000 00000003 06000000".replace(" ", ""))
    message = parsed(data)
    assert (message.packet_type, message.format) == (PSFB, feedback.FIR_FORMAT)
    assert feedback.fir_sources(message) == [2, 3]


def test_a_remb_made_by_hand() -> None:
    """draft-alvestrand-rmcat-remb-03: REMB, number of SSRCs, 6 bits of exponent, 18 of mantissa."""
    data = bytes.fromhex("8fce0005 00000001 00000000 52454d42 010bd090 00000002".replace(" ", ""))
    exponent, mantissa = 0x0B >> 2, (0x0B & 3) << 16 | 0xD090
    assert feedback.remb_estimate(parsed(data)) == (mantissa << exponent, [2])
    assert serialize_compound([feedback.remb(1, mantissa << exponent, [2])]) == data


@given(st.integers(0, 1 << 40), st.lists(st.integers(0, (1 << 32) - 1), max_size=5))
def test_a_remb_keeps_17_bits_of_the_rate(bitrate_bps: int, ssrcs: list[int]) -> None:
    found = feedback.remb_estimate(feedback.remb(1, bitrate_bps, ssrcs))
    assert found is not None and found[1] == ssrcs
    assert found[0] <= bitrate_bps <= found[0] + (bitrate_bps >> 17)


@given(st.sets(st.integers(0, 65535), max_size=250), st.integers(0, 65535))
def test_a_nack_asks_for_exactly_these(numbers: set[int], shift: int) -> None:
    shifted = {(n + shift) & 0xFFFF for n in numbers}
    assert set(feedback.nacked(feedback.nack(1, 2, shifted))) == shifted


def test_a_nack_of_too_much_fits_a_datagram_all_the_same() -> None:
    message = feedback.nack(1, 2, range(0, 65536, 20))
    assert len(serialize_compound([message])) <= 1100 and len(feedback.nacked(message)) == 253


@given(st.binary(max_size=40), st.booleans())
def test_any_contents_give_a_message_or_one_error(fci: bytes, remb: bool) -> None:
    message = Feedback(RTPFB, 1, 1, 2, b"REMB" + fci if remb else fci)
    for read in (feedback.nacked, feedback.fir_sources, feedback.remb_estimate):
        try:
            read(message)  # type: ignore[operator]
        except PacketError:
            pass


@pytest.mark.parametrize("fci", [b"REMB", b"REMB\x02\0\0\0\0\0\0\1", b"REMB\x00\0\0\0\0\0\0\1"])
def test_a_remb_of_the_wrong_length(fci: bytes) -> None:
    with pytest.raises(PacketError):
        feedback.remb_estimate(Feedback(PSFB, 15, 1, 0, fci))
    assert feedback.remb_estimate(Feedback(PSFB, 15, 1, 0, b"OTHR")) is None
