"""The receiver's estimate of what the path carries, for REMB: a standing queue lowers it, its absence raises it.

The one-way delay of each packet (by the sender's abs-send-time, or its RTP time) is compared with the least of the
last ten seconds. The least excess of the last fraction of a second is a standing queue: jitter comes and
goes within that time, a full queue does not. Where jitter is large and packets are few it may last that long, too: the
more the delay changes from picture to picture, the more it takes to be a queue.
"""

from collections import deque
from statistics import median

from media.rtp.sequence import Unwrapper

STANDING_WINDOW, STANDING_PACKETS = (
    0.2,
    8,
)  # seconds, and packets at least, of which jitter lets one through fast
BASE_SLOT = 1.0
BASE_SLOTS = 10
QUEUE_HIGH = 0.035  # a standing queue of this much is congestion
QUEUE_LOW = 0.012
# How the delay changes between packets that were sent so far apart (within a picture they wait for each other): the
# median of so many knows no bursts. With jitter of any size up to J it is 0.3 J; more than this share of it is a queue
# where that is more. 2.5 would stand any jitter, but costs the voice a round trip on weak 3G: the sender has a floor.
SPACED, CHANGES = 0.015, 31
UNEVEN = 1.5
DECREASE = 0.85  # of the rate that came through (GCC's beta)
RATE_WINDOW = 0.5
HEADROOM_BPS = 30_000
MIN_RATE_WINDOW = 0.2  # less says nothing of the rate
DECREASE_PAUSE = 0.3  # let the queue drain before judging again
HEADROOM = 1.25  # the estimate is at most this much above what comes through
# Where the path was full the last time, the estimate creeps; below it runs, and above it walks.
CAPACITY_LIFE = 30.0  # seconds
NEAR_LOW, NEAR_HIGH = 0.9, 1.1
INCREASE_PER_S, INCREASE_NEAR_PER_S, INCREASE_BEYOND_PER_S = 0.5, 0.04, 0.15


class ReceiveEstimator:
    """Feed it every packet; `estimate_bps` is what to tell the sender."""

    def __init__(self, *, start_bps: int = 300_000, min_bps: int = 30_000, max_bps: int = 2_500_000) -> None:
        self.estimate_bps = float(start_bps)
        self._stamps = Unwrapper(24)
        self._min, self._max = min_bps, max_bps
        self._recent: deque[tuple[float, float]] = deque()  # (arrival, offset)
        self._slots: deque[tuple[float, float]] = deque(maxlen=BASE_SLOTS)
        self._sizes: deque[tuple[float, int]] = deque()
        self._bytes = 0
        self._updated: float | None = None
        self._decreased = -1e9
        self._spaced: tuple[float, float] | None = None  # (send time, offset)
        self._changes: deque[float] = deque(maxlen=CHANGES)
        self._capacity: float | None = None  # what came through when the path was last full
        self.queue = 0.0  # the standing queue, seconds

    def unwrap_send_time(self, stamp: int) -> float:
        """Seconds on the sender's clock of a 24-bit abs-send-time (6.18 fixed point, wraps every 64 s)."""
        return self._stamps.unwrap(stamp) / (1 << 18)

    def receive(self, send_time: float, size: int, now: float) -> bool:
        """A packet of `size` bytes, sent at `send_time` on the sender's clock; True when the estimate fell."""
        offset = now - send_time
        self._recent.append((now, offset))
        while len(self._recent) > STANDING_PACKETS and now - self._recent[0][0] > STANDING_WINDOW:
            self._recent.popleft()
        if not self._slots or now - self._slots[-1][0] >= BASE_SLOT:
            self._slots.append((now, offset))
        elif offset < self._slots[-1][1]:
            self._slots[-1] = (self._slots[-1][0], offset)
        if self._spaced is None or abs(send_time - self._spaced[0]) >= SPACED:
            if self._spaced is not None:
                self._changes.append(abs(offset - self._spaced[1]))
            self._spaced = send_time, offset
        self._sizes.append((now, size))
        self._bytes += size
        while now - self._sizes[0][0] > RATE_WINDOW:
            self._bytes -= self._sizes.popleft()[1]
        base = min(least for _, least in self._slots)
        self.queue = min(o for _, o in self._recent) - base
        return self._update(now)

    @property
    def unevenness(self) -> float:
        """By how much the delay changes from picture to picture, seconds."""
        return median(self._changes) if self._changes else 0.0

    def received_bps(self, now: float) -> float:
        """What came through in the last half second: the bytes after its first packet, in the time since."""
        if not self._sizes:
            return 0.0
        first, size = self._sizes[0]
        return (self._bytes - size) * 8 / max(MIN_RATE_WINDOW, now - first)

    def _update(self, now: float) -> bool:
        elapsed = 0.0 if self._updated is None else min(0.5, now - self._updated)
        self._updated = now
        received = self.received_bps(now)
        uneven = UNEVEN * self.unevenness
        if self.queue > max(QUEUE_HIGH, uneven):
            if now - self._decreased < DECREASE_PAUSE:
                return False
            self._decreased = now
            self._capacity = received
            self.estimate_bps = max(self._min, min(self.estimate_bps, DECREASE * received))
            return True
        if self.queue < max(QUEUE_LOW, uneven / 2):
            grown = self.estimate_bps * (1 + self._increase(now) * elapsed)
            # A sender that has less to send proves nothing about the path.
            limit = max(self.estimate_bps, HEADROOM * received + HEADROOM_BPS)
            self.estimate_bps = min(self._max, grown, limit)
        return False

    def _increase(self, now: float) -> float:
        """Share of the estimate a second."""
        full = self._capacity if now - self._decreased < CAPACITY_LIFE else None
        if full is None or self.estimate_bps < NEAR_LOW * full:
            return INCREASE_PER_S
        return INCREASE_NEAR_PER_S if self.estimate_bps < NEAR_HIGH * full else INCREASE_BEYOND_PER_S
