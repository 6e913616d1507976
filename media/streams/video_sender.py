"""The sending half of a video stream. Encoding is a request out and a result in: workers do it in real time, the
simulation at once."""

from collections import deque
from dataclasses import dataclass
from random import Random

from media.congestion.pacer import OVERHEAD_BYTES, Pacer
from media.congestion.path_report import PathReport
from media.congestion.video_rate import VideoRate
from media.negotiation import VideoParameters
from media.payload import h264, vp8
from media.rtp import feedback
from media.rtp.retransmission import RetransmissionHistory, to_rtx
from media.rtp.rtcp import Feedback, ReportBlock
from media.rtp.sender import RtpSender
from media.video_frame import VideoFrame

CLOCK_RATE = 90000
MID_PACKETS = 100
# What waits in the pacer beyond this makes the encoder skip pictures, so that delay does not grow.
MAX_QUEUE_TIME = 0.200
# A backlog (after key frames, retransmissions) beyond a frame's own time is made up for within this time.
FREE_QUEUE_TIME, BACKLOG_TIME, MAX_BACKLOG_SHARE = 0.040, 0.8, 0.5
RATE_WINDOW, MAX_SENT = 0.3, 600  # seconds over which what is sent is measured, packets
TRANSPORT_BYTES = 28 + 16  # IP and UDP, SRTP tag
MIN_KEY_FRAME_INTERVAL = 0.3  # libwebrtc: requests that come faster are one request
DEFAULT_ROUND_TRIP = 0.1
# The encoder gets what the headers leave of the rate; smoothed over about a second.
START_PAYLOAD_SHARE, SHARE_SMOOTHING = 0.93, 0.05


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """Encode this picture, please; answer with VideoSender.receive_encoded()."""

    frame: VideoFrame
    time: int  # 90 kHz
    key_frame: bool
    bitrate_bps: int
    codec: str  # VP8 or H264


class VideoSender:
    """Pictures in, packets out. One picture is encoded at a time; those that come meanwhile are skipped."""

    def __init__(
        self,
        parameters: VideoParameters,
        *,
        ssrc: int,
        rtx_ssrc: int,
        rng: Random,
        beside_voice: bool = False,
    ) -> None:
        """`beside_voice`: receive_path() will be called."""
        self._parameters = parameters
        self._mid_until = MID_PACKETS  # packets sent
        self.rtp = RtpSender(ssrc=ssrc, clock_rate=CLOCK_RATE, rng=rng)
        self._rtx = RtpSender(ssrc=rtx_ssrc, clock_rate=CLOCK_RATE, rng=rng)
        self._picture_id = rng.randrange(vp8.PICTURE_ID_MODULO)
        self.pacer = Pacer()
        self.rate = VideoRate(beside_voice=beside_voice)
        self._sent: deque[tuple[float, int]] = deque()  # (when, bytes on the wire) of the last moments
        self._history = RetransmissionHistory()
        self._requests: deque[EncodeRequest] = deque(maxlen=1)
        self._encoding = False
        self._started: float | None = None
        self._last_time = -1
        self._key_wanted = True
        self._last_key = -1.0
        self._payload_share = START_PAYLOAD_SHARE
        self.frame_size: tuple[int, int] | None = None
        self.frames_captured = self.frames_skipped = self.frames_encoded = self.key_frames_encoded = 0
        self.frames_dropped_by_rate = 0
        self.nack_count = self.pli_count = self.fir_count = 0
        self.total_encode_time = 0.0
        self._follow_rate()

    def configure(self, parameters: VideoParameters) -> None:
        """What a later pair of descriptions settles. The source and its numbers stay, whatever the codec."""
        before, self._parameters = self._parameters, parameters
        if (before.mid, before.mid_extension) != (parameters.mid, parameters.mid_extension):
            self._mid_until = self.rtp.packets_sent + MID_PACKETS
        if before.codec != parameters.codec or not parameters.send:
            self._requests.clear()
            self._history.clear()
            self.pacer.clear()
        if before.codec != parameters.codec or not before.send:
            self._key_wanted, self._last_key = True, -1.0

    # -- pictures

    def push(self, frame: VideoFrame, now: float) -> None:
        """A picture from the camera. Skipped while one is being encoded or the pacer is behind."""
        self.frames_captured += 1
        self.frame_size = (frame.width, frame.height)
        if self._started is None:
            self._started = frame.captured
        self.rate.check(now)
        self._follow_rate()
        if self.rate.paused:
            self._key_wanted = True  # what is shown then has nothing to do with what was shown last
            self.frames_skipped += 1
            return
        if self._encoding or self._requests or self.pacer.queue_time > MAX_QUEUE_TIME:
            self.frames_skipped += 1
            return
        time = max(self._last_time + 1, round((frame.captured - self._started) * CLOCK_RATE))
        self._last_time = time
        key = self._key_wanted and now - self._last_key >= MIN_KEY_FRAME_INTERVAL
        self._requests.append(EncodeRequest(frame, time, key, self._encoder_bps(), self._parameters.codec))

    def _encoder_bps(self) -> int:
        """What headers leave of the rate, and a backlog in the pacer: skipped pictures alone do not make up for it."""
        backlog = min(MAX_BACKLOG_SHARE, max(0.0, self.pacer.queue_time - FREE_QUEUE_TIME) / BACKLOG_TIME)
        return round(self.rate.target_bps * self._payload_share * (1 - backlog))

    def next_request(self) -> EncodeRequest | None:
        """What to encode next; None while a picture is with the worker."""
        if self._encoding or not self._requests:
            return None
        self._encoding = True
        return self._requests.popleft()

    def receive_encoded(
        self, request: EncodeRequest, data: bytes | None, key_frame: bool, seconds: float, now: float
    ) -> None:
        """The worker's answer; `data` None when the rate control dropped the picture or the encoder failed."""
        self._encoding = False
        self.total_encode_time += seconds
        if request.codec != self._parameters.codec or not self._parameters.send:
            return  # of before what was settled last
        if not data:
            self.frames_dropped_by_rate += 1
            return
        self.frames_encoded += 1
        if key_frame:
            self.key_frames_encoded += 1
            self._key_wanted, self._last_key = False, now
        if self._parameters.codec == "VP8":
            payloads = vp8.packetize(data, self._picture_id, self.rate.packet_bytes)
            self._picture_id = (self._picture_id + 1) % vp8.PICTURE_ID_MODULO
        else:
            payloads = h264.packetize(data, self.rate.packet_bytes)
        share = len(data) / (len(data) + OVERHEAD_BYTES * len(payloads))
        self._payload_share += SHARE_SMOOTHING * (share - self._payload_share)
        for index, payload in enumerate(payloads):
            packet = self.rtp.make(
                self._parameters.send_payload_type,
                request.time,
                payload,
                request.frame.captured,
                marker=index == len(payloads) - 1,
                extensions=self._extensions(self.rtp.packets_sent),
            )
            self._history.add(packet, now)
            self.pacer.enqueue(packet)

    # -- packets

    def packets_to_send(self, now: float, unix_time: float) -> list[bytes]:
        """Packets whose time has come, serialized; the send time is stamped here."""
        out = []
        for packet in self.pacer.packets_to_send(now):
            if (identifier := self._parameters.abs_send_time_extension) is not None:
                # 24 bits of 6.18 fixed-point seconds
                stamp = int(unix_time * (1 << 18)) & 0xFFFFFF
                packet.extensions = packet.extensions | {identifier: stamp.to_bytes(3, "big")}
            data = packet.serialize()
            (self._rtx if packet.ssrc == self._rtx.ssrc else self.rtp).count(packet, data)
            self._sent.append((now, len(data) + TRANSPORT_BYTES))
            if len(self._sent) > MAX_SENT:
                self._sent.popleft()
            out.append(data)
        return out

    def get_timer(self) -> float | None:
        return self.pacer.get_timer()

    # -- feedback

    def receive_feedback(self, packet: Feedback, now: float) -> None:
        """PLI, FIR and REMB; those that are about another stream are ignored."""
        if packet.format == feedback.PLI_FORMAT and packet.media_ssrc == self.rtp.ssrc:
            self.pli_count += 1
            self.request_key_frame()
        elif packet.format == feedback.FIR_FORMAT and self.rtp.ssrc in feedback.fir_sources(packet):
            self.fir_count += 1
            self.request_key_frame()
        elif packet.format == feedback.APPLICATION_FORMAT:
            estimate = feedback.remb_estimate(packet)
            if estimate is not None and self.rtp.ssrc in estimate[1]:
                self.receive_remb(estimate[0], now)

    def request_key_frame(self) -> None:
        self._key_wanted = True

    def receive_nack(self, numbers: list[int], now: float) -> None:
        self.nack_count += 1
        if self.rate.paused:
            return  # for a picture that will not be finished there is no room
        round_trip = self.rtp.round_trip_time or DEFAULT_ROUND_TRIP
        for packet in self._history.asked(numbers, round_trip, now):
            rtx = self._parameters.send_rtx_payload_type
            if rtx is None:
                self.pacer.enqueue(packet, urgent=True)
                continue
            copy = to_rtx(
                packet,
                payload_type=rtx,
                ssrc=self._rtx.ssrc,
                sequence_number=self._rtx.next_number(),
                extensions=self._extensions(self._rtx.packets_sent),
            )
            self.pacer.enqueue(copy, urgent=True)

    def receive_report(self, block: ReportBlock, now: float, unix_time: float) -> None:
        self.rtp.receive_report(block, unix_time)
        self.rate.receive_report(block.fraction_lost / 256, self.rtp.round_trip_time, now)
        self._follow_rate()

    def receive_path(self, path: PathReport, now: float) -> None:
        """What the arrivals of the voice tell of the path that both go."""
        while self._sent and now - self._sent[0][0] > RATE_WINDOW:
            self._sent.popleft()
        sent = 8 * sum(size for _, size in self._sent) / RATE_WINDOW
        self.rate.receive_path(path, sent, now)
        self._follow_rate()

    def _follow_rate(self) -> None:
        self.pacer.set_target(self.rate.target_bps, self.rate.room_bps)

    def receive_remb(self, bitrate_bps: int, now: float) -> None:
        self.rate.receive_remb(bitrate_bps, now)
        self._follow_rate()

    @property
    def packets_sent(self) -> int:
        """Those of both SSRCs: W3C counts retransmissions with the stream they belong to."""
        return self.rtp.packets_sent + self._rtx.packets_sent

    @property
    def bytes_sent(self) -> int:
        """Payload, of both SSRCs."""
        return self.rtp.bytes_sent + self._rtx.bytes_sent

    @property
    def packets_retransmitted(self) -> int:
        return self._history.packets_retransmitted

    @property
    def bytes_retransmitted(self) -> int:
        return self._history.bytes_retransmitted

    def _extensions(self, sent: int) -> dict[int, bytes]:
        identifier = self._parameters.mid_extension
        if identifier is None or sent >= self._mid_until:
            return {}
        return {identifier: self._parameters.mid.encode()}
