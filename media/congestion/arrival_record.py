"""What became of the packets of a voice stream: delays, rates and losses, from RFC 8888 reports.

A queue is the delay that no packet of the last moments escaped, above the least of half a minute: jitter spares some
packet, a queue none. While there is one, what arrives is what the path carries.
"""

import math
from collections import deque
from itertools import pairwise, takewhile

from media.rtp.congestion_feedback import ArrivalReport
from media.rtp.sequence import Unwrapper

WINDOW = 0.2  # seconds in which one packet without delay shows that there is no queue
MIN_PACKETS, MIN_SPAN = 4, 0.06  # of the window: what was held and comes all at once is no queue
GROWING = 5  # packets, each later than the one before by this share of the time between: chance is 1 to 120
GROWING_SHARE = 0.15
BASE_SLOT, BASE_SLOTS = 1.0, 30  # seconds; the least delay of these is that of the empty path
START_SLOTS, START_QUEUE = 2, 0.020  # the least of so few may still be that of a queue, of so many seconds
EVEN_PACKETS = 50  # over which unevenness is averaged, a second
PAIRS, MIN_PAIRS = 24, 4
PAIR_MEMORY = 30.0  # seconds
PAIR_RISE, PAIR_NO_RISE = 0.003, 0.001  # seconds of delay more than the packet before
PAIR_WAITED = 0.005  # seconds; less is no queue
PAIR_AGREES, PAIR_SPREAD = 1.3, 1.5
PAIR_GAP = 0.001  # seconds; closer is not measured
BUSY = 0.010  # seconds of delay above the least, of packets that had to wait for others
RATE_WINDOW = 0.8  # seconds over which rates are measured
OTHER_WINDOW = 2.0  # and that of what is sent but for the stream
SETTLED = 4  # packets: what is missing so far behind the newest is lost
MAX_SENT = 600  # packets remembered
CLOCK_WRAP = 65536.0  # seconds: the report time stamp has 16 bits of them


class ArrivalRecord:
    """Tell it every packet and every report. Rates count all headers."""

    def __init__(self) -> None:
        self.queue = 0.0  # seconds, as of the last report
        # How much less than the packet before it one is delayed, seconds, on average: jitter, which no queue has.
        self.unevenness = 0.0
        self._compared = 0
        self._unwrapper = Unwrapper(16)
        self._sent: dict[int, tuple[float, int]] = {}  # number -> (time, bytes), of what was not told yet
        self._sending: deque[tuple[float, int]] = deque(maxlen=MAX_SENT)
        self._front = (0.0, 0)  # what was sent since the last packet of the stream: (since, bytes)
        # number -> (time since, bytes) of what was sent in front
        self._behind: dict[int, tuple[float, int]] = {}
        self._pairs: deque[tuple[float, float, float]] = deque(maxlen=PAIRS)  # (sent, rate they show, rise)
        self._last_arrived = (-2, 0.0, 0.0, 0)  # (number, sent, delay, bytes)
        self._begun = 0.0
        self._other: deque[tuple[float, int]] = deque(maxlen=MAX_SENT)
        self._once: deque[tuple[float, int]] = deque(maxlen=MAX_SENT)
        self._arrived: deque[tuple[float, float, int]] = deque(maxlen=MAX_SENT)  # (arrival, delay, bytes)
        self.outcomes: deque[tuple[float, int, bool]] = deque(maxlen=MAX_SENT)  # (sent, bytes, lost)
        self.lost = 0  # of these
        self._slots: deque[tuple[float, float]] = deque(maxlen=BASE_SLOTS)
        self._told: int | None = None  # the newest number that a report told of
        self._told_since = math.inf  # arrivals since then are known without a gap
        self._stamp: float | None = None  # of the last report, unwrapped

    def sent(self, sequence_number: int, wire_bytes: int, now: float) -> None:
        """A packet of the stream."""
        if not self._sending:
            self._begun = now
        number = self._unwrapper.unwrap(sequence_number)
        self._sent[number] = now, wire_bytes
        if self._front[1]:
            self._behind[number] = max(PAIR_GAP, now - self._front[0]), self._front[1]
            if len(self._behind) > PAIRS:
                del self._behind[next(iter(self._behind))]
        self._front = (now, 0)
        self._sending.append((now, wire_bytes))
        if len(self._sent) > MAX_SENT:
            del self._sent[next(iter(self._sent))]

    def sent_other(self, wire_bytes: int, now: float, *, lasting: bool = True) -> None:
        """What goes the same way and is not reported: RTCP, retransmissions; not `lasting`: a handshake, data."""
        (self._other if lasting else self._once).append((now, wire_bytes))
        self._front = (self._front[0] if self._front[1] else now, self._front[1] + wire_bytes)

    def receive(self, report: ArrivalReport) -> float | None:
        """Count what is new -> when the newest packet that it tells of was sent; None: it has no news."""
        begin = self._unwrapper.near(report.begin)
        stamp = self._unwrapped(report.stamp)
        newest, newest_sent = None, None
        if self._told is not None and begin > self._told + 1:
            self._told_since = math.inf  # what came between is not known
        self._told = max(self._told or 0, begin + len(report.arrivals) - 1)
        for number, age in enumerate(report.arrivals, begin):
            entry = self._sent.pop(number, None) if age is not None else None
            if entry is None or age is None:
                continue
            at, size = entry
            self._arrived.append((stamp - age, stamp - age - at, size))
            self._told_since = min(self._told_since, stamp - age)
            self._count(at, size, False)
            newest, newest_sent = number, at
            self._measure_link(number, at, stamp - age - at, size)
        if newest is not None:
            for number in [n for n in self._sent if n < newest - SETTLED]:
                at, size = self._sent.pop(number)
                if number >= begin:  # else the report that told of it was lost, or it came and none had to
                    self._count(at, size, True)
            self._measure_queue()
        return newest_sent

    def _count(self, sent: float, size: int, lost: bool) -> None:
        if len(self.outcomes) == MAX_SENT:
            self.lost -= self.outcomes[0][2]
        self.outcomes.append((sent, size, lost))
        self.lost += lost

    def _measure_link(self, number: int, sent: float, delay: float, size: int) -> None:
        """From a packet behind something else: what the link was busy with, over the time.

        It was busy since the packet before had left, if what is in front met it there, or else since that was sent.
        Each is too little where the other is true; where the packet before was still waiting then, it is the first.
        """
        before, sent_before, delay_before, size_before = self._last_arrived
        self._last_arrived = number, sent, delay, size
        behind = self._behind.pop(number, None)
        if before != number - 1:
            return
        self._compared = min(EVEN_PACKETS, self._compared + 1)
        self.unevenness += (max(0.0, delay_before - delay) - self.unevenness) / self._compared
        if behind is None:
            return
        since, front = behind
        gap, change = sent - sent_before, delay - delay_before
        waited = delay_before - self._least
        if waited > max(PAIR_WAITED, gap - since):
            rate, rise = (front + size) / max(PAIR_GAP, gap + change), math.inf
        else:
            rise = max(0.0, change)
            if waited > PAIR_WAITED and rise < PAIR_RISE:
                return  # it may have waited as long for something else
            met = (front + size) / max(PAIR_GAP, gap + rise)
            rate = max(met, (front + size - size_before) / (since + rise))
        self._pairs.append((sent, 8 * rate, rise))
        while self._pairs[0][0] < sent - PAIR_MEMORY:
            self._pairs.popleft()

    @property
    def waiting_since(self) -> float | None:
        """When the oldest packet was sent that no report has told of."""
        return next(iter(self._sent.values()))[0] if self._sent else None

    def sent_bps(self, now: float) -> float:
        """What the stream sends."""
        return _rate(_recent(self._sending, now, RATE_WINDOW))

    def other_bps(self, now: float) -> float:
        """What goes beside the stream."""
        recent = _recent(self._other, now, OTHER_WINDOW)
        since = now - OTHER_WINDOW if len(recent) < len(self._other) else self._begun
        return 8 * sum(size for _, size in recent) / max(MIN_SPAN, now - since)

    def carried_bps(self) -> tuple[float, float]:
        """What the path delivered of the stream while all packets had to wait, else of the last moments; and with it
        of what does not last."""
        newest = self._arrived[-1][0]
        since = max(newest - RATE_WINDOW, self._told_since)
        recent = [packet for packet in self._arrived if packet[0] >= since]
        busy = self._base + BUSY
        begin = next((i for i in range(len(recent), 0, -1) if recent[i - 1][1] < busy), 0)
        begin = max(0, min(begin, len(recent) - MIN_PACKETS - 1))
        busy_with = recent[begin:]
        rate = _rate([(at, size) for at, _, size in busy_with])
        (first, first_delay, _), (last, last_delay, _) = busy_with[0], busy_with[-1]
        once = sum(size for at, size in self._once if first - first_delay < at <= last - last_delay)
        return rate, 8 * once / (last - first) if last > first else 0.0

    @property
    def link_bps(self) -> float | None:
        """How fast the narrowest link is, from packets sent behind others of ours; None: they do not tell.

        What was sent in front (RTCP, a retransmission) delays the next packet by its length over that rate, less the
        time between them.
        """
        shown = sorted(rate for _, rate, rise in self._pairs if rise > PAIR_RISE)
        if len(shown) < MIN_PAIRS:
            return None
        low, middle, high = (shown[len(shown) * quarter // 4] for quarter in (1, 2, 3))
        # A link shows the same each time; jitter delays packets, too, and shows anything.
        return middle if high < PAIR_SPREAD * low and self.at_least_bps < PAIR_AGREES * middle else None

    @property
    def at_least_bps(self) -> float:
        """What it carries at least: where nothing waited for what was sent in front; 0: nothing shows it."""
        free = sorted(rate for _, rate, rise in self._pairs if rise < PAIR_NO_RISE)
        return free[-2] if len(free) > 1 else 0.0

    @property
    def loss(self) -> float:
        """Share of the packets told of."""
        return self.lost / max(1, len(self.outcomes))

    @property
    def carried_share(self) -> float:
        """Of what is sent, what arrives in the same time: 1, or less while a queue grows."""
        newest = self._arrived[-1][0]
        recent = [(at, at - delay) for at, delay, _ in self._arrived if newest - at <= RATE_WINDOW]
        span = newest - recent[0][0]
        return (recent[-1][1] - recent[0][1]) / span if span > MIN_SPAN else 1.0

    @property
    def _base(self) -> float:
        return min(delay for _, delay in self._slots)

    @property
    def _least(self) -> float:
        """The base, of which no queue has been measured yet with the first report."""
        return self._base if self._slots else self._arrived[0][1]

    def _unwrapped(self, stamp: float) -> float:
        if self._stamp is None:
            self._stamp = stamp
        else:
            self._stamp += (stamp - self._stamp + CLOCK_WRAP / 2) % CLOCK_WRAP - CLOCK_WRAP / 2
        return self._stamp

    def _measure_queue(self) -> None:
        arrival = self._arrived[-1][0]
        recent = [(at, delay) for at, delay, _ in self._arrived if arrival - at <= WINDOW]
        if len(recent) < MIN_PACKETS or arrival - recent[0][0] < MIN_SPAN:
            recent = [(at, delay) for at, delay, _ in self._arrived if arrival - at <= 2 * WINDOW]
            recent = (
                recent if len(recent) > MIN_PACKETS else [p[:2] for p in list(self._arrived)[-MIN_PACKETS:]]
            )
        least = min(delay for _, delay in recent)
        if 0 < len(self._slots) <= START_SLOTS and least < self._base - START_QUEUE:
            self._pairs.clear()  # all packets had waited that were taken for those that had not
        if not self._slots or arrival - self._slots[-1][0] >= BASE_SLOT:
            self._slots.append((arrival, least))
        elif least < self._slots[-1][1]:
            self._slots[-1] = (self._slots[-1][0], least)
        self.queue = max(least, self._grown()) - self._base

    def _grown(self) -> float:
        """The delay of the last packets where each was later than the one before; 0: they were not.

        A queue that grows fast has had packets without delay in the last moments.
        """
        last = list(self._arrived)[-GROWING:]
        if len(last) < GROWING:
            return 0.0
        rises = all(
            late[1] - early[1] > GROWING_SHARE * (late[0] - early[0]) for early, late in pairwise(last)
        )
        return last[-2][1] if rises else 0.0


def _recent(packets: deque[tuple[float, int]], now: float, window: float) -> list[tuple[float, int]]:
    """Those of the last `window` seconds, newest first; they lie in the order of their times."""
    return list(takewhile(lambda packet: now - packet[0] <= window, reversed(packets)))


def _rate(packets: list[tuple[float, int]]) -> float:
    """Bits a second."""
    if len(packets) < 2:
        return 0.0
    first = min(at for at, _ in packets)
    span = max(at for at, _ in packets) - first
    # Each packet but the first took the time since the one before it.
    return 8 * sum(size for at, size in packets if at > first) / span if span > 0 else 0.0
