"""The regular RTCP of one end (RFC 3550 section 6): when reports go out, what is in them, and what the peer's tell.

Between two of ours an extended report (RFC 3611) stands behind every second one or so: how the peer is heard and,
from an end that sends nothing and so gets no report blocks, a reference time that gives it the round trip.
"""

from random import Random
from typing import TYPE_CHECKING

from media.rtp import extended_reports
from media.rtp.extended_reports import DelaySinceLast, ReceiverReferenceTime, VoipMetrics
from media.rtp.rtcp import (
    CNAME,
    Bye,
    ExtendedReport,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
)
from media.rtp.sender import ntp_time, round_trip
from media.voip_meter import VoipMeter

if TYPE_CHECKING:
    from media.engine import MediaEngine

# Reports once a second cost a voice call 1.5 % of its rate, and arrivals as much again: below the 5 % of RFC 3550
# section 6.2. With video, whose rate follows them, and in the first seconds they come twice a second.
RTCP_INTERVAL, RTCP_INTERVAL_FAST, FAST_REPORTS = 1.0, 0.5, 6
FIRST_RTCP = 0.2  # the first pair of reports gives an early round-trip time
THIN_BPS = 60_000  # what the voice may take on a path that is plainly no faster than 64 kbit/s
DESCRIPTION_TURNS = 8  # reports in pieces, of which one has the CNAME (RFC 3550 section 6.3.9: not in each)
EXTENDED_INTERVAL = 2.0  # with the first report after that: 0.3 % of a voice call's rate


class RtcpReports:
    """Of the streams of `engine`; `rng` spreads the reports. Times are seconds, as `now` of the engine."""

    def __init__(self, engine: "MediaEngine", *, rng: Random, unix_time_offset: float) -> None:
        self._engine = engine
        self._rng = rng
        self._unix_time_offset = unix_time_offset
        self._next: float | None = None
        self._sent = 0
        self._meter = VoipMeter()
        self._next_extended = 0.0
        self._reference: tuple[int, int, float] | None = None  # the peer's: (its SSRC, time, when it came)
        self.remote_metrics: VoipMetrics | None = None  # how the peer hears us
        # as an end that sends nothing measures it
        self.round_trip_time: float | None = None
        self.total_round_trip_time = 0.0
        self.round_trip_time_measurements = 0

    def start(self, now: float) -> None:
        self._next = now + FIRST_RTCP

    def get_timer(self) -> float | None:
        """When the next report is due; None before start()."""
        return self._next

    def reports_to_send(self, now: float) -> tuple[RtcpPacket, ...]:
        """The compound that is due, or nothing."""
        if self._next is None or now < self._next:
            return ()
        self._sent += 1
        fast = self._engine.video_parameters is not None or self._sent < FAST_REPORTS
        interval = RTCP_INTERVAL_FAST if fast else RTCP_INTERVAL
        self._next = now + interval * self._rng.uniform(0.5, 1.5)  # not in step (RFC 3550 section 6.3.1)
        return self._piece(now) if self.in_pieces else self._reports(now)

    @property
    def in_pieces(self) -> bool:
        """On a thin path a long compound delays the voice behind it: 172 bytes take 29 ms of 48 kbit/s."""
        engine = self._engine
        if engine.parameters is None or not engine.parameters.reduced_size_rtcp:
            return False
        budget = None if engine.sender is None else engine.sender.budget_bps
        return budget is not None and budget < THIN_BPS and engine.video_parameters is None

    def goodbye(self, now: float) -> tuple[RtcpPacket, ...]:
        """The last compound."""
        ssrc = self._engine.ssrc
        return ReceiverReport(ssrc, self._report_blocks(now)), self._description(), Bye((ssrc,))

    def receive(self, packet: SenderReport | ReceiverReport | ExtendedReport, now: float) -> None:
        """A report of the peer's. Raises PacketError for an extended one that is malformed."""
        if isinstance(packet, ExtendedReport):
            self._receive_extended(packet, now)
            return
        engine = self._engine
        if isinstance(packet, SenderReport):
            self._receive_sender_report(packet, now)
        unix_time = now + self._unix_time_offset
        for block in packet.reports:
            if block.ssrc == engine.ssrc and engine.sender is not None:
                engine.sender.receive_report(block, unix_time)
            elif block.ssrc == engine.video_ssrc and engine.video_sender is not None:
                engine.video_sender.receive_report(block, now, unix_time)

    # -- what goes out

    def _piece(self, now: float) -> tuple[RtcpPacket, ...]:
        """What is due of a compound; each turn another part (RFC 5506 section 3.4)."""
        engine = self._engine
        sender = engine.sending[0]
        sends = sender is not None and sender.rtp.packets_sent > 0
        if self._speaks_extended and (extended := self._extended(now, sending=sends)) is not None:
            return (extended,)
        named = self._sent % DESCRIPTION_TURNS == 1
        blocks = () if named else self._report_blocks(now)
        report = (
            sender.rtp.sender_report(blocks, now, now + self._unix_time_offset)
            if sender is not None and sends
            else ReceiverReport(engine.ssrc, blocks)
        )
        return (report, self._description()) if named else (report,)

    def _reports(self, now: float) -> tuple[RtcpPacket, ...]:
        engine = self._engine
        unix_time = now + self._unix_time_offset
        blocks = self._report_blocks(now)
        senders = [s.rtp for s in engine.sending if s is not None and s.rtp.packets_sent]
        packets: list[RtcpPacket] = [
            rtp.sender_report(blocks if index == 0 else (), now, unix_time)
            for index, rtp in enumerate(senders)
        ]
        if not packets:
            packets.append(ReceiverReport(engine.ssrc, blocks))
        packets.append(self._description())
        if (video := engine.receiving[1]) is not None and (remb := video.remb(now)) is not None:
            packets.append(remb)
        if self._speaks_extended and (extended := self._extended(now, sending=bool(senders))) is not None:
            packets.append(extended)
        return tuple(packets)

    def _report_blocks(self, now: float) -> tuple[ReportBlock, ...]:
        blocks = [r.report(now) for r in self._engine.receiving if r is not None]
        return tuple(b for b in blocks if b is not None)

    def _description(self) -> SourceDescription:
        return SourceDescription(((self._engine.ssrc, ((CNAME, self._engine.cname.encode()),)),))

    @property
    def _speaks_extended(self) -> bool:
        parameters = self._engine.parameters
        return parameters is not None and parameters.extended_reports

    def _extended(self, now: float, *, sending: bool) -> ExtendedReport | None:
        receiver = self._engine.receiver
        if receiver is not None:
            self._meter.sample(receiver, self._engine.round_trip_time, now)
        if now < self._next_extended:
            return None
        blocks: list[extended_reports.Block] = []
        if not sending:
            blocks.append(ReceiverReferenceTime(ntp_time(now + self._unix_time_offset)))
        if self._reference is not None:
            ssrc, reference, at = self._reference
            blocks.append(DelaySinceLast(ssrc, reference, round(min(60.0, now - at) * 65536)))
            self._reference = None
        if receiver is not None and (metrics := self._meter.metrics(receiver)) is not None:
            blocks.append(metrics)
        if not blocks:
            return None
        self._next_extended = now + EXTENDED_INTERVAL
        return extended_reports.build(self._engine.ssrc, blocks)

    # -- what came in

    def _receive_sender_report(self, report: SenderReport, now: float) -> None:
        """Ties the stream's RTP time to the sender's clock."""
        ntp = report.ntp_time / (1 << 32)
        audio, video, synchronizer = (
            self._engine.receiver,
            self._engine.video_receiver,
            self._engine.synchronizer,
        )
        if audio is not None and audio.statistics is not None and audio.statistics.ssrc == report.ssrc:
            audio.receive_sender_report(report.ssrc, report.ntp_time, now)
            media_time = audio.jitter_buffer.media_time(report.rtp_time)
            synchronizer.audio_clock.receive(report.ssrc, ntp, media_time, now)
        elif video is not None and video.statistics is not None and video.statistics.ssrc == report.ssrc:
            video.statistics.receive_sender_report(report.ntp_time, now)
            synchronizer.video_clock.receive(report.ssrc, ntp, video.media_time(report.rtp_time), now)

    def _receive_extended(self, report: ExtendedReport, now: float) -> None:
        if not self._speaks_extended:
            return
        for block in extended_reports.parse(report):
            match block:
                case ReceiverReferenceTime():
                    self._reference = report.ssrc, block.ntp_time >> 16 & 0xFFFFFFFF, now
                case DelaySinceLast() if block.ssrc == self._engine.ssrc:
                    arrived = now + self._unix_time_offset
                    rtt = round_trip(arrived, block.last_reference, block.delay)
                    if rtt is not None:
                        self.round_trip_time = rtt
                        self.total_round_trip_time += rtt
                        self.round_trip_time_measurements += 1
                case VoipMetrics() if block.ssrc == self._engine.ssrc:
                    self.remote_metrics = block
                case _:
                    pass
