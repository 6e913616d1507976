"""How much a voice call may send: from the times at which its packets arrive (RFC 8888).

A queue is met by sending less than was carried until it is gone, then a little less than was carried; more is tried
in small steps that the voice has a use for (a better bitrate, copies), rarely where the last try failed. A queue that
does not follow what is sent is somebody else's: there is nothing to win by sending less. Loss alone is no congestion,
unless it grew with what is sent and no more arrives than before. So random loss is met with copies.
"""

import math

from media.congestion.arrival_record import ArrivalRecord
from media.rtp.congestion_feedback import ArrivalReport

START_BPS = 46_000  # fits into 48 kbit/s
MIN_BPS, MAX_BPS = 12_000, 110_000
QUEUE_HIGH = 0.040  # seconds; above the least of some jittered delays (measured: jitter profiles)
QUEUE_TRIED = 0.025  # where the limit is known and more than it is tried
UNEVEN = 3.0  # times the unevenness on top: with much jitter all packets of some moments are late
QUEUE_LOW, QUEUE_NONE = 0.020, 0.010  # below: to wait for the packet before is no queue on a thin path
BACK_OFF, BACK_OFF_MOST = 0.88, 0.5  # of what is carried, to let the queue drain
DRAIN_TIME = 0.4  # seconds in which it is to
COMPRESSED = 1.15  # no more is carried for long than is sent: jitter brings packets together
DRAIN = 0.6  # seconds that a decrease is given to drain the queue
BESIDE_CAPACITY = 0.93  # of what was carried
LOWER = 0.93  # of the limit, if the queue came without trying more
UNCHANGED = 0.75  # a limit that is met again is the one that was known, if no less than this share is carried
CALM_OTHER_BPS = 2_500  # RTCP in both directions, once a second
STEP = (
    1.08  # what is tried is so much more: the queue that it may cost grows slowly enough to be told in time
)
FASTER = 1.25  # a link that shows so much more is another one, or has become faster
EARLY, EARLY_SHARE = 1.0, 0.7  # seconds after the start, when little is known
STEP_CALM, STEP_MAX = 1.15, 1.25
STEP_PAUSE = 0.12  # seconds of packets of the last step that must have come without a queue
PATIENCE = 2.0  # seconds until a step is made though packets wait a little
PROBE_PAUSE, PROBE_PAUSE_MAX = 15.0, 60.0  # seconds after a limit was met, doubled each time it is met again
PROBE_LASTS = 2.0  # seconds after which a step beyond the known capacity has not failed
CALM = 2.0  # seconds without a queue and without a limit ever met: then copies may come at once
BEST_BPS = 50_000  # and while the best voice is sent
HEADROOM = 1.65  # times what is sent
USED = 0.88  # share of the budget without whose use no more is tried
GOOD_BPS, GOOD_LOSS = 39_500, 0.02  # a good voice without copies: more is worth few tries
IN_VAIN = 2  # decreases that no queue followed: it is not ours
FOLLOWED = 0.8  # a queue that fell below this share has followed
CARRIED = 0.8  # share of what is sent that arrives in the same time where the path carries it
SILENCE, SILENCE_FACTOR = 3.5, 0.7  # seconds without a report: the way is full or broken
# Loss that grew with the rate: what is sent grew, what arrives did not, and chance does not explain it.
GREW, NOT_GROWN, LOSS_SPAN, LOSS_PACKETS, DEVIATIONS = 1.2, 1.03, 1.5, 40, 5.0


class AudioRateController:
    """sent() and sent_other() every packet, receive() every report; `budget_bps` and `steady_bps` are for all packets
    of the stream with their headers."""

    def __init__(self) -> None:
        self.record = ArrivalRecord()
        self.capacity_bps: float | None = None  # what the path was seen to carry at most; None: no limit met
        self._proven: float | None = None  # while more is tried: what it was before
        self._budget = float(START_BPS)  # of all that is sent
        self._other = 0.0
        self._decreased = -1e9
        self._queue_then = 0.0  # at the last decrease
        self._in_vain = 0
        self._before = self._budget  # the first decrease of a row
        self._begun: float | None = None
        self._stepped = -1e9
        self._step = STEP
        self._next_probe = 0.0
        self._probe_pause = PROBE_PAUSE
        self._early = False  # the limit was met in the first second
        self._link_then = math.inf  # how fast the link showed to be at least since the limit was met
        self._silent_since: float | None = None
        self._before_silence = self._budget

    @property
    def budget_bps(self) -> float:
        """What the stream may send now."""
        return max(MIN_BPS, self._budget - self._other)

    @property
    def steady_bps(self) -> float:
        """What it may send as soon as the queue has gone and feedback is rare again."""
        then = self._budget
        if self.capacity_bps is not None and not self._is_foreign:
            then = max(then, BESIDE_CAPACITY * self.capacity_bps)
        return max(MIN_BPS, then - min(self._other, CALM_OTHER_BPS))

    @property
    def queue(self) -> float:
        """Seconds that packets wait on the path, as of the last report."""
        return self.record.queue

    @property
    def _is_foreign(self) -> bool:
        return self._in_vain >= IN_VAIN

    def sent(self, sequence_number: int, wire_bytes: int, now: float) -> None:
        """A packet of the stream, with all its headers."""
        self.record.sent(sequence_number, wire_bytes, now)
        since = self.record.waiting_since
        if since is not None and now - max(since, self._silent_since or since) > SILENCE:
            if self._silent_since is None:
                self._before_silence = self._budget
            self._silent_since = now
            self._budget = max(MIN_BPS, SILENCE_FACTOR * self._budget)

    def sent_other(self, wire_bytes: int, now: float, *, lasting: bool = True) -> None:
        """RTCP or a retransmission; not `lasting`: what is no reason to send less, such as the handshake."""
        self.record.sent_other(wire_bytes, now, lasting=lasting)

    @property
    def is_queued(self) -> bool:
        """Whether the last report shows a queue that is no jitter."""
        return self.queue > QUEUE_HIGH + UNEVEN * self.record.unevenness

    def receive(self, report: ArrivalReport, now: float, *, alone: bool = True) -> None:
        """`alone`: what the stream sends decides on the queue; else nothing is learned but the times."""
        newest = self.record.receive(report)
        if newest is None:
            return
        if not alone:
            self._silent_since, self._in_vain, self._queue_then = None, 0, 0.0
            return
        self._compare_with_link()
        if self._begun is None:
            self._begun = self._stepped = now
        self._other = self.record.other_bps(now)
        if self._silent_since is not None:
            self._silent_since = None
            if self.queue < QUEUE_HIGH:
                self._budget = self._before_silence
        high = QUEUE_HIGH if self._proven is None else QUEUE_TRIED
        if self.queue > high + UNEVEN * self.record.unevenness:
            if newest > self._decreased + DRAIN:
                self._meet_queue(newest, now)
        elif self._loss_grew(newest):
            self._decrease(newest, now)
        elif self.queue < QUEUE_LOW:
            self._in_vain, self._queue_then = 0, 0.0
            self._increase(newest, now)

    def _meet_queue(self, newest: float, now: float) -> None:
        fell = self.queue < FOLLOWED * self._queue_then
        if fell and newest < self._decreased + 4 * DRAIN:
            return
        carried = self.record.carried_share > CARRIED
        if self._queue_then and not fell and carried and not self._is_foreign:
            self._in_vain += 1
            if self._is_foreign:
                self._budget, self._decreased = self._before, now
        if not (self._is_foreign and carried):
            self._decrease(newest, now)

    def _loss_grew(self, newest: float) -> bool:
        """Whether more is sent than some time ago, more is lost than chance can explain, and no more arrives."""
        if not self.record.lost:
            return False
        late = [o for o in self.record.outcomes if newest - LOSS_SPAN < o[0] <= newest]
        early = [o for o in self.record.outcomes if newest - 3 * LOSS_SPAN < o[0] <= newest - 2 * LOSS_SPAN]
        if min(len(late), len(early)) < LOSS_PACKETS:
            return False
        sent, sent_before = (sum(size for _, size, _ in part) for part in (late, early))
        came, came_before = (sum(size for _, size, lost in part if not lost) for part in (late, early))
        if sent < GREW * sent_before or came > NOT_GROWN * came_before:
            return False
        lost, lost_before = (sum(gone for _, _, gone in part) for part in (late, early))
        share = (lost + lost_before) / (len(late) + len(early))
        # Losses in runs count as one each: of a path that loses at random there are as many again.
        variance = share * (1 - share) * (1 / len(late) + 1 / len(early)) * _mean_run(early)
        return bool(lost / len(late) - lost_before / len(early) > DEVIATIONS * variance**0.5)

    def _decrease(self, newest: float, now: float) -> None:
        sent = self.record.sent_bps(now)
        carried, once = self.record.carried_bps()
        carried = min(carried or sent, COMPRESSED * sent) + once + self._other
        if not self._queue_then:
            self._before = self._budget
        if self._proven is not None:
            self._probe_pause = min(PROBE_PAUSE_MAX, 2 * self._probe_pause)
        known = self._proven or LOWER * (self.capacity_bps or 0.0)
        carried = min(carried, self.record.link_bps or math.inf)
        if carried > UNCHANGED * known:
            carried = max(carried, known)  # from a longer time
        self.capacity_bps, self._proven = carried, None
        self._link_then = self.record.link_bps or math.inf
        self._early = self._begun is not None and now < self._begun + EARLY
        # What was sent since the newest packet that was told of has made the queue longer, or shorter.
        share = max(BACK_OFF_MOST, self.record.carried_share)
        queue = self.queue + (now - newest) * (1 / share - 1)
        factor = min(BACK_OFF, max(BACK_OFF_MOST, 1 - queue / DRAIN_TIME))
        self._budget = max(MIN_BPS, min(self._budget, factor * carried))
        self._decreased, self._queue_then = now, self.queue
        self._plan_probe(now)

    def _compare_with_link(self) -> None:
        """Where what was met was the speed of the link, and it shows to be faster now, that is the limit."""
        link, least = self.record.link_bps, self.record.at_least_bps
        if self.capacity_bps is None:
            return
        if self._early and link is not None and EARLY_SHARE * link < self.capacity_bps < link:
            # The handshake was in the queue: this is better known than what was carried beside it. (Where much less
            # was carried, others are on the link.)
            self.capacity_bps, self._early = link, False
        if link is not None:
            self._link_then = min(link, self._link_then)
            self.capacity_bps = min(link, self.capacity_bps)
        shown = max(link or 0.0, least)
        if shown > FASTER * self._link_then and self.capacity_bps > UNCHANGED * self._link_then:
            self.capacity_bps, self._proven, self._link_then = shown, None, shown
            self._budget = max(self._budget, min(MAX_BPS, BESIDE_CAPACITY * shown))

    def _plan_probe(self, now: float) -> None:
        good = self.steady_bps > GOOD_BPS and self.record.loss < GOOD_LOSS
        self._next_probe = now + (PROBE_PAUSE_MAX if good else self._probe_pause)

    def _increase(self, newest: float, now: float) -> None:
        used = self.record.sent_bps(now) + self._other
        if self.capacity_bps is None and self.record.at_least_bps > MAX_BPS:
            self._budget = MAX_BPS
        elif self.capacity_bps is None and (link := self.record.link_bps) is not None:
            # Known before there was a queue: more is not tried.
            self._budget = max(START_BPS * BESIDE_CAPACITY, min(MAX_BPS, BESIDE_CAPACITY * link))
            return
        wait = 0.0 if self.queue < QUEUE_NONE else PATIENCE
        if self.capacity_bps is not None and self._budget < BESIDE_CAPACITY * self.capacity_bps:
            self._budget = BESIDE_CAPACITY * self.capacity_bps
        elif newest < self._stepped + STEP_PAUSE + wait or now < self._next_probe:
            return
        elif self.capacity_bps is not None:
            if STEP * self.capacity_bps > (self.record.link_bps or math.inf):
                return  # the link shows to be no faster; if it becomes so, it shows that, too
            if used > USED * self._budget:
                # A step that did not fail is followed by a larger one.
                self._step = STEP if self._proven is None else min(STEP_MAX, self._step * STEP)
                self._proven = self.capacity_bps
                self.capacity_bps *= self._step
                self._budget = BESIDE_CAPACITY * self.capacity_bps
                self._stepped, self._next_probe = now, now + PROBE_LASTS
        elif used > BEST_BPS and self._begun is not None and now > self._begun + CALM:
            # Copies fill what is given at once: where there are any, in steps.
            if self.record.loss < GOOD_LOSS / 4:
                self._budget = max(self._budget, HEADROOM * used)
            elif used > USED * self._budget:
                self._budget *= STEP_CALM
                self._stepped = now
        elif used > USED * self._budget:
            self._budget *= STEP
            self._stepped = now
        self._budget = min(MAX_BPS, self._budget)


def _mean_run(outcomes: list[tuple[float, int, bool]]) -> float:
    """How many losses follow each other; at least 2, since little is known from a short time."""
    flags = [lost for _, _, lost in outcomes]
    runs = sum(lost and not before for lost, before in zip(flags, [False, *flags], strict=False))
    return max(2.0, sum(flags) / runs) if runs else 2.0
