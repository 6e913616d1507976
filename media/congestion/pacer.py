"""Spreads video packets over time, so that a frame does not fill a queue at once. Audio does not wait here.

Retransmissions go before new packets. What waits is bounded in time: beyond, the encoder has to skip pictures.
"""

import math
from collections import deque

from media.rtp.packet import RtpPacket

QUANTUM = 0.005  # seconds; a burst is what this long carries
FACTOR = 1.5  # of the target rate: a frame larger than the mean still leaves within its own time
# After a decrease, until what waits is gone: on a full path, what leaves here would only wait there.
DRAIN_FACTOR, DECREASE, DRAINED = 1.1, 0.95, 0.020
MIN_RATE_BPS = 30_000
MAX_PACKETS = 2048
OVERHEAD_BYTES = 28 + 16 + 12  # IP, UDP, SRTP tag, RTP


class Pacer:
    """Packets in by enqueue(), out by packets_to_send() when their time has come."""

    def __init__(self) -> None:
        self._urgent: deque[RtpPacket] = deque()
        self._normal: deque[RtpPacket] = deque()
        self._bytes = 0
        self._next = 0.0
        self._target_bps = 0
        self._room_bps = math.inf
        self._draining = False
        self.rate_bps = MIN_RATE_BPS
        self.dropped = 0

    def set_target(self, bitrate_bps: int, room_bps: float = math.inf) -> None:
        """Of the encoder, with headers. `room_bps`: what the path carries beside the voice, where that is known."""
        self._room_bps = room_bps
        if bitrate_bps < DECREASE * self._target_bps:
            self._draining = True
        self._target_bps = bitrate_bps
        self._set_rate()

    def _set_rate(self) -> None:
        if self._draining and self.queue_time <= DRAINED:
            self._draining = False
        least = DRAIN_FACTOR * self._target_bps
        most = least if self._draining else min(FACTOR * self._target_bps, self._room_bps)
        self.rate_bps = max(MIN_RATE_BPS, round(max(least, most)))

    def enqueue(self, packet: RtpPacket, *, urgent: bool = False) -> None:
        """`urgent`: a retransmission."""
        if len(self._urgent) + len(self._normal) >= MAX_PACKETS:
            self.dropped += 1
            return
        (self._urgent if urgent else self._normal).append(packet)
        self._bytes += len(packet.payload) + OVERHEAD_BYTES

    def clear(self) -> None:
        """Nothing that waits is to be sent."""
        self._urgent.clear()
        self._normal.clear()
        self._bytes = 0

    @property
    def queue_time(self) -> float:
        """How long what waits will take, seconds."""
        return self._bytes * 8 / self.rate_bps

    def get_timer(self) -> float | None:
        return self._next if self._urgent or self._normal else None

    def packets_to_send(self, now: float) -> list[RtpPacket]:
        out: list[RtpPacket] = []
        if now < self._next:
            return out
        # Time that passed without anything to send is not saved up.
        self._next = max(self._next, now - QUANTUM)
        while (self._urgent or self._normal) and self._next <= now:
            packet = self._urgent.popleft() if self._urgent else self._normal.popleft()
            size = len(packet.payload) + OVERHEAD_BYTES
            self._bytes -= size
            self._next += size * 8 / self.rate_bps
            out.append(packet)
        if self._draining:
            self._set_rate()
        return out
