"""Redundant audio (RFC 2198): older frames travel along in the packet of a newer one."""

from collections.abc import Sequence

from media.errors import PacketError

MAX_OFFSET = (1 << 14) - 1  # timestamp units: 341 ms at 48 kHz
MAX_BLOCK_BYTES = (1 << 10) - 1

# (payload type, timestamp offset back from the packet's, payload)
Block = tuple[int, int, bytes]


def parse(payload: bytes) -> list[Block]:
    """The blocks, oldest first as they are sent; the last is the primary with offset 0. Raises PacketError."""
    headers: list[tuple[int, int, int]] = []
    position = 0
    while True:
        if position >= len(payload):
            raise PacketError("RED header runs over the end")
        first = payload[position]
        if not first & 0x80:
            position += 1
            break
        if position + 4 > len(payload):
            raise PacketError("RED header runs over the end")
        word = int.from_bytes(payload[position : position + 4], "big")
        headers.append((first & 0x7F, word >> 10 & 0x3FFF, word & 0x3FF))
        position += 4
    blocks: list[Block] = []
    for payload_type, offset, length in headers:
        if position + length > len(payload):
            raise PacketError("RED block runs over the end")
        blocks.append((payload_type, offset, payload[position : position + length]))
        position += length
    if position >= len(payload):
        raise PacketError("RED packet without a primary block")
    blocks.append((first & 0x7F, 0, payload[position:]))
    return blocks


def build(redundant: Sequence[Block], primary_type: int, primary: bytes) -> bytes:
    """`redundant` oldest first. Raises ValueError for a block that does not fit into its header."""
    head = b""
    for payload_type, offset, block in redundant:
        if not 0 < offset <= MAX_OFFSET or len(block) > MAX_BLOCK_BYTES:
            raise ValueError(f"a RED block of {len(block)} bytes at offset {offset}")
        head += (1 << 31 | payload_type << 24 | offset << 10 | len(block)).to_bytes(4, "big")
    return head + bytes((primary_type,)) + b"".join(b for _, _, b in redundant) + primary
