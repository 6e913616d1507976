"""Sent packets kept for retransmission (RFC 4588), within a budget.

A receiver that asks for more than the path carries must not make it worse: aiortc answers every NACK and
collapses on a link of 300 kbit/s. So what is sent again never exceeds a share of what is sent at first.
"""

from collections.abc import Iterable

from media.errors import PacketError
from media.rtp.packet import RtpPacket

HISTORY = 1.0  # seconds; libwebrtc keeps max(1 s, 3 RTT)
MAX_PACKETS = 2048
BUDGET_SHARE = 0.25  # of the media rate of the last second: repairs 20 % loss, feeds no storm
BUDGET_FLOOR_BYTES = 6000
# of a round trip; a whole one would refuse whoever asks again in time, and measures it a little shorter than we do
SAME_REQUEST = 0.5


class RetransmissionHistory:
    """Packets of one stream by sequence number."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[float, RtpPacket]] = {}
        self._resent: dict[int, float] = {}
        self._budget = float(BUDGET_FLOOR_BYTES)
        self.packets_retransmitted = 0
        self.bytes_retransmitted = 0
        self.refused = 0  # asked for, but over budget

    def add(self, packet: RtpPacket, now: float) -> None:
        size = len(packet.payload)
        self._sent.pop(packet.sequence_number, None)
        self._sent[packet.sequence_number] = (now, packet)
        self._budget = min(self._budget + BUDGET_SHARE * size, 4.0 * BUDGET_FLOOR_BYTES)
        while self._sent:
            number, (sent, _) = next(iter(self._sent.items()))
            if now - sent <= HISTORY and len(self._sent) <= MAX_PACKETS:
                break
            del self._sent[number]
            self._resent.pop(number, None)

    def clear(self) -> None:
        """Nothing of before is to be sent again."""
        self._sent.clear()
        self._resent.clear()

    def asked(self, numbers: Iterable[int], round_trip_time: float, now: float) -> list[RtpPacket]:
        """Those of the packets asked for that are worth sending again now."""
        out = []
        for number in numbers:
            if (entry := self._sent.get(number)) is None:
                continue
            if now - self._resent.get(number, -1e9) < SAME_REQUEST * round_trip_time:
                continue  # the last copy can still be on its way
            packet = entry[1]
            size = len(packet.payload) + 14
            if self._budget < size:
                self.refused += 1
                continue
            self._budget -= size
            self._resent[number] = now
            self.packets_retransmitted += 1
            self.bytes_retransmitted += size
            out.append(packet)
        return out


def to_rtx(
    packet: RtpPacket,
    *,
    payload_type: int,
    ssrc: int,
    sequence_number: int,
    extensions: dict[int, bytes] | None = None,
) -> RtpPacket:
    """The packet as a retransmission: original sequence number first, own SSRC and numbering.

    `extensions` come to those of the original: the MID, which every SSRC tells for itself (RFC 9143 section 9.2).
    Firefox takes no retransmission of an SSRC without one, although a=ssrc-group:FID names it.
    """
    return RtpPacket(
        payload_type,
        sequence_number,
        packet.timestamp,
        ssrc,
        packet.sequence_number.to_bytes(2, "big") + packet.payload,
        marker=packet.marker,
        extensions=packet.extensions | (extensions or {}),
    )


def from_rtx(packet: RtpPacket, *, payload_type: int, ssrc: int) -> RtpPacket:
    """The original packet inside a retransmission. Raises PacketError for one without an original."""
    if len(packet.payload) < 2:
        raise PacketError("retransmission without an original sequence number")
    return RtpPacket(
        payload_type,
        int.from_bytes(packet.payload[:2], "big"),
        packet.timestamp,
        ssrc,
        packet.payload[2:],
        marker=packet.marker,
        extensions=packet.extensions,
    )
