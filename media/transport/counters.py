"""What went over a transport (W3C RTCTransportStats)."""

from dataclasses import dataclass


@dataclass(slots=True)
class TransportCounters:
    """Datagrams of SRTP and SRTCP."""

    packets_sent: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    rtcp_bytes_sent: int = 0
    packets_refused: int = 0  # not authentic, replayed, or not what they claimed to be
