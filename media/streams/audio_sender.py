"""The sending half of a voice stream: encode, number, adapt to the loss that the far end reports."""

from collections import deque
from random import Random

import numpy as np

from media.codecs.audio import create_encoder
from media.codecs.base import AudioEncoder, Samples
from media.congestion.audio_rate import START_BPS, AudioRateController
from media.congestion.path_report import PathReport
from media.congestion.round_trip_rate import RoundTripRate
from media.negotiation import AudioParameters
from media.rtp import red
from media.rtp.congestion_feedback import ArrivalReport
from media.rtp.packet import RtpPacket
from media.rtp.retransmission import RetransmissionHistory, to_rtx
from media.rtp.rtcp import ReportBlock
from media.rtp.sender import RtpSender
from media.streams.protection import (
    MAX_WIRE_BPS,
    NO_PROTECTION,
    TRANSPORT_BYTES,
    ProtectionController,
    Scheme,
    near_scheme,
)

SAMPLE_RATE = 48000
FULL_SCALE = 32768.0
MAX_SILENCE_BYTES = 2  # what an Opus encoder in DTX gives (RFC 7587 section 3.1.3)
MID_PACKETS = (
    100  # the MID travels in the first 2 s; by then RTCP has told that the SSRC is known (RFC 8843, 9.2)
)
LOSS_ATTACK = 0.6  # weight of a report that says more loss than believed
LOSS_RELEASE = 0.1  # and of one that says less: with a report a second the memory is 10 s
FEC_ON_LOSS = 0.005
FEC_OFF_LOSS = 0.002
MAX_EXPECTED_LOSS_PERCENT = 25  # beyond, libopus lowers the primary's quality without a better copy


MAX_DISTANCE = 8  # frames kept for copies
DEFAULT_ROUND_TRIP = 0.1
SHARE_BESIDE_VIDEO = 0.6  # of a link whose speed is known


class AudioSender:
    """`rng` gives SSRC offsets; `encoder` is owned and closed by the stream.

    Towards a peer that understands RED, copies protect the voice: chosen on the arrivals that it reports, or on the
    loss in its receiver reports. Towards others Opus' in-band FEC does. Packets hold as much as the peer asked for.
    """

    def __init__(
        self, encoder: AudioEncoder, parameters: AudioParameters, *, ssrc: int, rtx_ssrc: int, rng: Random
    ) -> None:
        self._encoder = encoder
        self._parameters = parameters
        self._mid_until = MID_PACKETS  # packets sent
        self._waiting: Samples = np.zeros(0, np.int16)  # less than a packet
        self._frame_samples = parameters.packet_ms * SAMPLE_RATE // 1000
        self._samples_a_tick = SAMPLE_RATE // parameters.clock_rate
        self._in_silence = False  # the last frame was a DTX one
        self._media_time = 0  # ticks of the RTP clock
        self._said_until: float | None = None  # when the sample at that time was taken, or would have been
        self._stopped = False  # the direction was taken away, and nothing was said since
        self._loss = 0.0
        self._fec_on = False
        self.rtp = RtpSender(ssrc=ssrc, clock_rate=parameters.clock_rate, rng=rng)
        self._rtx = RtpSender(ssrc=rtx_ssrc, clock_rate=parameters.clock_rate, rng=rng)
        self._history = RetransmissionHistory()
        self._frames: deque[tuple[int, bytes]] = deque(maxlen=MAX_DISTANCE)  # (media time, payload)
        self._protection = ProtectionController()
        self._reported_scheme = NO_PROTECTION
        self._rate = AudioRateController()
        self._round_trip_rate = RoundTripRate(parameters.bitrate_bps)
        self._apply_scheme(self._rate.budget_bps)
        self.hurried = False
        self.redundant_bytes_sent = 0  # copies (RED) and what says where they are
        self.total_samples_captured = 0
        self.total_audio_energy = 0.0  # W3C: of what is sent, seconds times the mean square (full scale 1)
        self.nack_count = 0

    def configure(self, parameters: AudioParameters) -> None:
        """What a later pair of descriptions settles. The source and its numbers stay, whatever the codec."""
        before, self._parameters = self._parameters, parameters
        if (before.mid, before.mid_extension) != (parameters.mid, parameters.mid_extension):
            self._mid_until = self.rtp.packets_sent + MID_PACKETS
        if not parameters.send:
            self._stopped = self._said_until is not None
            self._forget()
        if _encoding(before) != _encoding(parameters):
            self._forget()
            self._encoder.close()
            self._encoder = create_encoder(parameters)
            self._encoder.set_hurried(self.hurried)
            self._frame_samples = parameters.packet_ms * SAMPLE_RATE // 1000
            self._samples_a_tick = SAMPLE_RATE // parameters.clock_rate
            self.rtp.clock_rate = self._rtx.clock_rate = parameters.clock_rate
            self._round_trip_rate = RoundTripRate(parameters.bitrate_bps)
            self._reported_scheme, self._fec_on = NO_PROTECTION, False
            self._apply_scheme(self._rate.budget_bps)

    def _forget(self) -> None:
        """What was said before is not sent any more, in no form."""
        self._waiting = np.zeros(0, np.int16)
        self._frames.clear()
        self._history.clear()
        self._in_silence = False

    @property
    def scheme(self) -> Scheme:
        """How the voice is protected now."""
        return self._protection.scheme if self.hears_arrivals else self._reported_scheme

    @property
    def _uses_red(self) -> bool:
        # Longer packets would lie too far apart for copies in later ones; theirs is FEC.
        return self._parameters.red_payload_type is not None and self._parameters.packet_ms <= 20

    @property
    def hears_arrivals(self) -> bool:
        """Whether the peer tells when packets arrive, and it is acted upon."""
        return self._uses_red and self._parameters.arrival_feedback

    def push(self, samples: Samples, captured: float) -> list[bytes]:
        """int16 mono at 48 kHz, whose first sample was taken at `captured` -> the RTP packets that are full now."""
        captured -= len(self._waiting) / SAMPLE_RATE
        self._catch_up(captured)
        self._waiting = np.concatenate((self._waiting, samples)) if len(self._waiting) else samples
        self.total_samples_captured += len(samples)
        scaled = samples.astype(np.float32)
        self.total_audio_energy += float(scaled @ scaled) / (SAMPLE_RATE * FULL_SCALE**2)
        packets = []
        while len(self._waiting) >= self._frame_samples:
            frame, self._waiting = self._waiting[: self._frame_samples], self._waiting[self._frame_samples :]
            if (packet := self._packet(frame, captured)) is not None:
                packets.append(packet)
            captured += len(frame) / SAMPLE_RATE
        self._said_until = captured
        if self._waiting.base is samples or self._waiting is samples:
            self._waiting = self._waiting.copy()  # the caller may use its own again
        return packets

    def skip(self, samples: int) -> None:
        """Leave out so much: the media time goes on, and a packet that was not full yet is left out with it."""
        self._media_time += (samples + len(self._waiting)) // self._samples_a_tick
        if self._said_until is not None:
            self._said_until += (samples + len(self._waiting)) / SAMPLE_RATE
        self._waiting = self._waiting[:0]
        self.total_samples_captured += samples

    def _catch_up(self, captured: float) -> None:
        """The sampling clock went on while nothing was sent (RFC 3550 section 5.1)."""
        if self._stopped and self._said_until is not None:
            self._media_time += round(max(0.0, captured - self._said_until) * self.rtp.clock_rate)

    def _packet(self, samples: Samples, captured: float) -> bytes | None:
        payload = self._encoder.encode(samples)
        silent = self._parameters.use_dtx and len(payload) <= MAX_SILENCE_BYTES
        if silent and self._in_silence:  # the first one tells that there will be none
            self._media_time += len(samples) // self._samples_a_tick
            return None
        first = self.rtp.packets_sent == 0 or self._stopped or (self._in_silence and not silent)
        self._in_silence, self._stopped = silent, False
        extensions = self._extensions(self.rtp.packets_sent)
        payload_type, body = self._with_copies(payload)
        packet = self.rtp.make(
            payload_type, self._media_time, body, captured, marker=first, extensions=extensions
        )
        if self._parameters.nack and self._parameters.rtx_payload_type is not None:
            # What is sent again is the frame alone: its copies have been on their way for long.
            alone = RtpPacket(
                self._parameters.send_payload_type,
                packet.sequence_number,
                packet.timestamp,
                packet.ssrc,
                payload,
            )
            self._history.add(alone, captured)
        self._frames.append((self._media_time, payload))
        self._media_time += len(samples) // self._samples_a_tick
        data = packet.serialize()
        self.rtp.count(packet, data)
        self.redundant_bytes_sent += len(body) - len(payload)
        self._rate.sent(
            packet.sequence_number, len(data) + TRANSPORT_BYTES, captured + len(samples) / SAMPLE_RATE
        )
        return data

    def _extensions(self, sent: int) -> dict[int, bytes]:
        identifier = self._parameters.mid_extension
        if identifier is None or sent >= self._mid_until:
            return {}
        return {identifier: self._parameters.mid.encode()}

    def _with_copies(self, payload: bytes) -> tuple[int, bytes]:
        """(payload type, payload), as RED when the scheme has copies to add."""
        opus = self._parameters.send_payload_type
        distances = self.scheme.distances
        if not distances or self._parameters.red_payload_type is None:
            return opus, payload
        blocks = []
        for distance in sorted(distances, reverse=True):
            if distance <= len(self._frames):
                time, frame = self._frames[-distance]
                offset = self._media_time - time
                if offset <= red.MAX_OFFSET and len(frame) <= red.MAX_BLOCK_BYTES:
                    blocks.append((opus, offset, frame))
        if not blocks:
            return opus, payload
        return self._parameters.red_payload_type, red.build(blocks, opus, payload)

    @property
    def budget_bps(self) -> float | None:
        """What all packets of the stream may take, headers included; None: the peer tells no arrivals."""
        return self._rate.budget_bps if self.hears_arrivals else None

    @property
    def path_queue(self) -> float:
        """Seconds that packets wait on the path, as of the last report; 0: none, or the peer tells no arrivals."""
        return self._rate.queue

    def path_report(self, now: float) -> PathReport | None:
        """What the arrivals tell of the path; None: the peer tells none, or there are none yet."""
        record = self._rate.record
        if not self.hears_arrivals or not record.outcomes:
            return None
        sent = record.sent_bps(now) + record.other_bps(now)
        return PathReport(
            queue=record.queue,
            unevenness=record.unevenness,
            carried_share=record.carried_share,
            link_bps=record.link_bps,
            at_least_bps=record.at_least_bps,
            sent_bps=sent,
        )

    def _apply_scheme(self, budget_bps: float) -> None:
        if self.hears_arrivals:
            scheme = self._protection.scheme
            bitrate = scheme.fitting(budget_bps)
            self._encoder.set_bitrate(min(bitrate, self._parameters.bitrate_bps))
            self._frame_samples = scheme.packet_ms * SAMPLE_RATE // 1000

    def receive_arrivals(self, report: ArrivalReport, now: float, *, alone: bool = True) -> None:
        """What the far end says arrived, packet by packet, and when.

        `alone`: no video of ours fills the path, whose rate makes the room that the voice needs.
        """
        if not self.hears_arrivals:
            return
        if self._parameters.nack and self._parameters.rtx_payload_type is not None:
            self._protection.round_trip_time = self.rtp.round_trip_time
        self._rate.receive(report, now, alone=alone)
        self._protection.receive(report, budget_bps=self._rate.steady_bps if alone else self._beside_video)
        self._apply_scheme(self._rate.budget_bps if alone else self._beside_video)

    @property
    def _beside_video(self) -> float:
        """What the voice may take beside video, which makes room: all that it has a use for, or most of a thin link.

        While there is a queue, no more than a thin link carries: copies would make it longer.
        """
        link = self._rate.record.link_bps
        if self._rate.is_queued:
            return START_BPS
        return MAX_WIRE_BPS if link is None else min(MAX_WIRE_BPS, max(START_BPS, SHARE_BESIDE_VIDEO * link))

    def sent_beside(self, wire_bytes: int, now: float, *, lasting: bool = True) -> None:
        """What goes the same way, with all its headers: RTCP; not `lasting`: DTLS."""
        self._rate.sent_other(wire_bytes, now, lasting=lasting)

    def receive_nack(self, numbers: list[int], now: float) -> list[bytes]:
        """Packets to send again, now."""
        self.nack_count += 1
        rtx = self._parameters.rtx_payload_type
        # Not as the same packet again, which libwebrtc asks for though its answer has no `nack`: measured, its voice
        # comes up to 160 ms later then, and its reports tell of no loss any more.
        if rtx is None:
            return []
        out = []
        round_trip = self.rtp.round_trip_time or DEFAULT_ROUND_TRIP
        for packet in self._history.asked(numbers, round_trip, now):
            copy = to_rtx(
                packet,
                payload_type=rtx,
                ssrc=self._rtx.ssrc,
                sequence_number=self._rtx.next_number(),
                extensions=self._extensions(self._rtx.packets_sent),
            )
            data = copy.serialize()
            self._rtx.count(copy, data)
            self.sent_beside(len(data) + TRANSPORT_BYTES, now)
            out.append(data)
        return out

    @property
    def packets_retransmitted(self) -> int:
        return self._history.packets_retransmitted

    @property
    def bytes_retransmitted(self) -> int:
        return self._history.bytes_retransmitted

    def receive_report(self, block: ReportBlock, unix_time: float) -> None:
        """What the far end says it lost; all that there is to go by where it does not tell arrivals."""
        measured = self.rtp.round_trip_time_measurements
        self.rtp.receive_report(block, unix_time)
        if self.rtp.round_trip_time_measurements > measured and self.rtp.round_trip_time:
            self._round_trip_rate.receive(self.rtp.round_trip_time)
        lost = block.fraction_lost / 256
        self._loss += (LOSS_ATTACK if lost > self._loss else LOSS_RELEASE) * (lost - self._loss)
        if not self.hears_arrivals:
            self._follow_reports()

    def set_path_round_trip_time(self, seconds: float) -> None:
        """What ICE measured, at first before there was media that could have made a queue."""
        self._round_trip_rate.compare_with(seconds)

    def _follow_reports(self) -> None:
        limit = self._round_trip_rate.limit_bps
        if self._uses_red:
            # Copies would make a queue longer.
            room = limit >= self._parameters.bitrate_bps
            self._reported_scheme = near_scheme(self._loss) if room else NO_PROTECTION
        copies = self._reported_scheme.distances
        self._encoder.set_bitrate(min(limit, self._reported_scheme.bitrate_bps) if copies else limit)
        if self._parameters.use_inband_fec:
            self._fec_on = self._loss > (FEC_OFF_LOSS if self._fec_on else FEC_ON_LOSS)
            wanted = self._fec_on and not copies
            percent = min(MAX_EXPECTED_LOSS_PERCENT, round(100 * self._loss) or 1) if wanted else 0
            self._encoder.set_expected_loss(percent)

    @property
    def bitrate_bps(self) -> int:
        return self._encoder.bitrate_bps

    def set_hurried(self, hurried: bool) -> None:
        """Whether the machine has no time for the encoder's best."""
        if hurried != self.hurried:
            self.hurried = hurried
            self._encoder.set_hurried(hurried)

    @property
    def reported_loss(self) -> float:
        """Smoothed share of packets that the far end misses."""
        return self._loss

    def close(self) -> None:
        self._encoder.close()


def _encoding(parameters: AudioParameters) -> tuple[object, ...]:
    """What makes another encoder necessary."""
    return parameters.codec, parameters.packet_ms, parameters.bitrate_bps, parameters.use_dtx
