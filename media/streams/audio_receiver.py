"""The receiving half of a voice stream: statistics, jitter buffer, decoder."""

from media.codecs.base import AudioDecoder, Samples
from media.jitterbuffer.jitter_buffer import JitterBuffer
from media.rtp.packet import RtpPacket
from media.rtp.rtcp import ReportBlock
from media.rtp.statistics import ReceiveStatistics

CLOCK_RATE = 48000
ENERGY_FULL_SCALE = 32768.0


class AudioReceiver:
    """Follows one SSRC at a time; another SSRC (a sender that restarted) takes over with its first packet."""

    def __init__(self, decoder: AudioDecoder, *, payload_types: frozenset[int]) -> None:
        self._decoder = decoder
        self._payload_types = payload_types
        self.jitter_buffer = JitterBuffer(decoder)
        self.statistics: ReceiveStatistics | None = None
        self.last_packet_received: float | None = None
        self.packets_discarded = 0  # of a payload type that was not negotiated
        self.audio_level = 0.0  # of the last 10 ms, 0 to 1
        self.total_audio_energy = 0.0
        self.ended = False

    def receive(self, packet: RtpPacket, now: float) -> None:
        """A decrypted packet of this stream."""
        if packet.payload_type not in self._payload_types:
            self.packets_discarded += 1
            return
        if self.statistics is None or self.statistics.ssrc != packet.ssrc:
            self.statistics = ReceiveStatistics(packet.ssrc, CLOCK_RATE)
        self.ended = False
        self.last_packet_received = now
        size = len(packet.payload)
        self.statistics.receive(packet.sequence_number, packet.timestamp, size, packet.header_size, now)
        if size:
            self.jitter_buffer.insert(packet.timestamp, packet.payload, now)

    def receive_sender_report(self, ssrc: int, ntp_time: int, now: float) -> None:
        if self.statistics is not None and self.statistics.ssrc == ssrc:
            self.statistics.receive_sender_report(ntp_time, now)

    def receive_bye(self, ssrc: int) -> None:
        if self.statistics is not None and self.statistics.ssrc == ssrc:
            self.ended = True

    def pull(self, now: float) -> Samples:
        """The next 480 samples of int16 mono at 48 kHz."""
        samples = self.jitter_buffer.get_audio(now)
        scaled = samples.astype("f4")
        mean_square = float(scaled @ scaled) / (len(samples) * ENERGY_FULL_SCALE**2)
        self.audio_level = mean_square**0.5
        self.total_audio_energy += mean_square * len(samples) / CLOCK_RATE
        return samples

    def report(self, now: float) -> ReportBlock | None:
        """The report block for RTCP; None before the first packet and after a BYE."""
        if self.statistics is None or self.ended:
            return None
        return self.statistics.report(now)

    def close(self) -> None:
        self._decoder.close()
