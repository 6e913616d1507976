"""Ringline's calling engine: WebRTC on the wire, so that a browser, aiortc or libwebrtc is a possible peer."""

from media.errors import (
    CodecError,
    ConnectionClosed,
    MediaError,
    NegotiationError,
    PacketError,
    SdpError,
    SourceError,
)
from media.io.ice import IceServer
from media.io.peer_connection import PeerConnection

__all__ = [
    "CodecError",
    "ConnectionClosed",
    "IceServer",
    "MediaError",
    "NegotiationError",
    "PacketError",
    "PeerConnection",
    "SdpError",
    "SourceError",
]
