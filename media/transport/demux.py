"""What a datagram is, by its first byte (RFC 7983), and RTP or RTCP by its second (RFC 5761)."""

from enum import Enum, auto


class Kind(Enum):
    STUN = auto()
    DTLS = auto()
    RTP = auto()
    RTCP = auto()
    UNKNOWN = auto()


def classify(data: bytes) -> Kind:
    """The kind of a datagram of any bytes."""
    if len(data) < 2:
        return Kind.UNKNOWN
    first = data[0]
    if 128 <= first <= 191:
        # RTCP types 192 to 223 look like RTP payload types 64 to 95 with the marker bit.
        return Kind.RTCP if 192 <= data[1] <= 223 else Kind.RTP
    if 20 <= first <= 63:
        return Kind.DTLS
    if first <= 3:
        return Kind.STUN
    return Kind.UNKNOWN
