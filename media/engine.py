"""MediaEngine: the streams of one call behind one transport. Sans-IO; contains no algorithm.

    receive_packet(data, now)    an SRTP or SRTCP datagram of the peer
    packets_to_send(now)         SRTP and SRTCP datagrams for the peer
    get_timer(), handle_timer()  RTCP
    next_event()                 what the owner may want to know
    push_audio(samples, now)     20 ms from the microphone
    pull_audio(now)              10 ms for the speaker

After any input, drain packets_to_send(). Before set_keys() nothing is sent, and audio that is pushed is dropped:
a microphone is not opened before that.
"""

from collections import deque
from dataclasses import dataclass
from random import Random

import numpy as np

from media.codecs.base import Samples
from media.codecs.opus import OpusDecoder, OpusEncoder
from media.errors import PacketError
from media.negotiation import AudioParameters
from media.rtp.packet import RtpPacket
from media.rtp.rtcp import (
    CNAME,
    Bye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize_compound,
)
from media.streams.audio_receiver import AudioReceiver
from media.streams.audio_sender import AudioSender
from media.transport.demux import Kind, classify
from media.transport.srtp import SrtpKeys, SrtpSession
from media.webrtc_stats import Stats, collect

TICK_SAMPLES = 480
# Twice a second: in-band FEC follows the reported loss, and a report of 80 bytes costs 1 % of a voice call's rate,
# far below the 5 % of RFC 3550 section 6.2. The spread keeps calls from reporting in step (RFC 3550 section 6.3.1).
RTCP_INTERVAL = 0.5
FIRST_RTCP = 0.2  # the first pair of reports gives an early round-trip time
MAX_EVENTS = 64


@dataclass(frozen=True, slots=True)
class FirstAudio:
    """The first frame of the peer was decoded at `at`."""

    at: float


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The peer said BYE for its stream."""


EngineEvent = FirstAudio | PeerLeft


@dataclass(slots=True)
class TransportCounters:
    """Datagrams of SRTP and SRTCP."""

    packets_sent: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    bytes_received: int = 0
    packets_refused: int = 0  # not authentic, replayed, or not what they claimed to be


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
        self.transport = TransportCounters()
        self._outgoing: deque[bytes] = deque()
        self._events: deque[EngineEvent] = deque(maxlen=MAX_EVENTS)
        self._next_rtcp: float | None = None
        self._heard = False
        self._closed = False

    # -- what was negotiated

    def configure_audio(self, parameters: AudioParameters) -> None:
        """Set the stream up, or change its direction; codecs are kept from the first call on."""
        self.parameters = parameters
        if self.sender is None:
            self.sender = AudioSender(
                OpusEncoder(bitrate_bps=parameters.bitrate_bps),
                ssrc=self.ssrc,
                payload_type=parameters.send_payload_type,
                mid=parameters.mid,
                mid_extension=parameters.mid_extension,
                fec=parameters.use_inband_fec,
                rng=self._rng,
            )
        if self.receiver is None:
            self.receiver = AudioReceiver(OpusDecoder(), payload_types=parameters.receive_payload_types)

    def set_keys(self, keys: SrtpKeys, now: float) -> None:
        """Media may flow from now on."""
        self._srtp = SrtpSession(keys)
        self._next_rtcp = now + FIRST_RTCP

    @property
    def srtp_profile(self) -> str | None:
        return None if self._srtp is None else self._srtp.profile.name

    # -- the network

    def receive_packet(self, data: bytes, now: float) -> None:
        """A datagram of any bytes; what is not an authentic packet is counted and dropped."""
        if self._srtp is None or self._closed:
            return
        kind = classify(data)
        try:
            if kind is Kind.RTP:
                packet = RtpPacket.parse(self._srtp.unprotect(data))
                self._count_received(data)
                if self.receiver is not None and self.parameters is not None and self.parameters.receive:
                    self.receiver.receive(packet, now)
            elif kind is Kind.RTCP:
                packets = parse_compound(self._srtp.unprotect_rtcp(data))
                self._count_received(data)
                for each in packets:
                    self._receive_rtcp(each, now)
        except PacketError:
            self.transport.packets_refused += 1

    def packets_to_send(self, now: float) -> list[bytes]:
        """Datagrams that are due."""
        out = list(self._outgoing)
        self._outgoing.clear()
        return out

    def get_timer(self) -> float | None:
        """When handle_timer() wants to be called."""
        return None if self._closed else self._next_rtcp

    def handle_timer(self, now: float) -> None:
        if self._next_rtcp is None or now < self._next_rtcp or self._closed:
            return
        self._next_rtcp = now + RTCP_INTERVAL * self._rng.uniform(0.5, 1.5)
        self._send_reports(now)

    def next_event(self) -> EngineEvent | None:
        return self._events.popleft() if self._events else None

    # -- sound

    def push_audio(self, samples: Samples, now: float) -> None:
        """20 ms of int16 mono at 48 kHz, the last sample of which was taken at `now`."""
        if self._srtp is None or self.sender is None or self._closed:
            return
        if self.parameters is None or not self.parameters.send:
            return
        self._send_rtp(self.sender.push(samples, now - len(samples) / 48000))

    def pull_audio(self, now: float) -> Samples:
        """10 ms of int16 mono at 48 kHz; silence while there is nothing to play."""
        if self.receiver is None or self._closed:
            return np.zeros(TICK_SAMPLES, np.int16)
        samples = self.receiver.pull(now)
        if not self._heard and self.receiver.jitter_buffer.first_played is not None:
            self._heard = True
            self._events.append(FirstAudio(self.receiver.jitter_buffer.first_played))
        return samples

    def get_stats(self, now: float) -> Stats:
        """W3C webrtc-stats by id."""
        return collect(self, now)

    def close(self, now: float) -> None:
        """Say BYE and free the codecs; packets_to_send() has the BYE."""
        if self._closed:
            return
        if self._srtp is not None:
            reports = self._report_blocks(now)
            bye = (ReceiverReport(self.ssrc, reports), self._description(), Bye((self.ssrc,)))
            self._send_rtcp(bye)
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

    def _send_rtcp(self, packets: tuple[RtcpPacket, ...]) -> None:
        assert self._srtp is not None
        self._queue(self._srtp.protect_rtcp(serialize_compound(packets)))

    def _queue(self, data: bytes) -> None:
        self.transport.packets_sent += 1
        self.transport.bytes_sent += len(data)
        self._outgoing.append(data)

    def _report_blocks(self, now: float) -> tuple[ReportBlock, ...]:
        block = self.receiver.report(now) if self.receiver is not None else None
        return () if block is None else (block,)

    def _description(self) -> SourceDescription:
        return SourceDescription(((self.ssrc, ((CNAME, self.cname.encode()),)),))

    def _send_reports(self, now: float) -> None:
        if self._srtp is None:
            return
        blocks = self._report_blocks(now)
        report: RtcpPacket = ReceiverReport(self.ssrc, blocks)
        if self.sender is not None and self.sender.rtp.packets_sent:
            report = self.sender.rtp.sender_report(blocks, now, now + self._unix_time_offset)
        self._send_rtcp((report, self._description()))

    def _receive_rtcp(self, packet: RtcpPacket, now: float) -> None:
        match packet:
            case SenderReport() | ReceiverReport():
                if isinstance(packet, SenderReport) and self.receiver is not None:
                    self.receiver.receive_sender_report(packet.ssrc, packet.ntp_time, now)
                for block in packet.reports:
                    if block.ssrc == self.ssrc and self.sender is not None:
                        self.sender.receive_report(block, now + self._unix_time_offset)
            case Bye():
                heard = self.receiver.statistics if self.receiver is not None else None
                if heard is None or heard.ssrc in packet.sources:  # else a source that the peer had before
                    self._events.append(PeerLeft())
                if heard is not None and self.receiver is not None and heard.ssrc in packet.sources:
                    self.receiver.receive_bye(heard.ssrc)
            case _:
                pass  # feedback that was not negotiated
