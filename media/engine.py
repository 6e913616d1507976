"""MediaEngine: the streams of one call behind one transport. Sans-IO; contains no algorithm.

    receive_packet(data, now)    an SRTP or SRTCP datagram of the peer; `arrived`, if it had to wait
    packets_to_send(now)         SRTP and SRTCP datagrams for the peer
    get_timer(), handle_timer()  RTCP
    next_event()                 what the owner may want to know
    push_audio(samples, now)     20 ms from the microphone
    skip_audio(samples)          so much of it is left out
    pull_audio(now)              10 ms for the speaker
    push_video(frame, now)       a picture from the camera
    pictures_to_show(now)        pictures for the screen
    next_encode_request(), receive_encoded(), next_decode_request(), receive_decoded()
                                 the video codecs' work, done by whoever drives the engine

After any input, drain packets_to_send(). Before set_keys() nothing is sent, and audio that is pushed is dropped.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from media.codecs.audio import create_decoder, create_encoder
from media.codecs.base import Samples
from media.errors import PacketError
from media.negotiation import AudioParameters, VideoParameters
from media.rtcp_reports import RtcpReports
from media.rtp import congestion_feedback, feedback
from media.rtp.congestion_feedback import CCFB_FORMAT, ArrivalReport
from media.rtp.packet import RtpPacket
from media.rtp.rtcp import (
    PSFB,
    RTPFB,
    Bye,
    ExtendedReport,
    Feedback,
    Malformed,
    ReceiverReport,
    RtcpPacket,
    SenderReport,
    parse_compound,
    serialize_compound,
)
from media.streams.audio_receiver import AudioReceiver
from media.streams.audio_sender import AudioSender
from media.streams.synchronizer import Synchronizer
from media.streams.video_receiver import DecodeRequest, VideoReceiver
from media.streams.video_sender import EncodeRequest, VideoSender
from media.transport.counters import TransportCounters
from media.transport.demux import Kind, classify
from media.transport.srtp import SrtpKeys, SrtpSession
from media.video_frame import VideoFrame
from media.webrtc_stats import Stats, collect

TICK_SAMPLES = 480
MAX_EVENTS = 64
UDP_BYTES = 28  # and IPv4


@dataclass(frozen=True, slots=True)
class FirstAudio:
    """The first frame of the peer was decoded at `at`."""

    at: float


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The peer said BYE for its stream."""


EngineEvent = FirstAudio | PeerLeft


class MediaEngine:
    """`rng` gives every identifier; `unix_time_offset` turns `now` into Unix time for sender reports."""

    def __init__(self, *, rng: Random, unix_time_offset: float = 0.0) -> None:
        self._rng = rng
        self._unix_time_offset = unix_time_offset
        self.ssrc = rng.randrange(1, 1 << 32)
        self.cname = f"{rng.getrandbits(64):016x}"
        self._srtp: SrtpSession | None = None
        self.sender: AudioSender | None = None
        self.receiver: AudioReceiver | None = None
        self.parameters: AudioParameters | None = None
        self.video_ssrc = rng.randrange(1, 1 << 32)
        self.rtx_ssrc = rng.randrange(1, 1 << 32)
        self.audio_rtx_ssrc = rng.randrange(1, 1 << 32)
        self.video_parameters: VideoParameters | None = None
        self.video_sender: VideoSender | None = None
        self.video_receiver: VideoReceiver | None = None
        self.synchronizer = Synchronizer()
        self._path_rtt: float | None = None
        self.transport = TransportCounters()
        self._outgoing: deque[bytes] = deque()
        self._events: deque[EngineEvent] = deque(maxlen=MAX_EVENTS)
        self.reports = RtcpReports(self, rng=rng, unix_time_offset=unix_time_offset)
        self._heard = False
        self._closed = False

    # -- what was negotiated

    def configure_audio(self, parameters: AudioParameters) -> None:
        """Set the stream up, or change what a later pair of descriptions changes: codec, numbers, direction."""
        self.parameters = parameters
        if self.sender is not None and self.receiver is not None:
            self.sender.configure(parameters)
            self.receiver.configure(parameters)
            return
        encoder, rtx = create_encoder(parameters), self.audio_rtx_ssrc
        self.sender = AudioSender(encoder, parameters, ssrc=self.ssrc, rtx_ssrc=rtx, rng=self._rng)
        self.receiver = AudioReceiver(create_decoder(parameters.codec), parameters, ssrc=self.ssrc)

    def configure_video(self, parameters: VideoParameters) -> None:
        """As configure_audio, for video."""
        self.video_parameters = parameters
        if self.video_sender is not None and self.video_receiver is not None:
            self.video_sender.configure(parameters)
            self.video_receiver.configure(parameters)
            return
        self.video_sender = VideoSender(
            parameters,
            ssrc=self.video_ssrc,
            rtx_ssrc=self.rtx_ssrc,
            rng=self._rng,
            beside_voice=self.sender is not None and self.sender.hears_arrivals,
        )
        self.video_receiver = VideoReceiver(parameters, ssrc=self.video_ssrc)

    def set_path_round_trip_time(self, seconds: float) -> None:
        """What ICE measured: until reports tell, and for an end that sends nothing."""
        if seconds == self._path_rtt:
            return
        self._path_rtt = seconds
        if self.sender is not None:
            self.sender.set_path_round_trip_time(seconds)

    def set_keys(self, keys: SrtpKeys, now: float) -> None:
        """Media may flow from now on."""
        self._srtp = SrtpSession(keys)
        self.reports.start(now)

    @property
    def round_trip_time(self) -> float | None:
        """Seconds, as it was measured last: by reports about what we send, by extended ones, by ICE."""
        for sender in (self.video_sender, self.sender):
            if sender is not None and sender.rtp.round_trip_time is not None:
                return sender.rtp.round_trip_time
        measured = self.reports.round_trip_time
        return self._path_rtt if measured is None else measured

    @property
    def srtp_profile(self) -> str | None:
        return None if self._srtp is None else self._srtp.profile.name

    # -- the network

    def receive_packet(self, data: bytes, now: float, *, arrived: float | None = None) -> None:
        """A datagram of any bytes; what is not an authentic packet is counted and dropped.

        `arrived`: when the machine had it, if that is before `now`: our own slowness is none of the network's.
        """
        arrived = now if arrived is None else arrived
        if self._srtp is None or self._closed:
            return
        kind = classify(data)
        try:
            if kind is Kind.RTP:
                packet = RtpPacket.parse(self._srtp.unprotect(data))
                self._count_received(data)
                self._receive_rtp(packet, now, arrived)
            elif kind is Kind.RTCP:
                packets = parse_compound(self._srtp.unprotect_rtcp(data))
                self._count_received(data)
                for each in packets:
                    self._receive_rtcp(each, now, arrived)
        except PacketError:
            self.transport.packets_refused += 1

    def packets_to_send(self, now: float, *, feedback: bool = True) -> list[bytes]:
        """Datagrams that are due; `feedback`: also about what has not come."""
        if self._srtp is not None and not self._closed:
            self._collect(now, feedback)
        out = list(self._outgoing)
        self._outgoing.clear()
        return out

    def get_timer(self) -> float | None:
        """When handle_timer() wants to be called."""
        if self._closed or (first := self.reports.get_timer()) is None:
            return None
        for stream in (self.video_sender, *self.receiving):
            if stream is not None and (due := stream.get_timer()) is not None and due < first:
                first = due
        return first

    def handle_timer(self, now: float) -> None:
        if self._srtp is None or self._closed:
            return
        if self.video_receiver is not None:
            self.video_receiver.handle_timer(now)
            if self.receiver is not None:
                self.synchronizer.update(self.receiver.jitter_buffer, self.video_receiver.display, now)
        if reports := self.reports.reports_to_send(now):
            if not self.reports.in_pieces:
                reports = (*reports, *self._feedback(now, with_report=True))
            self._send_rtcp(reports, now)

    def next_event(self) -> EngineEvent | None:
        return self._events.popleft() if self._events else None

    @property
    def sending(self) -> tuple[AudioSender | None, VideoSender | None]:
        """The streams that are sent, by what was agreed on last."""
        audio, video = self.parameters, self.video_parameters
        return (
            self.sender if audio is not None and audio.send else None,
            self.video_sender if video is not None and video.send else None,
        )

    @property
    def receiving(self) -> tuple[AudioReceiver | None, VideoReceiver | None]:
        """The streams that are received, by what was agreed on last."""
        audio, video = self.parameters, self.video_parameters
        return (
            self.receiver if audio is not None and audio.receive else None,
            self.video_receiver if video is not None and video.receive else None,
        )

    # -- sound

    def push_audio(self, samples: Samples, now: float) -> None:
        """20 ms of int16 mono at 48 kHz, the last sample of which was taken at `now`."""
        if self.sender is not None and self._says:
            for packet in self.sender.push(samples, now - len(samples) / 48000):
                self._send_rtp(packet)

    def skip_audio(self, samples: int) -> None:
        """So much from the microphone is not said: the peer hears a gap, and what follows in time."""
        if self.sender is not None and self._says:
            self.sender.skip(samples)

    @property
    def _says(self) -> bool:
        """Whether sound is sent. The media time begins with the first of it."""
        return self._srtp is not None and not self._closed and self.sending[0] is not None

    def pull_audio(self, now: float) -> Samples:
        """10 ms of int16 mono at 48 kHz; silence while there is nothing to play."""
        if self.receiver is None or self._closed:
            return np.zeros(TICK_SAMPLES, np.int16)
        samples = self.receiver.pull(now)
        if not self._heard and self.receiver.jitter_buffer.first_played is not None:
            self._heard = True
            self._events.append(FirstAudio(self.receiver.jitter_buffer.first_played))
        return np.zeros_like(samples) if self.receiving[0] is None else samples

    # -- pictures

    def push_video(self, frame: VideoFrame, now: float) -> None:
        """A picture from the camera; dropped before set_keys() and while video is not sent."""
        sender = self.sending[1]
        if self._srtp is not None and sender is not None and not self._closed:
            sender.push(frame, now)

    def pictures_to_show(self, now: float) -> list[VideoFrame]:
        return [] if self.video_receiver is None else self.video_receiver.display.pictures_to_show(now)

    def next_encode_request(self) -> EncodeRequest | None:
        return None if self.video_sender is None or self._closed else self.video_sender.next_request()

    def next_decode_request(self) -> DecodeRequest | None:
        return None if self.video_receiver is None or self._closed else self.video_receiver.next_request()

    def get_stats(self, now: float) -> Stats:
        """W3C webrtc-stats by id."""
        return collect(self, now)

    def close(self, now: float) -> None:
        """Say BYE and free the codecs; packets_to_send() has the BYE."""
        if self._closed:
            return
        if self._srtp is not None:
            self._send_rtcp(self.reports.goodbye(now), now)
        self._closed = True
        for stream in (self.sender, self.receiver):
            if stream is not None:
                stream.close()

    # -- RTP and RTCP

    def _count_received(self, data: bytes) -> None:
        self.transport.packets_received += 1
        self.transport.bytes_received += len(data)

    def _send_rtp(self, packet: bytes) -> None:
        assert self._srtp is not None
        self._queue(self._srtp.protect(packet))

    @property
    def _reduced_size(self) -> bool:
        """Whether the peer takes feedback without a report in front (RFC 5506)."""
        return self.parameters is not None and self.parameters.reduced_size_rtcp

    def _send_rtcp(self, packets: Sequence[RtcpPacket], now: float) -> None:
        assert self._srtp is not None
        data = self._srtp.protect_rtcp(serialize_compound(packets))
        if self.sender is not None:
            self.sender.sent_beside(len(data) + UDP_BYTES, now)
        self.transport.rtcp_bytes_sent += len(data)
        self._queue(data)

    def sent_beside(self, size: int, now: float) -> None:
        """The owner sends a datagram of its own on the same path: the handshake, data."""
        if self.sender is not None:
            self.sender.sent_beside(size + UDP_BYTES, now, lasting=False)

    def _queue(self, data: bytes) -> None:
        self.transport.packets_sent += 1
        self.transport.bytes_sent += len(data)
        self._outgoing.append(data)

    def _receive_rtp(self, packet: RtpPacket, now: float, arrived: float) -> None:
        """To the stream whose payload type it has: within a BUNDLE these are distinct (RFC 8843 section 9.2)."""
        video = self.video_receiver
        if video is not None and video.accepts(packet.payload_type):
            if self.receiving[1] is not None:
                video.receive(packet, arrived)
        elif (audio := self.receiving[0]) is not None:
            audio.receive(packet, now, arrived=arrived)

    def _collect(self, now: float, feedback: bool) -> None:
        """Feedback and video packets that are due."""
        if feedback and (messages := self._feedback(now)):
            self._send_rtcp(messages if self._reduced_size else [ReceiverReport(self.ssrc), *messages], now)
        if self.video_sender is not None:
            for packet in self.video_sender.packets_to_send(now, now + self._unix_time_offset):
                self._send_rtp(packet)
                self.sent_beside(len(packet), now)

    def _feedback(self, now: float, *, with_report: bool = False) -> list[Feedback]:
        rtt, messages = self.round_trip_time, []
        if rtt is not None:
            for receiver in self.receiving:
                if receiver is not None:
                    receiver.set_round_trip_time(rtt)
        audio, video = self.receiving
        if audio is not None:
            messages += audio.feedback_to_send(now, with_report=with_report)
        if video is not None:
            messages += video.feedback_to_send(now)
        return messages

    def _receive_rtcp(self, packet: RtcpPacket | Malformed, now: float, arrived: float) -> None:
        try:
            self._handle_rtcp(packet, now, arrived)
        except PacketError:
            self.transport.packets_refused += 1  # those beside it in the compound stand

    def _handle_rtcp(self, packet: RtcpPacket | Malformed, now: float, arrived: float) -> None:
        match packet:
            case Malformed(_, defect):
                raise PacketError(defect)
            case SenderReport() | ReceiverReport() | ExtendedReport():
                self.reports.receive(packet, arrived)
            case Bye():
                heard = self.receiver.statistics if self.receiver is not None else None
                if heard is None or heard.ssrc in packet.sources:  # else a source that the peer had before
                    self._events.append(PeerLeft())
                if heard is not None and self.receiver is not None and heard.ssrc in packet.sources:
                    self.receiver.receive_bye(heard.ssrc)
            case Feedback():
                self._receive_feedback(packet, now)
            case _:
                pass

    def _receive_feedback(self, packet: Feedback, now: float) -> None:
        if packet.packet_type == RTPFB and packet.format == CCFB_FORMAT:
            for report in congestion_feedback.parse(packet):
                if report.ssrc == self.ssrc and self.sender is not None and report.arrivals:
                    self._receive_arrivals(report, self.sender, now)
        elif packet.packet_type == RTPFB and packet.format == feedback.NACK_FORMAT:
            numbers = feedback.nacked(packet)
            if packet.media_ssrc == self.ssrc and self.sender is not None and self._srtp is not None:
                for data in self.sender.receive_nack(numbers, now):
                    self._send_rtp(data)
            elif packet.media_ssrc == self.video_ssrc and self.video_sender is not None:
                self.video_sender.receive_nack(numbers, now)
        elif packet.packet_type == PSFB and self.video_sender is not None:
            self.video_sender.receive_feedback(packet, now)

    def _receive_arrivals(self, report: ArrivalReport, voice: AudioSender, now: float) -> None:
        """Voice and video go the same way: what the voice's packets met tells the video to make room."""
        video = self.sending[1]
        voice.receive_arrivals(report, now, alone=video is None or video.rate.paused)
        if video is not None and (path := voice.path_report(now)) is not None:
            video.receive_path(path, now)
