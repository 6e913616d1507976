"""RTP header extensions (RFC 8285): one-byte and two-byte forms."""

from media.errors import PacketError

ONE_BYTE_PROFILE = 0xBEDE
TWO_BYTE_PROFILE = 0x1000  # the low four bits are "appbits"

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"


def parse_extensions(profile: int, data: bytes) -> dict[int, bytes]:
    """Extension elements by id. `data` is the extension block without its 4-byte header.

    An unknown profile gives an empty dict. Raises PacketError when an element runs over the end.
    """
    found: dict[int, bytes] = {}
    position, end = 0, len(data)
    if profile == ONE_BYTE_PROFILE:
        while position < end:
            head = data[position]
            position += 1
            if head == 0:  # padding
                continue
            identifier, length = head >> 4, (head & 0x0F) + 1
            if identifier == 15:  # RFC 8285 section 4.2: stop here
                break
            if position + length > end:
                raise PacketError("header extension runs over the end")
            found[identifier] = data[position : position + length]
            position += length
    elif profile & 0xFFF0 == TWO_BYTE_PROFILE:
        while position < end:
            identifier = data[position]
            position += 1
            if identifier == 0:
                continue
            if position >= end:
                raise PacketError("header extension runs over the end")
            length = data[position]
            position += 1
            if position + length > end:
                raise PacketError("header extension runs over the end")
            found[identifier] = data[position : position + length]
            position += length
    return found


def build_extensions(elements: dict[int, bytes]) -> bytes:
    """The whole extension block with its header, padded to 32 bits; empty for no elements.

    The one-byte form is used when every element fits in it. Raises ValueError for what fits in neither.
    """
    if not elements:
        return b""
    one_byte = all(1 <= i <= 14 and 1 <= len(v) <= 16 for i, v in elements.items())
    body = bytearray()
    for identifier, value in elements.items():
        if one_byte:
            body.append(identifier << 4 | (len(value) - 1))
        else:
            if not 1 <= identifier <= 255 or len(value) > 255:
                raise ValueError(f"header extension {identifier} of {len(value)} bytes does not fit")
            body += bytes((identifier, len(value)))
        body += value
    body += bytes(-len(body) % 4)
    profile = ONE_BYTE_PROFILE if one_byte else TWO_BYTE_PROFILE
    return profile.to_bytes(2, "big") + (len(body) // 4).to_bytes(2, "big") + bytes(body)
