"""How long to wait for packets: relative delays in, a target delay out.

Two forgetting histograms of relative delay (2 s and 20 s of packets) give the share of frames that would come too
late at each delay. The target is the delay with the least cost in points of the E-model's R: every millisecond
of delay costs a little, every late frame costs as much as a lost one (G.107; the slopes are named below). A late
packet weighs 1 % of the fast histogram, so a spike moves the target at once where that pays. One or two alone do not:
each change of delay is heard, and what is late once in ten seconds is cheaper than that.

Sound is pulled in blocks, so a frame is decoded at one pull or at the next: only delays that are whole blocks apart
can be had, and the choice is among these.
"""

import math
from collections import deque

from media.jitterbuffer.histogram import BIN_MS, BINS, ForgettingHistogram, bin_of

FAST_FORGET = 0.99  # per packet: 2 s of 20 ms packets
SLOW_FORGET = 0.999  # 20 s
ALONE = 2 * (1 - FAST_FORGET)  # two packets: so few in the fast one are chance
RECOVERED_FORGET = 0.998  # 10 s
CHANGE_GAIN = 0.25  # R
DELAY_COST_PER_MS = 0.13
LATE_COST = 800.0
RECOVERY_COST = 300.0
# Copies (RED) are waited for while some were needed in the last seconds: the sender, who knows the losses best, has
# chosen their distance, and the first of them must not be missed to learn what they are worth.
COPIES_MEMORY = 10.0
COPIES_NEEDED = 2  # one loss is no reason yet
COPIES_QUANTILE = 0.9  # of the jitter that the packet with the copy has
SETTLING_PACKETS = 25  # the target does not fall before it has seen this many
# A queue on the path is delay that none of the last packets escaped, for longer than a hold-up lasts. When it has
# drained it says nothing about the jitter to come; one that comes again soon does.
STANDING_PACKETS = 5
STANDING_HIGH, STANDING_LOW = 0.025, 0.010  # seconds
STANDING_SPAN, STANDING_PAUSE = 0.15, 10.0
STANDING_REST = 0.2  # of its height: so little may be what packets take now on a link that has become thinner
STANDING_OFTEN = 2  # times within that pause
# A hold-up of the whole path: nothing comes for so long, then all of it within the same time. It is one event, however
# many packets it held: nobody talks with half a second more for the rest of the call. Those that come often are counted
# as any delay is.
HOLD_UP, HOLD_UP_PAUSE, HOLD_UP_MEMORY = 0.25, 0.20, 10.0  # seconds: late by, nothing came for, often within
# What was held comes faster than it was said, so each packet is less late than the one before. Where they go on at
# their pace, the path is longer or the sender's time stood still, as of a microphone that was muted: nothing was held.
PACED_SPAN, PACED_PACKETS = 0.075, 3  # they are watched for so many seconds and packets at least
PACED_GAIN = 0.5  # seconds a second: what gains more on the first one was held,
PACED_JITTER = 0.010  # seconds, but for so much
RELEASE_MS_PER_S = 30.0  # the target falls no faster, once it had to be raised
MARGIN_MS = 0.5  # what a pull from a thread of its own waits for its turn
REACH_STEPS = 100  # how far up is looked
BASE_SLOT_S = 0.5
BASE_SLOTS = 20  # the fastest packet of the last 10 s is the reference; this also follows clock drift
CHANGED, RECENT_SLOTS = 0.100, 3  # seconds, slots of which one has just begun: later by this for a second
BEYOND_PACKETS = 5
SLOWER = 0.010  # seconds: a base that rises by more is a step, not drift or the luck of the last packets


class _Pace:
    """Of packets since a pause, the first of which was late: are all as late, or did the pause hold them up?"""

    __slots__ = ("_first", "_packets", "_since", "least")

    def __init__(self, since: float, first: float) -> None:
        self._since, self._first = since, first
        self._packets = 0
        self.least = first  # arrival minus media time, seconds

    def observe(self, offset: float, now: float) -> bool:
        """A packet came, the first one included. False: it is so much less late that it was held up."""
        self._packets += 1
        self.least = min(self.least, offset)
        return offset >= self._first - PACED_JITTER - PACED_GAIN * (now - self._since)

    def is_settled(self, now: float) -> bool:
        return now - self._since >= PACED_SPAN and self._packets >= PACED_PACKETS


class DelayManager:
    """Feed it every packet's media time and arrival; read `target`."""

    def __init__(self, *, start_target: float = 0.040) -> None:
        self._target = start_target
        self.minimum = 0.0  # asked for by lip sync, seconds
        self._fast = ForgettingHistogram()
        self._slow = ForgettingHistogram()
        self._recovered = ForgettingHistogram()
        self._recovery_weight = 0.0
        self._count = 0
        self._slots: deque[tuple[float, float]] = deque(maxlen=BASE_SLOTS)  # (start, least offset)
        self._base = 0.0
        self._last: deque[float] = deque(maxlen=STANDING_PACKETS)
        self._before_queue: tuple[ForgettingHistogram, ...] = ()  # the histograms when there was none
        self._queue_since: float | None = None
        self._queue_height = 0.0
        self._queues: deque[float] = deque([-1e9] * STANDING_OFTEN, maxlen=STANDING_OFTEN)  # when they ended
        self._arrived = 0.0  # when the last packet came
        self._hold_ups: deque[float] = deque([-1e9] * STANDING_OFTEN, maxlen=STANDING_OFTEN)  # likewise
        self._held_up_until = -1e9  # by then all that the last one held has come
        self._pace: _Pace | None = None  # of what came since a pause, while it may be later for good
        self._beyond = 0  # packets in a row that were later than can be counted
        self._fall_at = 0.0  # when the target may fall again
        self._raised = False  # it had to rise: the start's guess, or what is left of it, was too low
        self._changed = True  # packets came since the last choice
        self._copies = 0.0  # how much later than a frame its farthest copy is sent, seconds
        self._copies_wait = 0.0
        self._recoveries: deque[float] = deque(maxlen=COPIES_NEEDED)  # when

    @property
    def target(self) -> float:
        """The delay to play at, seconds above the fastest packet."""
        return max(self._target, self.minimum, self._copies_wait)

    @property
    def _least(self) -> float:
        return max(self.minimum, self._copies_wait)

    @property
    def standing(self) -> float:
        """The least relative delay of the last packets, seconds: what none of them escaped, a queue."""
        return min(self._last, default=0.0)

    @property
    def base(self) -> float:
        """Arrival minus media time of the fastest recent packet, seconds."""
        return self._base

    def receive(self, media_time: float, now: float) -> float:
        """Count an arrival of media time `media_time` (seconds); returns its relative delay in seconds."""
        offset = now - media_time
        self._observe_base(offset, now)
        held_up = self._is_held_up(offset, now)
        if self._pace is not None and not self._pace.observe(offset, now):
            self._pace = None
        if self._pace is not None and self._pace.is_settled(now):
            self._rebase(self._pace.least, now)
        relative = offset - self._base
        if not held_up:
            self._add(relative)
        self._last.append(relative)
        self._observe_queue(now)
        return relative

    def receive_recovery(self, media_time: float, now: float) -> None:
        """Count a lost frame that a copy made available now: it is worth waiting for as a packet is.

        Loss is steadier than jitter, so these are remembered slowly: one lucky repair does not move the target.
        """
        self._recovered.add(bin_of(now - media_time - self._base), self._recovery_weight)
        self._recoveries.append(now)
        self._changed = True

    def expect_copies(self, distance: float) -> None:
        """Copies of frames come `distance` seconds after the frames; 0: there are none."""
        self._copies = distance

    def choose(self, present: float, step: float, now: float) -> float:
        """The best of the delays that are `present` plus or minus whole `step`s, seconds; it is the target from now.

        `present`: how much later than the fastest packet's arrival a frame is decoded now.
        """
        if self._changed:
            self._changed = False
            self._copies_wait = self._wait_for_copies(now)
        fewest = -int(present / step) if self._count >= SETTLING_PACKETS else 0
        first = next((k for k in range(fewest, REACH_STEPS) if present + step * k >= self._least), None)
        if first is None:
            return self._target
        stay = max(first, 0)
        best, least_cost = stay, stay_cost = stay, self._cost(present + step * stay)
        for k in range(first, REACH_STEPS):
            delay = present + step * k
            if DELAY_COST_PER_MS * _bin_before(delay) > least_cost:
                break  # nor does any later one cost less
            if (cost := self._cost(delay)) < least_cost:
                best, least_cost = k, cost
        if stay_cost - least_cost < CHANGE_GAIN:
            best, least_cost = stay, stay_cost  # every change of delay is a join that can be heard
        if self._raised:
            # A step at a time, also through delays that cost more. From the last target, not from `present`: that
            # may be late by a backlog, which is to go at once.
            lowest = min(present, self._target - step * (now >= self._fall_at))
            best = max(best, math.floor((lowest - present) / step + 0.5))
        before, self._target = self._target, present + step * best
        if self._target > before + step / 2 and self._cost(before) > least_cost + CHANGE_GAIN:
            self._raised = True
        elif self._target < before:
            self._fall_at = max(self._fall_at, now + (before - self._target) * 1000 / RELEASE_MS_PER_S)
        return self._target

    def _cost(self, delay: float) -> float:
        """What a delay costs, R: of waiting, of what is later, of what would not be recovered."""
        index = _bin_before(delay)
        lately, late = self._fast.above(index), self._slow.above(index)
        if lately > ALONE:
            late = max(late, lately)
        return (
            DELAY_COST_PER_MS * index * BIN_MS
            + LATE_COST * late
            + RECOVERY_COST * self._recovered.above(index)
        )

    def reset(self) -> None:
        """The source's time line was replaced: its offsets say nothing any more, the network's behaviour does."""
        self._slots.clear()

    def _observe_base(self, offset: float, now: float) -> None:
        known = bool(self._slots)
        same = None if not known or now - self._slots[-1][0] >= BASE_SLOT_S else self._slots
        if same is None:
            self._slots.append((now, offset))
        elif offset < self._slots[-1][1]:
            self._slots[-1] = (self._slots[-1][0], offset)
        while now - self._slots[0][0] > BASE_SLOTS * BASE_SLOT_S and len(self._slots) > 1:
            self._slots.popleft()
            same = None
        self._forget_what_is_over(offset)
        before = self._base
        if self._slots is same:  # the same ones as at the packet before
            self._base = min(before, offset)
        else:
            self._base = min([least for _, least in self._slots])
        if known and self._base > before + SLOWER:
            # What was counted since the path became slower, or the sender paused, is not as late as was said.
            bins = bin_of(self._base - before)
            for histogram in (self._fast, self._slow, self._recovered):
                histogram.shift_earlier(bins)
            self._changed = True

    def _forget_what_is_over(self, offset: float) -> None:
        """All packets of a second are far later than before: the path or the sender's time line has changed."""
        if offset - self._base <= CHANGED:
            self._beyond = 0
            return
        self._beyond = self._beyond + 1 if offset - self._base > BINS * BIN_MS / 1000 else 0
        recent = 1 if self._beyond > BEYOND_PACKETS else RECENT_SLOTS
        newest = list(self._slots)[-recent:]
        if recent == 1:
            newest = [(newest[0][0], offset)]
        if len(self._slots) > recent and min(least for _, least in newest) > self._base + CHANGED:
            self._slots = deque(newest, maxlen=BASE_SLOTS)

    def _observe_queue(self, now: float) -> None:
        standing = self.standing
        low = STANDING_LOW
        if self._queue_since is not None:
            self._queue_height = max(self._queue_height, standing)
            low = max(low, STANDING_REST * self._queue_height)
        if standing > max(STANDING_HIGH, low):
            self._queue_since = now if self._queue_since is None else self._queue_since
        elif standing < low:
            since, self._queue_since, self._queue_height = self._queue_since, None, 0.0
            if since is not None and now - since > STANDING_SPAN:
                if now - self._queues[0] > STANDING_PAUSE and self._before_queue:
                    self._fast, self._slow = self._before_queue
                    self._raised = False
                self._queues.append(now)
            if self._last[-1] < low:
                self._before_queue = self._fast.copy(), self._slow.copy()

    def _is_held_up(self, offset: float, now: float) -> bool:
        """Whether a packet is late with all others of a hold-up, a rare one, as far as can be told yet."""
        relative = offset - self._base
        pause, self._arrived = now - self._arrived, now
        if relative >= HOLD_UP and pause >= HOLD_UP_PAUSE and self._count >= SETTLING_PACKETS:
            self._pace = _Pace(now, offset)
            if now - self._hold_ups[0] > HOLD_UP_MEMORY:
                self._held_up_until = now + relative
            self._hold_ups.append(now)
        elif relative < STANDING_LOW:
            self._held_up_until = now
        return now < self._held_up_until

    def _rebase(self, offset: float, now: float) -> None:
        """From now on the fastest packet is one of those since a pause; the jitter is what it was."""
        self._hold_ups.pop()  # it was none
        self._hold_ups.appendleft(-1e9)
        self._base = offset
        self._slots = deque([(now, offset)], maxlen=BASE_SLOTS)
        self._last.clear()
        self._pace, self._queue_since, self._queue_height = None, None, 0.0
        self._held_up_until = now
        self._changed = True

    def _add(self, relative: float) -> None:
        index = bin_of(relative)
        self._count += 1
        warm_up = 1 - 1 / self._count  # a plain mean until there is something to forget
        for histogram, forget in ((self._fast, FAST_FORGET), (self._slow, SLOW_FORGET)):
            keep = min(forget, warm_up)
            histogram.forget(keep)
            histogram.add(index, 1 - keep)
        keep = min(RECOVERED_FORGET, warm_up)
        self._recovered.forget(keep)
        self._recovery_weight = 1 - keep
        self._changed = True

    def _wait_for_copies(self, now: float) -> float:
        needed = len(self._recoveries) == COPIES_NEEDED and now - self._recoveries[0] < COPIES_MEMORY
        if not self._copies or not needed:
            return 0.0
        jitter_ms = (self._fast.quantile(COPIES_QUANTILE) + 1) * BIN_MS
        return self._copies + (jitter_ms + MARGIN_MS) / 1000


def _bin_before(delay: float) -> int:
    """The bin from which on packets are late for a pull at this delay."""
    return min(BINS - 1, max(0, int((delay * 1000 - MARGIN_MS) / BIN_MS)))
