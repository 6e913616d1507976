"""An RTP packet (RFC 3550 section 5.1)."""

from struct import Struct

from media.errors import PacketError
from media.rtp.extensions import build_extensions, parse_extensions

_HEADER = Struct("!BBHII")
HEADER_SIZE = 12


class RtpPacket:
    """One packet. Mutable and slotted: it lives on the packet path."""

    __slots__ = (
        "csrcs",
        "extensions",
        "header_size",
        "marker",
        "payload",
        "payload_type",
        "sequence_number",
        "ssrc",
        "timestamp",
    )

    def __init__(
        self,
        payload_type: int,
        sequence_number: int,
        timestamp: int,
        ssrc: int,
        payload: bytes,
        *,
        marker: bool = False,
        extensions: dict[int, bytes] | None = None,
        csrcs: tuple[int, ...] = (),
        header_size: int = HEADER_SIZE,
    ) -> None:
        self.payload_type = payload_type
        self.sequence_number = sequence_number
        self.timestamp = timestamp
        self.ssrc = ssrc
        self.payload = payload
        self.marker = marker
        self.extensions = extensions or {}
        self.csrcs = csrcs
        self.header_size = header_size  # of a parsed packet: all that is not payload, padding included

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket":
        """Parse a decrypted packet. Raises PacketError for anything that is not one."""
        size = len(data)
        if size < HEADER_SIZE:
            raise PacketError(f"RTP packet of {size} bytes is shorter than its header")
        first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
        if first >> 6 != 2:
            raise PacketError(f"RTP version {first >> 6}")
        position = HEADER_SIZE
        csrcs: tuple[int, ...] = ()
        if count := first & 0x0F:
            position += 4 * count
            if position > size:
                raise PacketError("RTP contributing sources run over the end")
            csrcs = tuple(int.from_bytes(data[p : p + 4], "big") for p in range(HEADER_SIZE, position, 4))
        extensions: dict[int, bytes] = {}
        if first & 0x10:
            if position + 4 > size:
                raise PacketError("RTP header extension runs over the end")
            profile = data[position] << 8 | data[position + 1]
            length = 4 * (data[position + 2] << 8 | data[position + 3])
            position += 4
            if position + length > size:
                raise PacketError("RTP header extension runs over the end")
            extensions = parse_extensions(profile, data[position : position + length])
            position += length
        end = size
        if first & 0x20:
            padding = data[-1]
            if not 1 <= padding <= size - position:
                raise PacketError("RTP padding is longer than the payload")
            end -= padding
        return cls(
            second & 0x7F,
            sequence_number,
            timestamp,
            ssrc,
            data[position:end],
            marker=bool(second & 0x80),
            extensions=extensions,
            csrcs=csrcs,
            header_size=size - (end - position),
        )

    def serialize(self) -> bytes:
        """The packet as bytes, not yet encrypted."""
        block = build_extensions(self.extensions)
        first = 0x80 | (0x10 if block else 0) | len(self.csrcs)
        second = (0x80 if self.marker else 0) | self.payload_type
        head = _HEADER.pack(first, second, self.sequence_number, self.timestamp, self.ssrc)
        if self.csrcs:
            head += b"".join(c.to_bytes(4, "big") for c in self.csrcs)
        return head + block + self.payload
