"""How voice is protected against loss: bitrate and redundant copies (RED), from the loss process that was measured.

The far end tells packet by packet what arrived (RFC 8888). For every scheme, a set of distances at which a copy of a
frame travels, the outcomes of the last seconds say what would have remained lost had it been used: so bursts and
random loss need no model and no threshold. The scheme with the best expected quality for the bytes wins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from media.parameters import DEFAULT_BITRATE_BPS
from media.rtp.congestion_feedback import ArrivalReport
from media.rtp.sequence import Unwrapper

WINDOW = 1500  # packets: 30 s
MEMORY = 600.0  # packets: outcomes weigh exp(-age / MEMORY), 12 s
PRIOR = 150.0  # packets: weight of independent losses at the measured rate, while little is known
# and where losses do not follow each other more than by chance: three in a row are too rare to be counted
PRIOR_INDEPENDENT = 600.0
RUN_RATIO, RUN_DEVIATIONS = 2.0, 3.0  # losses this much more likely after a loss, and not by chance, are runs
FRAME_MS = 20
TRANSPORT_BYTES = 28 + 16  # IP and UDP, SRTP tag
OVERHEAD_BYTES = TRANSPORT_BYTES + 12 + 1  # RTP, RED's last header
RED_HEADER_BYTES = 4
MIN_BITRATE_BPS = 6_000
MAX_WIRE_BPS = 104_000  # of media; with feedback below 110 kbit/s
# PESQ-WB of Opus at these rates without loss (measured over four voices; from 36 kbit/s by the differences over three)
QUALITY = (
    (6_000, 1.9),
    (8_000, 2.5),
    (12_000, 3.68),
    (16_000, 3.91),
    (18_000, 4.01),
    (20_000, 4.09),
    (24_000, 4.21),
    (28_000, 4.27),
    (32_000, 4.33),
    (36_000, 4.36),
    (40_000, 4.39),
)
# PESQ-WB lost to concealment: 2.6 (1 - exp(-percent / 5.2)) follows the measured table within 0.1
LOSS_DEPTH, LOSS_SCALE_PERCENT = 2.6, 5.2
DELAY_COST_PER_S = 7.0  # quality a second of waiting for a copy costs; 20 ms are 0.14
# and beyond this much, where losses come in runs: whoever has bursts is better off with a later voice
FAR_DELAY, FAR_DELAY_COST_PER_S = 0.040, 3.5
LONG_PACKET_COST_PER_S = 8.5  # on top: longer packets come less evenly, and with each more is lost
CLEAN_PACKETS = 500  # without a loss, 10 s: what was before is forgotten
REPAIR_OVERHEAD = (
    0.020  # seconds from a packet's own time to the request for it, and to its turn when it has come
)
UNSETTLED = 4  # packets: the newest may still come, late or out of order; the next report tells
CHANGE_GAIN = 0.06  # a change of scheme must promise more than this
CHANGE_RESIDUAL = 0.004  # a scheme that leaves so much less lost is taken at once
CHANGE_PAUSE_PACKETS = 75  # a weaker scheme must look better this long


@dataclass(frozen=True, slots=True)
class Scheme:
    """`distances` in packets; empty: no redundancy. `packet_ms`: how much sound a packet holds."""

    bitrate_bps: int
    distances: tuple[int, ...] = ()
    packet_ms: int = FRAME_MS

    @property
    def wire_bps(self) -> int:
        copies = len(self.distances)
        head = OVERHEAD_BYTES + RED_HEADER_BYTES * copies
        return head * 8 * 1000 // self.packet_ms + self.bitrate_bps * (1 + copies)

    def fitting(self, wire_bps: float) -> int:
        """The bitrate, or as much of it as fits into so much."""
        copies = len(self.distances)
        head = OVERHEAD_BYTES + RED_HEADER_BYTES * copies
        room = (wire_bps - head * 8 * 1000 / self.packet_ms) / (1 + copies)
        return min(self.bitrate_bps, max(MIN_BITRATE_BPS, int(room)))

    @property
    def waiting(self) -> float:
        """How much later than a frame its farthest copy is sent, seconds."""
        return max(self.distances, default=0) * self.packet_ms / 1000


NO_PROTECTION = Scheme(DEFAULT_BITRATE_BPS)
SCHEMES = (
    NO_PROTECTION,
    *(Scheme(DEFAULT_BITRATE_BPS, (d,)) for d in (1, 2, 3, 4)),
    Scheme(24_000, (1, 2)),
    *(Scheme(22_000, pair) for pair in ((1, 3), (2, 3), (1, 4), (2, 4))),  # retransmissions come on top
    *(Scheme(16_000, three) for three in ((1, 2, 3), (1, 2, 4))),
    # where a third of the packets and more are lost; the rest of these is in reserve for thinner paths
    *(Scheme(12_000, far) for far in ((1, 2, 3, 4), (1, 2, 3), (1, 2))),
    Scheme(16_000, (1, 2)),
    # for thinner paths: less bitrate, then longer packets, whose headers cost less
    *(Scheme(rate) for rate in (32_000, 28_000, 24_000, 22_000, 20_000, 18_000, 16_000, 14_000)),
    *(Scheme(rate, (d,)) for rate in (24_000, 20_000, 16_000, 12_000) for d in (1, 2, 4)),
    *(Scheme(rate, (), 40) for rate in (24_000, 20_000, 16_000, 12_000)),
    *(Scheme(rate, (), 60) for rate in (16_000, 12_000, 10_000, 8_000, 6_000)),
)
THINNEST = min(SCHEMES, key=lambda scheme: scheme.wire_bps)
START = Scheme(16_000)  # fits into 48 kbit/s; the first reports tell in a tenth of a second whether more does
# Where a call begins with many losses: its first seconds say too little for a choice, and losses there are heard.
FIRST, FIRST_PACKETS, FIRST_LOSS = Scheme(24_000, (1, 2)), 250, 0.06


# Towards a peer that tells its loss only (RFC 3550 section 6.4), whose receiver does not wait for far copies.
NEAR_SCHEMES = (NO_PROTECTION, Scheme(DEFAULT_BITRATE_BPS, (1,)), Scheme(24_000, (1, 2)))


def near_scheme(loss: float) -> Scheme:
    """The scheme for so much loss (share, 0..1), taken as independent since nothing else is known."""
    return max(NEAR_SCHEMES, key=lambda s: _value(s, loss ** (1 + len(s.distances)), runs=False))


class ProtectionController:
    """Feed it arrival reports; `scheme` is what to send by."""

    def __init__(self) -> None:
        self._unwrapper = Unwrapper(16)
        self._outcomes: dict[int, bool] = {}  # unwrapped number -> arrived
        self.scheme = START
        self.round_trip_time: float | None = (
            None  # where lost packets are asked for again; None: they are not
        )
        self.loss = 0.0
        self._better_since: int | None = None  # the packet at which another scheme began to look better
        self._residuals: dict[tuple[int, ...], float] = {}  # by the distances of copies
        self._had_first = False

    def receive(self, report: ArrivalReport, *, budget_bps: float = MAX_WIRE_BPS) -> None:
        """Outcomes of our packets. A later report may say that a packet has come after all."""
        begin = self._unwrapper.unwrap(report.begin)
        for index, age in enumerate(report.arrivals):
            self._outcomes[begin + index] = self._outcomes.get(begin + index, False) or age is not None
        if not self._outcomes:
            return
        numbers = np.fromiter(self._outcomes, np.int64, len(self._outcomes))
        gone = ~np.fromiter(self._outcomes.values(), bool, len(self._outcomes))
        newest = int(numbers.max())
        oldest = newest - WINDOW + 1
        settled = numbers <= newest - UNSETTLED
        losses = numbers[gone & settled]
        if len(losses) and newest - losses.max() > CLEAN_PACKETS:
            oldest = max(oldest, int(losses.max()) + 1)
        recent = numbers >= oldest
        for number in numbers[~recent].tolist():
            del self._outcomes[number]
        self._choose(
            numbers[recent & settled], gone[recent & settled], int(numbers[recent].min()), budget_bps
        )

    def residual(self, scheme: Scheme) -> float:
        """Share of frames that would have stayed lost, as of the last report."""
        return self._residuals.get(scheme.distances, 0.0)

    def _repair(self, scheme: Scheme) -> int | None:
        """Packets after a lost one at which its retransmission is sent, where that comes before the last copy."""
        if self.round_trip_time is None or not scheme.distances:
            return None
        if self.round_trip_time + REPAIR_OVERHEAD > scheme.waiting:
            return None
        return math.ceil((REPAIR_OVERHEAD + self.round_trip_time / 2) * 1000 / scheme.packet_ms)

    def _choose(
        self, numbers: NDArray[np.int64], gone: NDArray[np.bool_], first: int, budget_bps: float
    ) -> None:
        """By what is known since packet `first`: `numbers` of packets, `gone` those that were lost."""
        if not len(numbers):
            return
        last = max(self._outcomes) - UNSETTLED
        lost = np.zeros(last - first + 1, bool)
        known = np.zeros(last - first + 1, bool)
        known[numbers - first] = True
        lost[numbers - first] = gone
        weights = np.exp((np.arange(len(lost)) - len(lost)) / MEMORY) * known
        total = float(weights.sum())
        self.loss = min(1.0, float(weights @ lost) / total)  # rounding gives a little more where all are lost
        if (
            len(lost) < FIRST_PACKETS
            and self.loss > FIRST_LOSS
            and FIRST.wire_bps <= budget_bps
            and not self._had_first
        ):
            self.scheme, self._had_first = FIRST, True
        # A single loss says little.
        likely = max(0.0, self.loss - 1 / total)
        before = float(weights[:-1] @ lost[:-1])
        following = float(weights[:-1] @ (lost[:-1] & lost[1:])) / before if before else 0.0
        deviation = (self.loss * (1 - self.loss) / before) ** 0.5 if before else 0.0
        runs = following > RUN_RATIO * self.loss + RUN_DEVIATIONS * deviation
        prior = PRIOR if runs else PRIOR_INDEPENDENT
        best, value, present = self.scheme, -1e9, None
        self._residuals.clear()
        for scheme in SCHEMES:
            if scheme.wire_bps > budget_bps and scheme is not THINNEST:
                continue
            residual = self._residuals.get(scheme.distances)
            if residual is None:  # copies are used with packets of one length only
                residual = (
                    _residual(lost, weights, scheme.distances, self._repair(scheme)) if self.loss else 0.0
                )
                independent = likely ** (1 + len(scheme.distances))
                residual = (residual * total + independent * prior) / (total + prior)
                self._residuals[scheme.distances] = residual
            worth = _value(scheme, residual, runs)
            if scheme == self.scheme:
                present = worth
            if worth > value:
                best, value = scheme, worth
        same_copies = best.distances == self.scheme.distances
        only_bitrate = same_copies and best.packet_ms == self.scheme.packet_ms  # nobody hears the change
        if present is not None and value < present + CHANGE_GAIN * (not only_bitrate):
            self._better_since = None
            return
        # Against loss at once; back to less protection, or nearer copies, with patience.
        if self._better_since is None:
            self._better_since = last
        stronger = self.residual(best) < self.residual(self.scheme) - CHANGE_RESIDUAL
        stronger |= same_copies  # it is the budget that has changed
        if present is None or stronger or last - self._better_since >= CHANGE_PAUSE_PACKETS:
            self.scheme, self._better_since = best, None


def _residual(
    lost: NDArray[np.bool_], weights: NDArray[np.float64], distances: Sequence[int], repair: int | None
) -> float:
    """Weighted share of frames whose packet and all copies were lost; `repair`: and the retransmission, sent then."""
    reach = max(max(distances, default=0), repair or 0)
    count = len(lost) - reach
    if count <= 0:
        return 0.0
    gone = lost[:count].copy()
    for distance in distances:
        gone &= lost[distance : distance + count]
    weight = float(weights[:count].sum())
    if not weight:
        return 0.0
    share = float(weights[:count] @ gone) / weight
    if repair is None:
        return share
    # The request is lost as often, for all that is known, and then there is no answer.
    unasked = float(weights @ lost) / float(weights.sum())
    unanswered = float(weights[:count] @ (gone & lost[repair : repair + count])) / weight
    return unanswered + unasked * (share - unanswered)


@cache
def _quality(bitrate_bps: int) -> float:
    """PESQ-WB without loss."""
    rates, scores = zip(*QUALITY, strict=True)
    return float(np.interp(bitrate_bps, rates, scores))


def _value(scheme: Scheme, residual: float, runs: bool) -> float:
    """Expected PESQ-WB, less the cost of waiting for the farthest copy. `runs`: losses come in runs."""
    damage = LOSS_DEPTH * (1 - math.exp(-100 * residual / LOSS_SCALE_PERCENT))
    longer = (scheme.packet_ms - FRAME_MS) / 1000  # is waited for, too, and is more that is lost at once
    waiting = scheme.waiting + longer
    far = max(0.0, waiting - FAR_DELAY) if runs else 0.0
    cost = DELAY_COST_PER_S * (waiting - far) + FAR_DELAY_COST_PER_S * far
    return _quality(scheme.bitrate_bps) - damage - cost - LONG_PACKET_COST_PER_S * longer
