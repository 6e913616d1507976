"""What a datagram is (RFC 7983, RFC 5761)."""

from hypothesis import given
from hypothesis import strategies as st

from media.transport.demux import Kind, classify

# RFC 7983 section 7, figure 3; ZRTP (16-19) and TURN channels (64-79) are not spoken here.
TABLE = {
    **dict.fromkeys(range(4), Kind.STUN),
    **dict.fromkeys(range(20, 64), Kind.DTLS),
    **dict.fromkeys(range(128, 192), Kind.RTP),
}


def test_the_first_byte() -> None:
    for first in range(256):
        assert classify(bytes((first, 0))) is TABLE.get(first, Kind.UNKNOWN), first


def test_the_second_byte_tells_rtp_from_rtcp() -> None:
    for second in range(256):
        expected = Kind.RTCP if 192 <= second <= 223 else Kind.RTP
        assert classify(bytes((0x80, second))) is expected


@given(st.binary(max_size=4))
def test_any_bytes(data: bytes) -> None:
    assert isinstance(classify(data), Kind)
    if len(data) < 2:
        assert classify(data) is Kind.UNKNOWN
