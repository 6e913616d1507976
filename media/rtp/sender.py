"""One outgoing RTP stream: numbering, counters, sender reports, and what the far end reports back."""

from random import Random

from media.rtp.packet import RtpPacket
from media.rtp.rtcp import ReportBlock, SenderReport

NTP_EPOCH_OFFSET = 2208988800  # seconds from 1900 to 1970 (RFC 5905)


def ntp_time(unix_time: float) -> int:
    """64-bit NTP time of a Unix time in seconds."""
    return int((unix_time + NTP_EPOCH_OFFSET) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def round_trip(unix_time: float, told: int, delay: int) -> float | None:
    """Seconds, from an answer that came at `unix_time` (RFC 3550 section 6.4.1, RFC 3611 section 4.5).

    `told`: the middle 32 bits of the NTP time that it answers, 0 if none; `delay`: since then, in 1/65536 s. None when
    it answers none, or what comes out is nonsense.
    """
    if not told:
        return None
    rtt = ((ntp_time(unix_time) >> 16) - told - delay) & 0xFFFFFFFF
    if rtt >= 1 << 31:  # clock granularity on a very short path, or nonsense
        rtt = 0
    return None if rtt > 60 << 16 else rtt / 65536


class RtpSender:
    """Numbers packets of one SSRC and keeps what its RTCP needs."""

    def __init__(self, *, ssrc: int, clock_rate: int, rng: Random) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        # Below 2^15, so that the rollover counter cannot be guessed wrong at the start (RFC 3711, 3.3.1).
        self._sequence = rng.randrange(1 << 15)
        self.timestamp_offset = rng.randrange(1 << 32)
        self.packets_sent = 0
        self.bytes_sent = 0  # payload
        self.header_bytes_sent = 0
        self._last_timestamp = self.timestamp_offset
        self._last_captured: float | None = None
        # as reported by the far end
        self.remote: ReportBlock | None = None
        self.round_trip_time: float | None = None
        self.total_round_trip_time = 0.0
        self.round_trip_time_measurements = 0

    def make(
        self,
        payload_type: int,
        media_time: int,
        payload: bytes,
        captured: float,
        *,
        marker: bool = False,
        extensions: dict[int, bytes] | None = None,
    ) -> RtpPacket:
        """The next packet, numbered.

        `media_time` is in clock units from 0; `captured` says when the first sample of it was taken.
        """
        timestamp = (self.timestamp_offset + media_time) & 0xFFFFFFFF
        self._last_timestamp, self._last_captured = timestamp, captured
        return RtpPacket(
            payload_type,
            self.next_number(),
            timestamp,
            self.ssrc,
            payload,
            marker=marker,
            extensions=extensions,
        )

    def next_number(self) -> int:
        """The next sequence number."""
        number = self._sequence
        self._sequence = (number + 1) & 0xFFFF
        return number

    def count(self, packet: RtpPacket, data: bytes) -> None:
        """`packet` is being sent as `data`."""
        self.packets_sent += 1
        self.bytes_sent += len(packet.payload)
        self.header_bytes_sent += len(data) - len(packet.payload)

    def sender_report(self, reports: tuple[ReportBlock, ...], now: float, unix_time: float) -> SenderReport:
        """SR whose RTP time is the capture clock at `now`: encoding delay stays out of lip sync."""
        elapsed = now - (self._last_captured if self._last_captured is not None else now)
        rtp_time = (self._last_timestamp + round(elapsed * self.clock_rate)) & 0xFFFFFFFF
        return SenderReport(
            self.ssrc,
            ntp_time(unix_time),
            rtp_time,
            self.packets_sent & 0xFFFFFFFF,
            self.bytes_sent & 0xFFFFFFFF,
            reports,
        )

    def receive_report(self, block: ReportBlock, unix_time: float) -> None:
        """A report block about this stream; gives the round-trip time (RFC 3550 section 6.4.1)."""
        self.remote = block
        rtt = round_trip(unix_time, block.last_sr, block.delay_since_last_sr)
        if rtt is None:
            return
        self.round_trip_time = rtt
        self.total_round_trip_time += rtt
        self.round_trip_time_measurements += 1
