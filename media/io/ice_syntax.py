"""Text that ICE is told: a peer's candidate lines (RFC 8839) and the URLs of servers (RFC 7064, RFC 7065)."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from aioice.candidate import Candidate

from media.errors import SdpError

# RFC 7064, RFC 7065, and which of them aioice speaks.
_TRANSPORTS = {"stun": ("udp",), "turn": ("udp", "tcp"), "turns": ("tcp",)}


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server (RFC 7064, RFC 7065): `stun:host:port`, `turn:host:port?transport=tcp`, `turns:host`."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, server: Any) -> "IceServer":
        """Of any object with urls (one or several), username and credential."""
        urls = (server.urls,) if isinstance(server.urls, str) else tuple(server.urls)
        return cls(urls, server.username, server.credential)


def parse_candidate(line: str) -> Candidate | None:
    """A remote candidate; None for one that is not used (TCP, a name). Raises SdpError for what is none."""
    text = line.removeprefix("a=").removeprefix("candidate:")
    try:
        candidate = Candidate.from_sdp(text)
    except (ValueError, IndexError, AssertionError) as error:
        raise SdpError(f"not a candidate: {line[:80]!r} ({error})") from None
    if not 1 <= candidate.port <= 65535:
        raise SdpError(f"candidate port {candidate.port}")
    if candidate.transport.lower() != "udp" or candidate.component != 1:
        return None
    try:
        address = ipaddress.ip_address(candidate.host)
    except ValueError:
        return None  # names are not resolved: that would tell the resolver who calls whom
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        raise SdpError(f"candidate address {address}")
    return candidate


def parse_server_url(url: str) -> tuple[str, tuple[str, int], str] | None:
    """`turn:host:3478?transport=tcp` -> ("turn", ("host", 3478), "tcp"); None for what is not used.

    The last one is udp, tcp or tls (`turns:`), as webrtc-stats' relayProtocol.
    """
    scheme, _, rest = url.partition(":")
    address, _, query = rest.partition("?")
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, "5349" if scheme == "turns" else "3478"
    host = host.strip("[]")
    transport = query.removeprefix("transport=") if query else "tcp" if scheme == "turns" else "udp"
    if (
        transport not in _TRANSPORTS.get(scheme, ())
        or not host
        or not (port.isascii() and port.isdigit() and len(port) <= 5)
    ):
        return None
    if not 1 <= int(port) <= 65535:
        return None
    if scheme == "turns":
        scheme, transport = "turn", "tls"
    return scheme, (host, int(port)), transport
