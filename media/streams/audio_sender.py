"""The sending half of a voice stream: encode, number, adapt to the loss that the far end reports."""

from random import Random

from media.codecs.base import AudioEncoder, Samples
from media.rtp.rtcp import ReportBlock
from media.rtp.sender import RtpSender

CLOCK_RATE = 48000
MID_PACKETS = (
    100  # the MID travels in the first 2 s; by then RTCP has told that the SSRC is known (RFC 8843, 9.2)
)
LOSS_ATTACK = 0.6  # weight of a report that says more loss than believed
LOSS_RELEASE = 0.05  # and of one that says less: with two reports a second the memory is 10 s
FEC_ON_LOSS = 0.005
FEC_OFF_LOSS = 0.002
MAX_EXPECTED_LOSS_PERCENT = 25  # beyond, libopus lowers the primary's quality without a better copy


class AudioSender:
    """`rng` gives SSRC offsets; `encoder` is owned and closed by the stream."""

    def __init__(
        self,
        encoder: AudioEncoder,
        *,
        ssrc: int,
        payload_type: int,
        mid: str,
        mid_extension: int | None,
        fec: bool,
        rng: Random,
    ) -> None:
        self._encoder = encoder
        self._payload_type = payload_type
        self._extensions = {} if mid_extension is None else {mid_extension: mid.encode()}
        self._fec = fec
        self._media_time = 0
        self._loss = 0.0
        self._fec_on = False
        self.rtp = RtpSender(ssrc=ssrc, clock_rate=CLOCK_RATE, rng=rng)
        self.total_samples_captured = 0

    def push(self, samples: Samples, captured: float) -> bytes:
        """One frame of int16 mono at 48 kHz, whose first sample was taken at `captured` -> an RTP packet."""
        payload = self._encoder.encode(samples)
        first = self.rtp.packets_sent == 0
        extensions = self._extensions if self.rtp.packets_sent < MID_PACKETS else None
        packet = self.rtp.packet(
            self._payload_type, self._media_time, payload, captured, marker=first, extensions=extensions
        )
        self._media_time += len(samples)
        self.total_samples_captured += len(samples)
        return packet

    def receive_report(self, block: ReportBlock, unix_time: float) -> None:
        """What the far end says it lost; switches in-band FEC."""
        self.rtp.receive_report(block, unix_time)
        lost = block.fraction_lost / 256
        self._loss += (LOSS_ATTACK if lost > self._loss else LOSS_RELEASE) * (lost - self._loss)
        if not self._fec:
            return
        self._fec_on = self._loss > (FEC_OFF_LOSS if self._fec_on else FEC_ON_LOSS)
        percent = min(MAX_EXPECTED_LOSS_PERCENT, round(100 * self._loss) or 1) if self._fec_on else 0
        self._encoder.set_expected_loss(percent)

    @property
    def bitrate_bps(self) -> int:
        return self._encoder.bitrate_bps

    @property
    def reported_loss(self) -> float:
        """Smoothed share of packets that the far end misses."""
        return self._loss

    def close(self) -> None:
        self._encoder.close()
