"""Text frames of a WebSocket server (RFC 6455 section 5.2): not masked, not fragmented, not compressed."""


def text_frame(text: str) -> bytes:
    """The frame, with its header."""
    data = text.encode()
    size = len(data)
    if size < 126:
        return bytes((0x81, size)) + data
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + data
    return b"\x81\x7f" + size.to_bytes(8, "big") + data
