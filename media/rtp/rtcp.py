"""RTCP packets (RFC 3550 section 6): SR, RR, SDES, BYE, the frames of feedback (RFC 4585) and of extended reports.

Packet types that are not known here are kept as bytes (Unknown), and one whose body does not hold is named
(Malformed), so that a compound is never refused for what it has besides. libwebrtc reads compounds so, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct

from media.errors import PacketError

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = 200, 201, 202, 203, 204, 205, 206, 207
CNAME = 1

_WORD = Struct("!I")
_SENDER_INFO = Struct("!IIIII")
_MAX_COUNT = 31


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says of one source (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: int  # of 256, since the last report
    packets_lost: int  # signed 24 bit, cumulative
    highest_sequence: int  # extended by cycles
    jitter: int  # in RTP clock units
    last_sr: int  # middle 32 bits of the NTP time of the last SR, 0 if none
    delay_since_last_sr: int  # in 1/65536 s


@dataclass(frozen=True, slots=True)
class SenderReport:
    ssrc: int
    ntp_time: int  # 64 bit
    rtp_time: int
    packet_count: int
    octet_count: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    ssrc: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES: chunks of (ssrc, items by type)."""

    chunks: tuple[tuple[int, tuple[tuple[int, bytes], ...]], ...]


@dataclass(frozen=True, slots=True)
class Bye:
    sources: tuple[int, ...]
    reason: bytes = b""


@dataclass(frozen=True, slots=True)
class Feedback:
    """RTPFB or PSFB; `fci` is the feedback control information, not looked into here."""

    packet_type: int
    format: int
    sender_ssrc: int
    media_ssrc: int
    fci: bytes = b""


@dataclass(frozen=True, slots=True)
class ExtendedReport:
    """XR (RFC 3611 section 2); its `blocks` are not looked into here: see extended_reports."""

    ssrc: int
    blocks: bytes = b""


@dataclass(frozen=True, slots=True)
class Unknown:
    packet_type: int
    count: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A packet of a compound that cannot be read, and why; those beside it stand."""

    packet_type: int
    defect: str


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Bye | Feedback | ExtendedReport | Unknown


def parse_compound(data: bytes) -> list[RtcpPacket | Malformed]:
    """The packets of a compound (or of a reduced-size one, RFC 5506); what follows a wrong length cannot be found.

    Raises:
        PacketError: none of them can be read.
    """
    packets: list[RtcpPacket | Malformed] = []
    position = 0
    while position < len(data):
        try:
            header, body, position = _frame_at(data, position)
        except PacketError as error:
            packets.append(Malformed(data[position + 1] if position + 1 < len(data) else 0, str(error)))
            break
        try:
            packets.append(_parse_one(header[1], header[0] & 0x1F, _without_padding(header[0], body)))
        except PacketError as error:
            packets.append(Malformed(header[1], str(error)))
    defects = [packet.defect for packet in packets if isinstance(packet, Malformed)]
    if len(defects) == len(packets):
        raise PacketError(defects[0] if defects else "empty RTCP packet")
    return packets


def _frame_at(data: bytes, position: int) -> tuple[bytes, bytes, int]:
    """-> (header, body, where the next packet begins). Raises PacketError."""
    body_begin = position + 4
    if body_begin > len(data):
        raise PacketError("RTCP packet is shorter than its header")
    header = data[position:body_begin]
    if header[0] >> 6 != 2:
        raise PacketError(f"RTCP version {header[0] >> 6}")
    end = body_begin + 4 * (header[2] << 8 | header[3])
    if end > len(data):
        raise PacketError("RTCP packet runs over the end")
    return header, data[body_begin:end], end


def _without_padding(first: int, body: bytes) -> bytes:
    if not first & 0x20:
        return body
    if not body or not 1 <= body[-1] <= len(body):
        raise PacketError("RTCP padding is longer than the packet")
    return body[: -body[-1]]


def _parse_one(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    if packet_type == SR:
        if len(body) < 24 + 24 * count:
            raise PacketError("RTCP sender report is too short")
        ntp_high, ntp_low, rtp_time, packets, octets = _SENDER_INFO.unpack_from(body, 4)
        ntp_time = ntp_high << 32 | ntp_low
        reports = _parse_reports(body, 24, count)
        return SenderReport(_WORD.unpack_from(body)[0], ntp_time, rtp_time, packets, octets, reports)
    if packet_type == RR:
        if len(body) < 4 + 24 * count:
            raise PacketError("RTCP receiver report is too short")
        return ReceiverReport(_WORD.unpack_from(body)[0], _parse_reports(body, 4, count))
    if packet_type == SDES:
        return _parse_sdes(body, count)
    if packet_type == BYE:
        if len(body) < 4 * count:
            raise PacketError("RTCP BYE is too short")
        rest = body[4 * count :]
        reason = rest[1 : 1 + rest[0]] if rest else b""
        return Bye(tuple(_WORD.unpack_from(body, 4 * i)[0] for i in range(count)), reason)
    if packet_type in (RTPFB, PSFB):
        if len(body) < 8:
            raise PacketError("RTCP feedback is too short")
        sender, media = _WORD.unpack_from(body)[0], _WORD.unpack_from(body, 4)[0]
        return Feedback(packet_type, count, sender, media, body[8:])
    if packet_type == XR:
        if len(body) < 4:
            raise PacketError("RTCP extended report is too short")
        return ExtendedReport(_WORD.unpack_from(body)[0], body[4:])
    return Unknown(packet_type, count, body)


def _parse_reports(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    reports = []
    for position in range(offset, offset + 24 * count, 24):
        ssrc, loss, highest, jitter, last_sr, delay = Struct("!IIIIII").unpack_from(body, position)
        lost = loss & 0xFFFFFF
        if lost & 0x800000:
            lost -= 1 << 24
        reports.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last_sr, delay))
    return tuple(reports)


def _parse_sdes(body: bytes, count: int) -> SourceDescription:
    """The chunks and items up to the first that does not hold: some senders leave the last null out."""
    chunks = []
    position, end = 0, len(body)
    for _ in range(count):
        if position + 4 > end:
            break
        ssrc = _WORD.unpack_from(body, position)[0]
        position += 4
        items = []
        while position + 1 < end and body[position] and position + 2 + body[position + 1] <= end:
            size = body[position + 1]
            items.append((body[position], body[position + 2 : position + 2 + size]))
            position += 2 + size
        chunks.append((ssrc, tuple(items)))
        if position >= end or body[position]:
            break
        position = (position // 4 + 1) * 4  # the next chunk starts at a word
    return SourceDescription(tuple(chunks))


def serialize_compound(packets: Sequence[RtcpPacket]) -> bytes:
    """Packets one after the other."""
    return b"".join(_serialize(packet) for packet in packets)


def _serialize(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport():
            ntp = packet.ntp_time
            info = _SENDER_INFO.pack(
                ntp >> 32, ntp & 0xFFFFFFFF, packet.rtp_time, packet.packet_count, packet.octet_count
            )
            body = _WORD.pack(packet.ssrc) + info + _reports(packet.reports)
            return _frame(SR, len(packet.reports), body)
        case ReceiverReport():
            return _frame(RR, len(packet.reports), _WORD.pack(packet.ssrc) + _reports(packet.reports))
        case SourceDescription():
            body = b""
            for ssrc, items in packet.chunks:
                chunk = _WORD.pack(ssrc) + b"".join(bytes((k, len(v))) + v for k, v in items) + b"\0"
                body += chunk + bytes(-len(chunk) % 4)
            return _frame(SDES, len(packet.chunks), body)
        case Bye():
            body = b"".join(_WORD.pack(s) for s in packet.sources)
            if packet.reason:
                text = bytes((len(packet.reason),)) + packet.reason
                body += text + bytes(-len(text) % 4)
            return _frame(BYE, len(packet.sources), body)
        case Feedback():
            body = _WORD.pack(packet.sender_ssrc) + _WORD.pack(packet.media_ssrc) + packet.fci
            return _frame(packet.packet_type, packet.format, body + bytes(-len(body) % 4))
        case ExtendedReport():
            return _frame(XR, 0, _WORD.pack(packet.ssrc) + packet.blocks)
        case Unknown():
            return _frame(packet.packet_type, packet.count, packet.body + bytes(-len(packet.body) % 4))


def _reports(reports: tuple[ReportBlock, ...]) -> bytes:
    out = b""
    for r in reports:
        lost = max(-0x800000, min(0x7FFFFF, r.packets_lost)) & 0xFFFFFF
        loss = r.fraction_lost << 24 | lost
        out += Struct("!IIIIII").pack(
            r.ssrc, loss, r.highest_sequence & 0xFFFFFFFF, r.jitter, r.last_sr, r.delay_since_last_sr
        )
    return out


def _frame(packet_type: int, count: int, body: bytes) -> bytes:
    if count > _MAX_COUNT:
        raise ValueError(f"an RTCP packet holds at most {_MAX_COUNT} items")
    return bytes((0x80 | count, packet_type)) + (len(body) // 4).to_bytes(2, "big") + body
