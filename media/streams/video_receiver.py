"""The receiving half of a video stream: repair, frames, decoding (a request out, a result in), display.

A gap is asked for at once (NACK), then once a round trip. A frame that will not be whole in time is given up and a
key frame asked for (PLI); so it is when a payload makes no sense, when the decoder refuses a frame or falls behind.
Until the key frame comes the last good picture stays, and the wish is repeated, but not for ever: a peer that has
stopped sending is left alone. Pictures are shown by their RTP time plus a delay that follows the path's jitter; the
synchronizer may add to it for lip sync.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from media.congestion.receive_estimator import ReceiveEstimator
from media.errors import PacketError
from media.negotiation import VideoParameters
from media.payload.depacketizer import make_depacketizer
from media.payload.frame_buffer import PADDING, AssembledFrame, FrameBuffer
from media.rtp import feedback
from media.rtp.nack import NackRequester
from media.rtp.packet import RtpPacket
from media.rtp.retransmission import from_rtx
from media.rtp.rtcp import Feedback, ReportBlock
from media.rtp.sequence import Unwrapper
from media.rtp.statistics import ReceiveStatistics
from media.streams.video_display import VideoDisplay

CLOCK_RATE = 90000
# A missing packet is waited for so long; a longer wait is a freeze anyway, and a key frame ends it sooner.
REPAIR_DEADLINE, MAX_REPAIR_DEADLINE = 0.4, 0.8
REPAIR_ROUND_TRIPS = 1.5  # on a long path, at least time for one answer
REORDERING_DEADLINE = 0.1  # without NACK a packet that is missing can only be late
PLI_INTERVAL = 0.3  # at least, or a round trip
PLI_WITHOUT_PACKETS = 1.0  # when nothing came since, or when part of a key frame did and nothing since
PLI_GIVES_UP = 5.0  # a peer that has sent nothing for so long is not asked any more
MAX_DECODING = 8  # frames with the worker; beyond, frames are dropped up to the next key frame
REMB_INTERVAL = 0.25


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """Decode this frame, please; answer with VideoReceiver.receive_decoded()."""

    frame: AssembledFrame
    media_time: float  # seconds, by the unwrapped RTP time
    ssrc: int
    codec: str  # VP8 or H264


@dataclass(slots=True)
class VideoCounters:
    """Named after W3C webrtc-stats."""

    frames_received: int = 0
    frames_decoded: int = 0
    frames_dropped: int = 0
    key_frames_decoded: int = 0
    decode_errors: int = 0
    broken_packets: int = 0
    packets_discarded: int = 0
    retransmitted_packets_received: int = 0
    retransmitted_bytes_received: int = 0
    total_decode_time: float = 0.0
    nack_count: int = 0
    pli_count: int = 0
    frame_size: tuple[int, int] | None = field(default=None)


class VideoReceiver:
    """Packets in, pictures out."""

    def __init__(self, parameters: VideoParameters, *, ssrc: int) -> None:
        self._parameters = parameters
        self._next_parameters: VideoParameters | None = None  # from their first packet on
        self._our_ssrc = ssrc  # the sender of our feedback
        self._depacketizer = make_depacketizer(parameters)
        self._times = Unwrapper(32)
        self._nack = NackRequester()
        self._frames = FrameBuffer()
        self._estimator = ReceiveEstimator()
        self.display = VideoDisplay()
        self.statistics: ReceiveStatistics | None = None
        self.counters = VideoCounters()
        self._requests: deque[DecodeRequest] = deque()
        self._decoding = 0
        self._feedback: deque[Feedback] = deque(maxlen=32)
        self._intact = False  # what went to the decoder begins with a key frame and misses none since
        self._key_frame_given = 0  # first packet of the last key frame that went to the decoder
        self._decoder_lost = False  # it refused a frame: what it makes of later delta frames is not shown
        self._last_pli = -1e9
        self._last_remb = -1e9
        self.last_packet_received: float | None = None

    def configure(self, parameters: VideoParameters) -> None:
        """What a later pair of descriptions settles. Under other numbers it holds from their first packet on: those
        by the one before may still be on their way."""
        if parameters.receive and not self._parameters.receive:
            self._resume()
        if parameters.receive_payload_types == self._parameters.receive_payload_types:
            self._apply(parameters)
        else:
            self._next_parameters = parameters

    def _resume(self) -> None:
        """What was sent meanwhile was not taken; it is not asked for, and pictures begin with a key frame."""
        round_trip_time = self._nack.round_trip_time
        self._nack = NackRequester()
        self.set_round_trip_time(round_trip_time)
        self._frames = FrameBuffer()
        self._intact = False
        self._last_pli = -1e9
        self.display.reset()

    def _apply(self, parameters: VideoParameters) -> None:
        before, self._parameters, self._next_parameters = self._parameters, parameters, None
        if before.codec != parameters.codec:
            self._frames = FrameBuffer()
            self._depacketizer = make_depacketizer(parameters)
            self._intact = False
            self._requests.clear()
            self._nack.forget_all()

    # -- packets

    def accepts(self, payload_type: int) -> bool:
        coming = self._next_parameters or self._parameters
        return payload_type in (*self._parameters.receive_payload_types, *coming.receive_payload_types)

    def receive(self, packet: RtpPacket, now: float) -> None:
        """A decrypted packet of this stream or of its retransmissions."""
        coming = self._next_parameters
        if coming is not None and packet.payload_type == coming.receive_payload_type:
            self._apply(coming)
        size = len(packet.payload) + packet.header_size + 44
        self._estimate(packet, size, now)
        if packet.payload_type == self._parameters.receive_rtx_payload_type:
            if not packet.payload or self.statistics is None:
                return  # padding that a bandwidth probe is made of
            try:
                packet = from_rtx(
                    packet, payload_type=self._parameters.receive_payload_type, ssrc=self.statistics.ssrc
                )
            except PacketError:
                self.counters.broken_packets += 1
                return
            self.counters.retransmitted_packets_received += 1
            self.counters.retransmitted_bytes_received += len(packet.payload)
            self.statistics.recover(packet.sequence_number)
        else:
            if self.statistics is None or self.statistics.ssrc != packet.ssrc:
                self._begin(packet.ssrc, now)
            assert self.statistics is not None
            self.statistics.receive(
                packet.sequence_number, packet.timestamp, len(packet.payload), packet.header_size, now
            )
        self.last_packet_received = now
        number = self._nack.receive(packet.sequence_number, now)
        self._act_on_losses(now)
        try:
            self._frames.insert(number, self._depacketizer.parse(packet) if packet.payload else PADDING)
        except PacketError:
            self.counters.broken_packets += 1
            self._lose(number)
        self._collect(now)

    def _begin(self, ssrc: int, now: float) -> None:
        """Another source: its numbers and times have nothing to do with those before."""
        self.statistics = ReceiveStatistics(ssrc, CLOCK_RATE)
        round_trip_time = self._nack.round_trip_time
        self._nack = NackRequester()
        self.set_round_trip_time(round_trip_time)
        self._frames = FrameBuffer()
        self._depacketizer = make_depacketizer(self._parameters)
        self._intact = False
        self._times = Unwrapper(32)
        self._requests.clear()
        self.display.reset()

    def _estimate(self, packet: RtpPacket, size: int, now: float) -> None:
        identifier = self._parameters.abs_send_time_extension
        stamp = packet.extensions.get(identifier) if identifier is not None else None
        if stamp is None or len(stamp) != 3:
            return
        sent = self._estimator.unwrap_send_time(int.from_bytes(stamp, "big"))
        if self._estimator.receive(sent, size, now):
            self._send_remb(now)

    def _act_on_losses(self, now: float) -> None:
        """Whatever waits for a packet that will not come is given up."""
        if (lost := self._nack.hopeless) is not None:
            self._nack.hopeless = None
            self._lose(lost)
            self._collect(now)

    def _lose(self, lost: int) -> None:
        """Nothing can be decoded from packet `lost` on, up to a key frame."""
        self._frames.give_up(lost)
        self._intact = False
        key_frame = self._frames.awaited_key_frame
        if key_frame is None:
            self._nack.forget_all()
        else:
            self._nack.forget_before(key_frame)

    def _collect(self, now: float) -> None:
        """Complete frames go to the decoder; when a key frame is needed, it is asked for."""
        assert self.statistics is not None
        while (whole := self._frames.next_frame()) is not None:
            self._nack.forget_before(whole.last + 1)
            if (frame := self._depacketizer.assemble(whole)) is None:
                continue
            self.counters.frames_received += 1
            self._intact = frame.key_frame or (self._intact and frame.follows)
            if not self._intact or self._decoding + len(self._requests) >= MAX_DECODING:
                self.counters.frames_dropped += 1
                self._lose(frame.last)
                continue
            if frame.key_frame:
                self._key_frame_given = frame.first
            time = self._times.unwrap(frame.timestamp) / CLOCK_RATE
            self._requests.append(DecodeRequest(frame, time, self.statistics.ssrc, self._parameters.codec))
        self._ask_for_key_frame(now)

    # -- decoding

    def next_request(self) -> DecodeRequest | None:
        if not self._requests:
            return None
        self._decoding += 1
        return self._requests.popleft()

    def receive_decoded(
        self, request: DecodeRequest, pictures: list[NDArray[np.uint8]] | None, seconds: float, now: float
    ) -> None:
        """The worker's answer; `pictures` None when the decoder failed."""
        self._decoding -= 1
        self.counters.total_decode_time += seconds
        if self.statistics is None or request.ssrc != self.statistics.ssrc:
            return
        if pictures is None:
            self.counters.decode_errors += 1
            self._decoder_lost = True
            if request.frame.first >= self._key_frame_given:  # else the cure is on its way
                self.counters.frames_dropped += len(self._requests)
                self._requests.clear()
                self._lose(request.frame.last)
                self._collect(now)
            return
        if self._decoder_lost and not request.frame.key_frame:
            self.counters.frames_dropped += 1
            return
        self._decoder_lost = False
        for picture in pictures:
            self.counters.frames_decoded += 1
            self.counters.frame_size = (picture.shape[1], picture.shape[0] * 2 // 3)
            self.display.insert(picture, request.media_time, now)
        if request.frame.key_frame:
            self.counters.key_frames_decoded += 1

    # -- time

    def media_time(self, timestamp: int) -> float:
        """Seconds on this stream's time line of a 32-bit RTP timestamp near the present."""
        return self._times.unwrap(timestamp) / CLOCK_RATE

    def set_round_trip_time(self, seconds: float) -> None:
        self._nack.round_trip_time = seconds
        deadline = min(MAX_REPAIR_DEADLINE, max(REPAIR_DEADLINE, REPAIR_ROUND_TRIPS * seconds))
        self._nack.deadline = deadline if self._parameters.nack else REORDERING_DEADLINE

    def get_timer(self) -> float | None:
        times = (self._nack.get_timer(), self.display.get_timer(), self._key_frame_due())
        return min((t for t in times if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Ask for a key frame when it is time; the rest of what is due happens in feedback_to_send()."""
        self._ask_for_key_frame(now)

    def feedback_to_send(self, now: float) -> list[Feedback]:
        """NACK, PLI and REMB that are due."""
        if self.statistics is None:
            return []
        numbers = self._nack.requests_to_send(now)
        self._act_on_losses(now)
        if numbers and self._parameters.nack:
            self.counters.nack_count += 1
            self._feedback.append(feedback.nack(self._our_ssrc, self.statistics.ssrc, numbers))
        out = list(self._feedback)
        self._feedback.clear()
        return out

    def remb(self, now: float) -> Feedback | None:
        """The estimate, to go with a regular report; None when nothing is to be said."""
        if not self._parameters.remb or self.statistics is None or now - self._last_remb < REMB_INTERVAL:
            return None
        self._last_remb = now
        return feedback.remb(self._our_ssrc, round(self._estimator.estimate_bps), [self.statistics.ssrc])

    def _send_remb(self, now: float) -> None:
        self._last_remb = -1e9
        if (message := self.remb(now)) is not None:
            self._feedback.append(message)

    def _key_frame_due(self) -> float | None:
        """When a key frame is to be asked for (again); None while none is needed."""
        heard = self.last_packet_received
        if heard is None or not self._frames.needs_key_frame or self._last_pli - heard > PLI_GIVES_UP:
            return None
        if self._frames.awaited_key_frame is not None:
            return max(heard, self._last_pli) + PLI_WITHOUT_PACKETS
        if heard > self._last_pli:
            return self._last_pli + max(PLI_INTERVAL, self._nack.round_trip_time)
        return self._last_pli + PLI_WITHOUT_PACKETS

    def _ask_for_key_frame(self, now: float) -> None:
        due = self._key_frame_due()
        if due is None or now < due or self.statistics is None:
            return
        self._last_pli = now
        if self._parameters.pli:
            self.counters.pli_count += 1
            self._feedback.append(feedback.pli(self._our_ssrc, self.statistics.ssrc))

    def report(self, now: float) -> ReportBlock | None:
        return None if self.statistics is None else self.statistics.report(now)

    @property
    def estimate_bps(self) -> float:
        return self._estimator.estimate_bps
