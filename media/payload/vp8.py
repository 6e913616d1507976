"""VP8 in RTP (RFC 7741)."""

from dataclasses import dataclass

from media.errors import PacketError

MAX_PAYLOAD_BYTES = 1150  # with every header below 1,200 bytes of UDP payload
PICTURE_ID_MODULO = 1 << 15


@dataclass(frozen=True, slots=True)
class Vp8Payload:
    """One packet's part of a frame."""

    data: bytes
    start: bool  # begins the frame: S bit and partition 0
    key_frame: bool  # only meaningful with `start`
    picture_id: int | None = None  # 7 or 15 bits
    tl0_picture_index: int | None = None
    temporal_layer: int | None = None
    layer_sync: bool = False


def parse(payload: bytes) -> Vp8Payload:
    """Raises PacketError for bytes that are no VP8 payload."""
    size = len(payload)
    if size < 2:
        raise PacketError("VP8 payload is too short")
    first, position = payload[0], 1
    picture_id = tl0_picture_index = temporal_layer = None
    layer_sync = False
    try:
        if first & 0x80:
            extension = payload[position]
            position += 1
            if extension & 0x80:
                picture_id = payload[position]
                position += 1
                if picture_id & 0x80:
                    picture_id = (picture_id & 0x7F) << 8 | payload[position]
                    position += 1
            if extension & 0x40:
                tl0_picture_index = payload[position]
                position += 1
            if extension & 0x30:
                if extension & 0x20:
                    temporal_layer = payload[position] >> 6
                    layer_sync = bool(payload[position] & 0x20)
                position += 1
        data = payload[position:]
    except IndexError:
        raise PacketError("VP8 payload descriptor runs over the end") from None
    if not data:
        raise PacketError("VP8 payload is empty")
    start = bool(first & 0x10) and first & 0x07 == 0
    # The first bit of the frame header is 0 in a key frame (RFC 6386 section 9.1).
    return Vp8Payload(
        data, start, start and not data[0] & 1, picture_id, tl0_picture_index, temporal_layer, layer_sync
    )


def packetize(frame: bytes, picture_id: int, max_bytes: int = MAX_PAYLOAD_BYTES) -> list[bytes]:
    """A frame's payloads, about equal in size, so that none is a small one that costs a header."""
    count = max(1, -(-len(frame) // max_bytes))
    head = bytes((0x80, 0x80 | picture_id >> 8 & 0x7F, picture_id & 0xFF))
    payloads = []
    for index in range(count):
        part = frame[len(frame) * index // count : len(frame) * (index + 1) // count]
        start = 0x10 if index == 0 else 0
        payloads.append(bytes((0x80 | start,)) + head + part)
    return payloads
