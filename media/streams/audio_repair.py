"""Which voice packets to ask for again (NACK), by the clock: a burst is noticed while it lasts.

A packet is missing when the next one has come, or when its own time has passed. It is asked for while an answer could
still be played: the round trip decides, and what the jitter buffer may wait. Copies in RED repair single losses
without a question, so with RED only runs are asked for.
"""

import math
from dataclasses import dataclass

from media.rtp.sequence import Unwrapper

FRAME = 0.020  # seconds between packets, until known
MIN_MARGIN = 0.012  # a packet is this late before it counts as missing
MAX_REPAIR_DELAY = (
    0.130  # seconds after a packet's own time; a later answer would cost more delay than it is worth
)
# With copies on their way an answer is worth asking for only this long after the frame would be played: the copies
# keep the delay where it is.
MAX_LATE_WITH_COPIES = 0.025
# Where one came that was presumed missing, the path has become slower: a queue that grows by up to its own rate.
SLOW, SLOW_MARGIN = 0.5, 0.025
MAX_REQUESTS = 2
MAX_AHEAD = 12  # packets that are presumed missing while nothing comes
MIN_RETRY = 0.020


@dataclass(slots=True)
class _Missing:
    due: float  # its own arrival time
    ask_at: float
    requests: int = 0
    asked_at: float = math.inf  # first


class AudioRepair:
    """Feed it every packet; drain requests_to_send()."""

    def __init__(self) -> None:
        self._unwrapper = Unwrapper(16)
        self._highest: int | None = None
        self._arrival = (
            0.0  # expected arrival of the highest, smoothed against jitter by taking the earliest line
        )
        self._slow_until = -math.inf  # the path was seen to hold packets up
        self._presumed = 0  # how many packets after the highest are presumed missing
        self._missing: dict[int, _Missing] = {}
        self.round_trip_time: float | None = None
        self.jitter = 0.0  # seconds
        self.redundant = False  # copies are coming
        self.queued = False  # the last packets were all late: they wait on the path, and are not missing
        self.playout_delay = 0.0  # of the jitter buffer, seconds
        self.requests_sent = 0
        self.frame = FRAME  # seconds between packets
        self.silent = False

    def receive(self, sequence_number: int, now: float, *, silent: bool = False) -> None:
        """A packet of `frame` seconds; `silent`: the sender said that there is none until there is sound again."""
        number = self._unwrapper.unwrap(sequence_number)
        presumed = self._missing.pop(number, None)
        if self._highest is None:
            self._highest, self._arrival = number, now
            return
        if number <= self._highest:
            return
        gap = number - self._highest
        expected = now if self.silent else self._arrival + gap * self.frame
        self.silent = silent
        if gap <= MAX_AHEAD:
            for missed in range(self._highest + self._presumed + 1, number):  # the presumed ones are known
                due = self._arrival + (missed - self._highest) * self.frame
                # Where packets overtake each other a gap tells nothing yet.
                self._missing.setdefault(missed, _Missing(due, max(now, due + self._margin)))
        self._highest, self._presumed = number, 0
        # Follow an early packet at once and a late one slowly: the line of what comes undelayed.
        if presumed is not None and now < presumed.asked_at + (self.round_trip_time or 0.0):
            self._slow_until = now + SLOW  # no answer can have come yet: it waited on its way
        elif now < expected - MIN_MARGIN:
            self._slow_until = -math.inf  # it was held up once: what waited comes at once
        follow = now < expected or now - expected > 1.0 or self.queued or now < self._slow_until
        self._arrival = now if follow else expected + 0.05 * (now - expected)

    def get_timer(self) -> float | None:
        if not self._useful or self._highest is None:
            return None
        due = min([m.ask_at for m in self._missing.values()]) if self._missing else None
        if self._presumed < MAX_AHEAD and not self.silent:
            next_presumed = self._arrival + (self._presumed + 1) * self.frame + self._margin
            return next_presumed if due is None else min(due, next_presumed)
        return due

    def requests_to_send(self, now: float) -> list[int]:
        """16-bit numbers to ask for now."""
        if not self._useful or self._highest is None or self.round_trip_time is None:
            self._missing.clear()
            return []
        self._presume(now)
        if not self._missing:
            return []
        runs = self._runs()
        out = []
        for number, missing in list(self._missing.items()):
            if now + self.round_trip_time > missing.due + self._deadline or missing.requests >= MAX_REQUESTS:
                del self._missing[number]
            elif now >= missing.ask_at:
                if self.redundant and runs[number] < 2:
                    missing.ask_at = now + FRAME  # a copy is on its way
                    continue
                missing.requests += 1
                missing.asked_at = min(missing.asked_at, now)
                missing.ask_at = now + max(MIN_RETRY, self.round_trip_time + MIN_MARGIN)
                out.append(number & 0xFFFF)
        self.requests_sent += len(out)
        return out

    @property
    def _useful(self) -> bool:
        return self.round_trip_time is not None and self.round_trip_time < MAX_REPAIR_DELAY - FRAME

    @property
    def _deadline(self) -> float:
        """Seconds after a packet's own time, up to which an answer is of use."""
        if not self.redundant:
            return MAX_REPAIR_DELAY
        return min(MAX_REPAIR_DELAY, self.playout_delay + MAX_LATE_WITH_COPIES)

    @property
    def _margin(self) -> float:
        margin = max(MIN_MARGIN, 3 * self.jitter)
        return margin if self._arrival >= self._slow_until else max(margin, SLOW_MARGIN)

    def _presume(self, now: float) -> None:
        """Packets whose time has passed while nothing came."""
        assert self._highest is not None
        while self._presumed < MAX_AHEAD and not self.silent:
            due = self._arrival + (self._presumed + 1) * self.frame
            if now < due + self._margin:
                break
            self._presumed += 1
            self._missing[self._highest + self._presumed] = _Missing(due, now)

    def _runs(self) -> dict[int, int]:
        """Length of the run of missing packets that each belongs to."""
        runs: dict[int, int] = {}
        run: list[int] = []
        for number in [*sorted(self._missing), None]:
            if run and (number is None or number != run[-1] + 1):
                runs.update(dict.fromkeys(run, len(run)))
                run = []
            if number is not None:
                run.append(number)
        return runs
