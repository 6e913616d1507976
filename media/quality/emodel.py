"""The E-model for fullband speech, ITU-T G.107.2 (03/2023): from loss and delay to a mean opinion score.

    R = 148 - Id - Ie,eff          MOS = f(R / 1.48), f as in G.107 Annex B

The ITU publishes no equipment values for Opus. `opus(bitrate)` has those that predict PESQ-WB (P.862.2) best on the
project's networks: Ie by the rate at which the voice was coded, a Bpl, and the weight of what was stretched or
shortened, which is heard, too (docs/report.md has the fit and what it leaves). `Ppl` is the share that had to be
concealed after jitter buffer and FEC, not network loss. Where no rate is known, the values are those of EVS at
48 kbit/s (G.113 (09/2024) App. V).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from media.streams.protection import QUALITY

# What a sound waits for besides network and jitter buffer: one 20 ms frame and Opus's look-ahead (RFC 6716, 2.2
# gives 2.5 ms overlap + 4 ms resampling delay in voice mode).
PACKETISATION_MS = 20.0
LOOKAHEAD_MS = 6.5
_R0 = 148.0
_SCALE = 1.48
# G.107.2: 132 takes the place of G.107's 95 in Ie,eff.
_IE_LIMIT = 132.0
# G.107, table of permitted ranges.
MAX_BURST_RATIO = 8.0


@dataclass(frozen=True, slots=True)
class EquipmentValues:
    """`ie`: the codec without loss; `bpl`: how well it stands loss (percent)."""

    name: str = "EVS at 48 kbit/s (G.113 App. V)"
    ie: float = 10.2
    bpl: float = 9.6


OPUS = EquipmentValues()
# Fitted with STRETCH_WEIGHT to PESQ-WB of calls in virtual time, November 2026: docs/report.md.
_OPUS_BPL = 2.8
# A percent by which the sound was made longer or shorter costs as much as so many percent concealed.
STRETCH_WEIGHT = 2.2


@cache
def opus(kbit_s: int) -> EquipmentValues:
    """Of Opus at this rate: without loss, MOS-LQ is the PESQ-WB measured there (streams.protection.QUALITY)."""
    rates, scores = zip(*QUALITY, strict=True)
    score = _interpolated(kbit_s * 1000, rates, scores)
    low, high = 0.0, 100.0
    while high - low > 0.001:
        middle = (low + high) / 2
        low, high = (middle, high) if mos_from_r(middle) < score else (low, middle)
    return EquipmentValues(f"Opus at {kbit_s} kbit/s", _R0 - _SCALE * low, _OPUS_BPL)


def _interpolated(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Between points whose x rise; the first or last y beyond them."""
    for (x0, y0), (x1, y1) in pairwise(zip(xs, ys, strict=True)):
        if x <= x1:
            return y0 + (y1 - y0) * max(0.0, x - x0) / (x1 - x0)
    return ys[-1]


def values_for(codec_bps: float | None) -> EquipmentValues:
    """By the rate at which the voice was coded, where that is known."""
    return OPUS if codec_bps is None else opus(max(1, round(codec_bps / 1000)))


def impaired_percent(concealed_percent: float, stretched_percent: float | None) -> float:
    """The share of the sound that is to be judged as concealed."""
    return min(100.0, concealed_percent + STRETCH_WEIGHT * (stretched_percent or 0.0))


def mos_from_r(r: float) -> float:
    """MOS (1 to 4.5) of a rating on G.107's scale of 0 to 100."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    # The cubic dips below 1 for R < 6.5; nothing is worse than 1.
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def delay_impairment(one_way_ms: float) -> float:
    """Id,FB of the mouth-to-ear delay in ms: nothing up to 100 ms."""
    if one_way_ms <= 100:
        return 0.0
    x = math.log2(one_way_ms / 100)
    bracket: float = (1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2
    return 1.48 * 25 * bracket


def equipment_impairment(
    concealed_percent: float, burst_ratio: float = 1.0, values: EquipmentValues = OPUS
) -> float:
    """Ie,eff of the concealed share (percent) and its burst ratio (1: random)."""
    if concealed_percent <= 0:
        return values.ie
    share = concealed_percent / (concealed_percent / burst_ratio + values.bpl)
    return values.ie + (_IE_LIMIT - values.ie) * share


def mos(
    concealed_percent: float,
    one_way_ms: float = 0.0,
    burst_ratio: float = 1.0,
    values: EquipmentValues = OPUS,
) -> float:
    """MOS-CQ of a second with this concealed share and mouth-to-ear delay; without the delay, MOS-LQ.

    Raises ValueError for a share outside 0 to 100, a negative delay, a burst ratio that is not positive.
    """
    if not (0 <= concealed_percent <= 100 and 0 <= one_way_ms < math.inf and 0 < burst_ratio < math.inf):
        raise ValueError(f"no MOS for {concealed_percent} % concealed, {one_way_ms} ms, burst {burst_ratio}")
    return mos_from_r(rating(concealed_percent, one_way_ms, burst_ratio, values))


def rating(
    concealed_percent: float,
    one_way_ms: float = 0.0,
    burst_ratio: float = 1.0,
    values: EquipmentValues = OPUS,
) -> float:
    """R on G.107's scale, at most 100; what mos() is made of, below 0 where nothing can be understood."""
    impairment = delay_impairment(one_way_ms) + equipment_impairment(concealed_percent, burst_ratio, values)
    return (_R0 - impairment) / _SCALE


def burst_ratio(mean_run_packets: float, share: float) -> float:
    """BurstR (G.107, 3.5): the mean run of losses over the one of random loss of that share (0..1).

    A run is a packet at least; the recommendation knows ratios up to 8, and where all is lost it is that.
    """
    if share <= 0:
        return 1.0
    if share >= 1:
        return MAX_BURST_RATIO
    return min(MAX_BURST_RATIO, max(1.0, mean_run_packets) * (1 - share))


def one_way_delay_ms(rtt_ms: float, jitter_buffer_ms: float) -> float:
    """Mouth to ear without the devices: half the round trip, the buffer, the packet, the codec."""
    return rtt_ms / 2 + jitter_buffer_ms + PACKETISATION_MS + LOOKAHEAD_MS


def verdict(score: float) -> str:
    """A word for a MOS, after the bounds of user satisfaction in G.107 Annex B (R 90, 80, 70, 60)."""
    for bound, word in ((4.34, "very good"), (4.03, "good"), (3.60, "fair"), (3.10, "poor")):
        if score >= bound:
            return word
    return "bad"
