"""What media/ raises.

MediaError                  everything below
├── SourceError             a file or device cannot be read or written
├── SdpError                a session description cannot be parsed or applied (also a ValueError)
│   └── NegotiationError    it is well formed, but nothing in it fits
├── PacketError             bytes from the network are no packet of the kind (also a ValueError)
├── CodecError              libopus refused
└── ConnectionClosed        the API was used after close()
"""


class MediaError(Exception):
    """Base of everything that media/ raises on purpose."""


class SourceError(MediaError):
    """A file or device cannot be read or written."""


class SdpError(MediaError, ValueError):
    """A session description or candidate cannot be parsed or applied."""


class NegotiationError(SdpError):
    """The description is well formed, but there is nothing in common."""


class PacketError(MediaError, ValueError):
    """Bytes from the network are not a packet of the kind that they claim to be."""


class CodecError(MediaError):
    """The codec library refused a call."""


class ConnectionClosed(MediaError):
    """The connection was used after close()."""
