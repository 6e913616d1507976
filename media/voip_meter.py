"""How a voice stream was heard since the call began, for its sender (RFC 3611 section 4.7)."""

from media import webrtc_stats
from media.jitterbuffer.bursts import GMIN
from media.jitterbuffer.histogram import BIN_MS, BINS
from media.jitterbuffer.jitter_buffer import EARLY, SAMPLE_RATE
from media.quality import emodel
from media.quality.stats import ReceivedSecond, Stats, received
from media.rtp.extended_reports import VoipMetrics
from media.streams.audio_receiver import AudioReceiver

# The delay manager's histograms reach so far, and the target no farther.
MAX_DELAY_MS = BINS * BIN_MS


class VoipMeter:
    """sample() about every second; metrics() when a report is to go out.

    R and MOS are means of what the intervals between samples have, each with the weight of the packets that were sent
    in it: a pause has none, and those of an outage show as missing with the packet that ends it.
    """

    def __init__(self) -> None:
        self._before: tuple[float, Stats] | None = None
        self._last: ReceivedSecond | None = None
        self._round_trip = 0.0
        self._codec_bps: float | None = None
        self._weight = 0.0
        self._r = self._mos_lq = self._mos_cq = 0.0  # times their weight

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
        second = received(before[1], stats, now, now - before[0])
        self._codec_bps = self._codec_bps if second.codec_bps is None else second.codec_bps
        concealed, burst, delay_ms = second.concealed_percent, second.burst_ratio, second.delay_ms or 0.0
        if not second.packets or concealed is None or burst is None:
            return
        concealed = emodel.impaired_percent(concealed, second.stretched_percent)
        values = emodel.values_for(self._codec_bps)
        self._last = second
        weight = second.packets + max(0.0, second.packets_lost or 0.0)
        self._weight += weight
        self._r += weight * max(0.0, emodel.rating(concealed, delay_ms, burst, values))
        self._mos_lq += weight * emodel.mos(concealed, 0.0, burst, values)
        self._mos_cq += weight * emodel.mos(concealed, delay_ms, burst, values)

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
            r_factor=round(self._r / self._weight),
            mos_lq=self._mos_lq / self._weight,
            mos_cq=self._mos_cq / self._weight,
            jitter_buffer_nominal_ms=nominal_ms,
            jitter_buffer_maximum_ms=min(MAX_DELAY_MS, nominal_ms + round(EARLY * 1000)),
            jitter_buffer_absolute_maximum_ms=MAX_DELAY_MS,
        )
