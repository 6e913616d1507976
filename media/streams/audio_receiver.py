"""The receiving half of a voice stream: statistics, jitter buffer, decoder."""

from media.codecs.audio import create_decoder
from media.codecs.base import AudioDecoder, Samples
from media.errors import PacketError
from media.jitterbuffer.jitter_buffer import JitterBuffer
from media.negotiation import AudioParameters
from media.parameters import audio_clock_rate
from media.rtp import congestion_feedback, feedback, red
from media.rtp.packet import RtpPacket
from media.rtp.retransmission import from_rtx
from media.rtp.rtcp import Feedback, ReportBlock
from media.rtp.statistics import ReceiveStatistics
from media.streams.audio_repair import FRAME, AudioRepair
from media.streams.protection import TRANSPORT_BYTES

SAMPLE_RATE = 48000
ENERGY_FULL_SCALE = 32768.0
# Arrivals are told so often while packets are lost, and so often while none are, but soon after the first that is.
ARRIVALS_INTERVAL, ARRIVALS_INTERVAL_CLEAN, ARRIVALS_PROMPT = 0.3, 1.5, 0.1
ARRIVALS_INTERVAL_START, START = 0.2, 2.0  # and so often in the first seconds, when nothing is known
ARRIVALS_FIRST = 0.13  # after the first packet: some packets tell whether they form a queue
FEEDBACK_SHARE, REPORT_BITS = 0.05, 8 * 100  # of what comes; a report with all its headers
MIN_RATE_BPS = 40_000  # of a call that has just begun or is silent
WIDE_RATE_BPS = 48_000  # below, a long compound would hold up the voice behind it
STANDING_DELAY = 0.030  # seconds that all of the last packets are late: a queue, told soon as a loss is
CLEAN_AFTER = 5.0  # seconds without a loss
NEWEST = 10  # packets that a report tells of where none is missing: they show whether there is a queue
OVERLAP = 5  # packets that a report repeats, since reports are lost, too
REORDERING = 0.2  # seconds for which packets of the source before may still be on their way


class AudioReceiver:
    """Follows one SSRC at a time; another SSRC (a sender that restarted) takes over with its first packet.

    The sender may change to another of the negotiated codecs at any packet (RFC 3264 section 7).
    """

    def __init__(self, decoder: AudioDecoder, parameters: AudioParameters, *, ssrc: int) -> None:
        self._decoder = decoder
        self._parameters = parameters
        self._our_ssrc = ssrc  # the sender of our feedback
        self._codecs: dict[int, str] = {}  # by payload type
        self.configure(parameters)
        self.codec = parameters.codec  # what the decoder is for
        self.jitter_buffer = JitterBuffer(decoder, clock_rate=parameters.clock_rate)
        self.statistics: ReceiveStatistics | None = None
        self._arrivals = congestion_feedback.ArrivalLog(0)
        self._repair = AudioRepair()
        self._next_arrivals = 0.0
        self._last_arrivals = 0.0
        self._lost_seen = 0
        self._last_loss = -1e9
        self._rate_bps = 0.0
        self._bits, self._told = 0, 0.0  # received since the arrivals were told
        self._queue = False  # the last packets were all late
        self._begun = 0.0  # when the first packet of this source came
        self._left: int | None = None  # the source before
        self.last_packet_received: float | None = None
        self.packets_discarded = 0  # of a payload type that was not negotiated, or broken
        self.retransmitted_packets_received = 0
        self.nack_count = 0
        self.audio_level = 0.0  # of the last 10 ms, 0 to 1
        self.total_audio_energy = 0.0
        self.ended = False

    def configure(self, parameters: AudioParameters) -> None:
        """What a later pair of descriptions settles. Packets by the one before may still be on their way."""
        self._parameters = parameters
        self._codecs |= dict.fromkeys(parameters.receive_payload_types, parameters.codec)
        self._codecs |= dict(parameters.other_codecs)

    def receive(self, packet: RtpPacket, now: float, *, arrived: float | None = None) -> None:
        """A decrypted packet of this stream, or a retransmission.

        `arrived`: when it came, if it was not taken at once. What is told the peer counts from then; for the jitter
        buffer it was not there before `now`.
        """
        arrived = now if arrived is None else arrived
        parameters = self._parameters
        if packet.payload_type == parameters.rtx_payload_type:
            self._receive_again(packet, now)
            return
        is_red = packet.payload_type == parameters.red_payload_type
        codec = self._codecs.get(packet.payload_type, "")
        if not is_red and not codec:
            self.packets_discarded += 1
            return
        if self.statistics is None or self.statistics.ssrc != packet.ssrc:
            if packet.ssrc == self._left and now - self._begun < REORDERING:
                self.packets_discarded += 1
                return
            self._change_source(packet.ssrc, now)
        assert self.statistics is not None
        self.ended = False
        self.last_packet_received = arrived
        size = len(packet.payload)
        new = self.statistics.receive(
            packet.sequence_number, packet.timestamp, size, packet.header_size, arrived
        )
        self._arrivals.receive(packet.sequence_number, arrived)
        self._bits += 8 * (size + packet.header_size + TRANSPORT_BYTES)
        queue = self.jitter_buffer.delay_manager.standing > STANDING_DELAY
        lost = self.statistics.packets_lost > self._lost_seen and now - self._last_loss > CLEAN_AFTER
        if queue and not self._queue:
            self._next_arrivals = now
        elif lost:
            self._next_arrivals = min(self._next_arrivals, now + ARRIVALS_PROMPT)
        self._queue = self._repair.queued = queue
        silent = self._decoder.is_silence(packet.payload) and not is_red
        self._repair.receive(packet.sequence_number, arrived, silent=silent)
        self._repair.redundant = is_red
        if is_red:
            self._receive_red(packet, now, duplicate=not new)
        elif size:
            self._use_codec(codec)
            self._repair.frame = self._decoder.duration(packet.payload) / SAMPLE_RATE or FRAME
            self.jitter_buffer.delay_manager.expect_copies(0.0)
            self.jitter_buffer.insert(packet.timestamp, packet.payload, now, duplicate=not new)

    def _change_source(self, ssrc: int, now: float) -> None:
        if self.statistics is not None:
            self._left = self.statistics.ssrc
            self.jitter_buffer.change_source()
        self.statistics = ReceiveStatistics(ssrc, audio_clock_rate(self.codec))
        self._arrivals = congestion_feedback.ArrivalLog(ssrc)
        self._repair = AudioRepair()
        self._begun, self._lost_seen = now, 0
        self._next_arrivals = now + ARRIVALS_FIRST

    def _use_codec(self, codec: str) -> None:
        if not codec or codec == self.codec:
            return
        assert self.statistics is not None
        self._decoder.close()
        self._decoder, self.codec = create_decoder(codec), codec
        self.jitter_buffer.change_source(self._decoder, clock_rate=audio_clock_rate(codec))
        self.statistics.clock_rate = audio_clock_rate(codec)

    def _receive_red(self, packet: RtpPacket, now: float, *, duplicate: bool) -> None:
        try:
            blocks = red.parse(packet.payload)
        except PacketError:
            self.packets_discarded += 1
            return
        self._use_codec(self._codecs.get(blocks[-1][0], ""))
        farthest = max(offset for _, offset, _ in blocks)
        self.jitter_buffer.delay_manager.expect_copies(farthest / self._parameters.clock_rate)
        for payload_type, offset, payload in blocks:
            if self._codecs.get(payload_type) != self.codec or not payload:
                continue
            timestamp = (packet.timestamp - offset) & 0xFFFFFFFF
            if offset:
                self.jitter_buffer.insert_copy(timestamp, payload, now)
            else:
                self.jitter_buffer.insert(timestamp, payload, now, duplicate=duplicate)

    def _receive_again(self, packet: RtpPacket, now: float) -> None:
        if self.statistics is None:
            return
        try:
            original = from_rtx(
                packet, payload_type=self._parameters.send_payload_type, ssrc=self.statistics.ssrc
            )
        except PacketError:
            self.packets_discarded += 1
            return
        self.retransmitted_packets_received += 1
        self._repair.receive(original.sequence_number, now)
        if original.payload:
            self.jitter_buffer.insert_copy(original.timestamp, original.payload, now)

    # -- feedback

    def set_round_trip_time(self, seconds: float) -> None:
        self._repair.round_trip_time = seconds

    def get_timer(self) -> float | None:
        times = []
        if self._parameters.nack and (due := self._repair.get_timer()) is not None:
            times.append(due)
        if self._parameters.arrival_feedback and self.statistics is not None and not self.ended:
            times.append(self._next_arrivals)
        return min(times, default=None)

    def feedback_to_send(self, now: float, *, with_report: bool = False) -> list[Feedback]:
        """NACK and arrivals that are due; `with_report`: those that are worth it where a report goes anyway."""
        if self.statistics is None or self.ended:
            return []
        out = []
        self._repair.jitter = self.statistics.jitter
        self._repair.playout_delay = self.jitter_buffer.target_delay
        if self._parameters.nack and (numbers := self._repair.requests_to_send(now)):
            self.nack_count += 1
            out.append(feedback.nack(self._our_ssrc, self.statistics.ssrc, numbers))
        early = with_report and self._rate_bps > WIDE_RATE_BPS
        due = now >= (self._last_arrivals + ARRIVALS_INTERVAL / 2 if early else self._next_arrivals)
        if self._parameters.arrival_feedback and due:
            self._last_arrivals, self._next_arrivals = now, now + self._arrivals_interval(now)
            if (report := self._arrivals.report(now, overlap=OVERLAP, newest=NEWEST)) is not None:
                out.append(congestion_feedback.build(self._our_ssrc, [report], now))
        return out

    def _arrivals_interval(self, now: float) -> float:
        assert self.statistics is not None
        if self.statistics.packets_lost > self._lost_seen:
            self._last_loss = now
        self._lost_seen = self.statistics.packets_lost
        clean = not self._queue and now - self._last_loss > CLEAN_AFTER
        interval = ARRIVALS_INTERVAL_CLEAN if clean else ARRIVALS_INTERVAL
        self._rate_bps = self._bits / max(FRAME, now - self._told)
        self._bits, self._told = 0, now
        if now - self._begun < START and not self._queue:
            return ARRIVALS_INTERVAL_START
        # Not more than its share of a thin path.
        return max(interval, REPORT_BITS / (FEEDBACK_SHARE * max(MIN_RATE_BPS, self._rate_bps)))

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
        mean_square = float(scaled.dot(scaled)) / (len(samples) * ENERGY_FULL_SCALE**2)
        self.audio_level = mean_square**0.5
        self.total_audio_energy += mean_square * len(samples) / SAMPLE_RATE
        return samples

    def report(self, now: float) -> ReportBlock | None:
        """The report block for RTCP; None before the first packet and after a BYE."""
        if self.statistics is None or self.ended:
            return None
        return self.statistics.report(now)

    def close(self) -> None:
        self._decoder.close()
