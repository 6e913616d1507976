"""How a voice stream was heard since the call began, for its sender (RFC 3611 section 4.7)."""

from media import webrtc_stats
from media.jitterbuffer.bursts import GMIN
from media.jitterbuffer.delay_manager import BIN_MS, BINS
from media.jitterbuffer.jitter_buffer import EARLY, SAMPLE_RATE
from media.quality import emodel
from media.quality.stats import ReceivedSecond, Stats, received
from media.rtp.extended_reports import VoipMetrics
from media.streams.audio_receiver import AudioReceiver

# The delay manager's histograms reach so far, and the target no farther.
MAX_DELAY_MS = BINS * BIN_MS
TALKING_PACKETS = 4.0  # a second, below which a sender does not talk (media.quality.report)


class VoipMeter:
    """sample() about every second; metrics() when a report is to go out.

    R and MOS are means over the time in which there was something to hear, as in the receiver's own report. Intervals
    without a packet wait for the next one: a gap in its numbers tells that they were an outage, else they were a pause.
    """

    def __init__(self) -> None:
        self._before: tuple[float, Stats] | None = None
        self._last: ReceivedSecond | None = None
        self._round_trip = 0.0
        self._heard = 0.0  # seconds
        self._empty = 0.0  # seconds without a packet, at the end
        self._r = self._mos_lq = self._mos_cq = 0.0  # times seconds

    def sample(self, receiver: AudioReceiver, round_trip: float | None, now: float) -> None:
        """Judge what was heard since the last sample. `round_trip` in seconds."""
        stats: Stats = {
            "inbound-rtp-audio": webrtc_stats.inbound(receiver),
            "path": {"type": "candidate-pair", "currentRoundTripTime": round_trip},
        }
        before, self._before = self._before, (now, stats)
        self._round_trip = round_trip or 0.0
        if before is None or now <= before[0]:
            return
        seconds = now - before[0]
        second = received(before[1], stats, now, seconds)
        if not second.packets:
            self._empty += seconds if self._last is not None else 0.0
            return
        if self._empty and (second.packets_lost or 0.0) >= TALKING_PACKETS * self._empty:
            self._add(self._empty, 100.0, 0.0, emodel.MAX_BURST_RATIO)
        self._empty = 0.0
        if second.concealed_percent is not None and second.burst_ratio is not None:
            self._last = second
            self._add(seconds, second.concealed_percent, second.delay_ms or 0.0, second.burst_ratio)

    def _add(self, seconds: float, concealed_percent: float, delay_ms: float, burst_ratio: float) -> None:
        self._heard += seconds
        self._r += seconds * max(0.0, emodel.rating(concealed_percent, delay_ms, burst_ratio))
        self._mos_lq += seconds * emodel.mos(concealed_percent, burst_ratio=burst_ratio)
        self._mos_cq += seconds * emodel.mos(concealed_percent, delay_ms, burst_ratio)

    def metrics(self, receiver: AudioReceiver) -> VoipMetrics | None:
        """None while nothing was heard."""
        if receiver.statistics is None or self._last is None or receiver.ended:
            return None
        buffer = receiver.jitter_buffer
        meter, frames = buffer.bursts, max(1, buffer.bursts.frames)
        late = min(buffer.counters.late_frames, meter.missing)
        bursts = meter.measure(SAMPLE_RATE)
        nominal_ms = round(buffer.target_delay * 1000)
        end_system_ms = (self._last.jitter_buffer_ms or 0.0) + emodel.PACKETISATION_MS + emodel.LOOKAHEAD_MS
        return VoipMetrics(
            receiver.statistics.ssrc,
            loss_rate=(meter.missing - late) / frames,
            discard_rate=late / frames,
            burst_density=bursts.burst_density,
            gap_density=bursts.gap_density,
            burst_duration_ms=round(bursts.burst_duration * 1000),
            gap_duration_ms=round(bursts.gap_duration * 1000),
            round_trip_ms=round(self._round_trip * 1000),
            end_system_delay_ms=round(end_system_ms),
            gmin=GMIN,
            r_factor=round(self._r / self._heard),
            mos_lq=self._mos_lq / self._heard,
            mos_cq=self._mos_cq / self._heard,
            jitter_buffer_nominal_ms=nominal_ms,
            jitter_buffer_maximum_ms=min(MAX_DELAY_MS, nominal_ms + round(EARLY * 1000)),
            jitter_buffer_absolute_maximum_ms=MAX_DELAY_MS,
        )
