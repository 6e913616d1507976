"""RTCP feedback: NACK and PLI (RFC 4585), FIR (RFC 5104), REMB (draft-alvestrand-rmcat-remb)."""

from collections.abc import Iterable, Sequence

from media.errors import PacketError
from media.rtp.rtcp import PSFB, RTPFB, Feedback

NACK_FORMAT = 1  # of RTPFB
PLI_FORMAT, FIR_FORMAT, APPLICATION_FORMAT = 1, 4, 15  # of PSFB
_REMB = b"REMB"
_MAX_NACK_ENTRIES = 253  # 4 bytes each, in a datagram of 1,024
_MANTISSA_BITS = 18


def nack(sender_ssrc: int, media_ssrc: int, sequence_numbers: Iterable[int]) -> Feedback:
    """A NACK of 16-bit sequence numbers in any order."""
    fci = b""
    entries = 0
    pending = sorted({n & 0xFFFF for n in sequence_numbers})
    while pending and entries < _MAX_NACK_ENTRIES:
        first, mask = pending[0], 0
        rest = []
        for number in pending[1:]:
            distance = (number - first) & 0xFFFF
            if 1 <= distance <= 16:
                mask |= 1 << (distance - 1)
            else:
                rest.append(number)
        fci += first.to_bytes(2, "big") + mask.to_bytes(2, "big")
        entries += 1
        pending = rest
    return Feedback(RTPFB, NACK_FORMAT, sender_ssrc, media_ssrc, fci)


def nacked(feedback: Feedback) -> list[int]:
    """The sequence numbers that a NACK asks for. Raises PacketError."""
    if len(feedback.fci) % 4:
        raise PacketError("NACK is not made of 32-bit entries")
    numbers = []
    for position in range(0, len(feedback.fci), 4):
        first = int.from_bytes(feedback.fci[position : position + 2], "big")
        mask = int.from_bytes(feedback.fci[position + 2 : position + 4], "big")
        numbers.append(first)
        numbers += [(first + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1]
    return numbers


def pli(sender_ssrc: int, media_ssrc: int) -> Feedback:
    """A picture loss indication: a key frame, please."""
    return Feedback(PSFB, PLI_FORMAT, sender_ssrc, media_ssrc)


def fir_sources(feedback: Feedback) -> list[int]:
    """The SSRCs that a FIR asks for a key frame. Raises PacketError."""
    if len(feedback.fci) % 8:
        raise PacketError("FIR is not made of 64-bit entries")
    return [int.from_bytes(feedback.fci[p : p + 4], "big") for p in range(0, len(feedback.fci), 8)]


def remb(sender_ssrc: int, bitrate_bps: int, ssrcs: Sequence[int]) -> Feedback:
    """The receiver's estimate of what the path carries for these SSRCs."""
    exponent = max(0, bitrate_bps.bit_length() - _MANTISSA_BITS)
    mantissa = bitrate_bps >> exponent
    head = _REMB + bytes((len(ssrcs),))
    head += (exponent << _MANTISSA_BITS | mantissa).to_bytes(3, "big")
    return Feedback(
        PSFB, APPLICATION_FORMAT, sender_ssrc, 0, head + b"".join(s.to_bytes(4, "big") for s in ssrcs)
    )


def remb_estimate(feedback: Feedback) -> tuple[int, list[int]] | None:
    """(bits per second, SSRCs) of a REMB; None for another application's message. Raises PacketError."""
    fci = feedback.fci
    if fci[:4] != _REMB:
        return None
    if len(fci) < 8 or len(fci) != 8 + 4 * fci[4]:
        raise PacketError("REMB is too short")
    packed = int.from_bytes(fci[5:8], "big")
    bitrate = (packed & ((1 << _MANTISSA_BITS) - 1)) << (packed >> _MANTISSA_BITS)
    return bitrate, [int.from_bytes(fci[p : p + 4], "big") for p in range(8, len(fci), 4)]
