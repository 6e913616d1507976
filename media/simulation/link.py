"""One direction of an emulated network link. Sans-IO and seeded.

A packet passes, in this order:

    bottleneck (rate + drop-tail queue) -> Gilbert-Elliott loss -> random loss
        -> duplicate -> delay + jitter -> delivery

so a packet that is lost "on the air" has used up the bottleneck, and a packet that finds the queue full is
a queue drop. All random numbers are drawn for every packet, each purpose from a stream of its own: changing
one parameter leaves the decisions of the others as they were.
"""

import dataclasses
import heapq
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# What IPv4 and UDP add to a datagram; the bottleneck and the byte counters see it.
HEADER_BYTES = 28
# Packets in flight at most, whatever the parameters say; what comes on top is dropped and counted.
MAX_IN_FLIGHT = 8192

# What a parameter change may carry.
Value = float | int | bool | str


class Distribution(StrEnum):
    """How the jitter is spread around the delay."""

    UNIFORM = "uniform"  # delay +- jitter
    NORMAL = "normal"  # jitter is the standard deviation
    EXP = "exp"  # jitter is the mean of what is added


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """One direction's properties; probabilities and shares are 0..1, 0 switches a feature off.

    Burst loss (Gilbert-Elliott) runs either per packet (`ge_p`, `ge_r`: the chances to enter and to leave
    the bad state) or in time (`ge_bad_ms`, `ge_good_ms`: mean sojourns, whatever is sent). `ge_bad` and
    `ge_good` are the chances to lose a packet in the two states. `rate_bps` 0 means no bottleneck;
    `queue_ms` and `queue_bytes` bound the bottleneck's queue. Raises ValueError.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    distribution: Distribution = Distribution.UNIFORM
    reorder: bool = False
    loss: float = 0.0
    ge_p: float = 0.0
    ge_r: float = 1.0
    ge_good_ms: float = 0.0
    ge_bad_ms: float = 0.0
    ge_good: float = 0.0
    ge_bad: float = 1.0
    duplicate: float = 0.0
    rate_bps: float = 0.0
    queue_ms: float = 0.0
    queue_bytes: float = 0.0
    outage: bool = False

    def __post_init__(self) -> None:
        for name in ("loss", "ge_p", "ge_r", "ge_good", "ge_bad", "duplicate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")
        for name in ("delay_ms", "jitter_ms", "rate_bps", "queue_ms", "queue_bytes"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is a number from 0 on, not {getattr(self, name)}")
        for name in ("ge_good_ms", "ge_bad_ms"):
            # Shorter sojourns would turn a quiet hour into millions of draws.
            value = getattr(self, name)
            if value != 0.0 and not 0.1 <= value < math.inf:
                raise ValueError(f"{name} is 0 (off) or at least 0.1, not {value}")
        object.__setattr__(self, "distribution", Distribution(self.distribution))

    def changed(self, changes: Mapping[str, Value]) -> "LinkParameters":
        """A copy with the named fields changed. Raises ValueError for unknown names and bad values."""
        unknown = changes.keys() - FIELDS
        if unknown:
            raise ValueError(f"a link has no {', '.join(sorted(unknown))}")
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


FIELDS = frozenset(f.name for f in dataclasses.fields(LinkParameters))


@dataclass(frozen=True, slots=True)
class Step:
    """A change of parameters at a time in seconds after the schedule's start."""

    at: float
    changes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps in order of time; with `loop` (seconds) they start again that often. Raises ValueError."""

    steps: tuple[Step, ...] = ()
    loop: float | None = None

    def __post_init__(self) -> None:
        times = [step.at for step in self.steps]
        if times != sorted(times) or (times and times[0] < 0):
            raise ValueError("the steps of a schedule are in order of time, from 0 on")
        if self.loop is not None and not (0.001 <= self.loop < math.inf and self.steps):
            raise ValueError("a schedule that loops has steps and a length of at least a millisecond")
        if self.loop is not None and times[-1] > self.loop:
            raise ValueError("the steps of a schedule that loops lie within its length")


STEADY = Schedule()


@dataclass(slots=True)
class LinkCounters:
    """Since the link was made. Bytes count IP and UDP headers."""

    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    lost: int = 0
    burst_lost: int = 0
    queue_drops: int = 0
    duplicates: int = 0
    outage_drops: int = 0
    overflow_drops: int = 0
    queue_max_ms: float = 0.0

    def to_dict(self) -> dict[str, float]:
        return dataclasses.asdict(self)


@dataclass(slots=True)
class _Streams:
    """One random stream a purpose."""

    loss: random.Random
    burst: random.Random
    sojourn: random.Random
    jitter: random.Random
    duplicate: random.Random

    @classmethod
    def derive(cls, rng: random.Random) -> "_Streams":
        return cls(*(random.Random(rng.getrandbits(64)) for _ in range(5)))


@dataclass(slots=True)
class Link:
    """One direction: `send` puts datagrams in, `receive` takes out those that have arrived.

    `start` is the time at which the schedule begins; None: with the first datagram. Time never runs back.
    """

    parameters: LinkParameters
    rng: random.Random
    schedule: Schedule = STEADY
    start: float | None = None
    counters: LinkCounters = field(default_factory=LinkCounters)
    _streams: _Streams = field(init=False)
    _heap: list[tuple[float, int, bytes]] = field(init=False, default_factory=list)
    _order: int = field(init=False, default=0)
    _bad: bool = field(init=False, default=False)
    _sojourn_end: float | None = field(init=False, default=None)
    _busy_until: float = field(init=False, default=-math.inf)
    _last_due: float = field(init=False, default=-math.inf)
    _position: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._streams = _Streams.derive(self.rng)

    def send(self, data: bytes, now: float) -> None:
        """A datagram enters at `now` (seconds)."""
        if self.schedule.steps:
            self._follow_schedule(now)
        parameters, counters, streams = self.parameters, self.counters, self._streams
        size = len(data) + HEADER_BYTES
        counters.packets_in += 1
        counters.bytes_in += size
        u_loss, u_duplicate = streams.loss.random(), streams.duplicate.random()
        u_transition, u_burst = streams.burst.random(), streams.burst.random()
        u_jitter1, u_jitter2 = streams.jitter.random(), streams.jitter.random()

        departure = now
        if parameters.rate_bps > 0:
            queued = self._through_bottleneck(size, now)
            if queued is None:
                counters.queue_drops += 1
                return
            departure = queued
        burst = self._step_burst(u_transition, now)
        if parameters.outage:
            counters.outage_drops += 1
            return
        if burst and u_burst < (parameters.ge_bad if self._bad else parameters.ge_good):
            counters.burst_lost += 1
            return
        if u_loss < parameters.loss:
            counters.lost += 1
            return
        delay = max(0.0, parameters.delay_ms + self._jitter_ms(u_jitter1, u_jitter2)) / 1000
        due = departure + delay
        if not parameters.reorder:
            due = max(due, self._last_due)
        self._last_due = due
        if u_duplicate < parameters.duplicate:
            counters.duplicates += 1
            self._push(due, data)
        self._push(due, data)

    def receive(self, now: float) -> list[tuple[float, bytes]]:
        """What has arrived by `now`, as (arrival time, datagram) in order of arrival."""
        arrived: list[tuple[float, bytes]] = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, _, data = heapq.heappop(heap)
            self.counters.packets_out += 1
            self.counters.bytes_out += len(data) + HEADER_BYTES
            arrived.append((due, data))
        return arrived

    def get_timer(self) -> float | None:
        """When the next datagram arrives, or None."""
        return self._heap[0][0] if self._heap else None

    def change(self, changes: Mapping[str, Value]) -> None:
        """Change parameters for the datagrams to come. Raises ValueError."""
        self.parameters = self.parameters.changed(changes)

    def _push(self, due: float, data: bytes) -> None:
        if len(self._heap) >= MAX_IN_FLIGHT:
            self.counters.overflow_drops += 1
            return
        heapq.heappush(self._heap, (due, self._order, data))
        self._order += 1

    def _follow_schedule(self, now: float) -> None:
        """Apply the steps that are due. Steps act on entering datagrams only, so being lazy is exact."""
        schedule = self.schedule
        if self.start is None:
            self.start = now
        if schedule.loop is not None and now - self.start > 2 * schedule.loop:
            # Steps set, they do not add up: whole turns in the past need not be walked through.
            self.start += math.floor((now - self.start) / schedule.loop - 1) * schedule.loop
            self._position = 0
        while self._position < len(schedule.steps):
            step = schedule.steps[self._position]
            if self.start + step.at > now:
                return
            self.change(step.changes)
            self._position += 1
            if self._position == len(schedule.steps) and schedule.loop is not None:
                self.start += schedule.loop
                self._position = 0

    def _through_bottleneck(self, size: int, now: float) -> float | None:
        """When the last bit has left the bottleneck; None: the queue is full."""
        parameters = self.parameters
        begin = max(self._busy_until, now)
        wait_ms = (begin - now) * 1000
        if parameters.queue_ms > 0 and wait_ms > parameters.queue_ms:
            return None
        backlog_bytes = wait_ms / 1000 * parameters.rate_bps / 8
        if parameters.queue_bytes > 0 and backlog_bytes + size > parameters.queue_bytes:
            return None
        self.counters.queue_max_ms = max(self.counters.queue_max_ms, wait_ms)
        self._busy_until = begin + size * 8 / parameters.rate_bps
        return self._busy_until

    def _step_burst(self, u_transition: float, now: float) -> bool:
        """Advance the Gilbert-Elliott state; whether the model is on at all."""
        parameters = self.parameters
        if parameters.ge_bad_ms > 0 and parameters.ge_good_ms > 0:
            if self._sojourn_end is None:
                self._sojourn_end, self._bad = now, True  # the first turn of the loop starts a good state
            while self._sojourn_end <= now:
                self._bad = not self._bad
                mean_ms = parameters.ge_bad_ms if self._bad else parameters.ge_good_ms
                self._sojourn_end += 1e-9 - math.log(1 - self._streams.sojourn.random()) * mean_ms / 1000
            return True
        if parameters.ge_p > 0:
            stays = u_transition >= parameters.ge_r
            self._bad = stays if self._bad else u_transition < parameters.ge_p
            return True
        self._bad = False
        return False

    def _jitter_ms(self, u1: float, u2: float) -> float:
        parameters = self.parameters
        if parameters.jitter_ms <= 0:
            return 0.0
        if parameters.distribution is Distribution.NORMAL:
            return parameters.jitter_ms * math.sqrt(-2 * math.log(u1 + 1e-300)) * math.cos(2 * math.pi * u2)
        if parameters.distribution is Distribution.EXP:
            return -parameters.jitter_ms * math.log(1 - u1)
        return parameters.jitter_ms * (2 * u1 - 1)
