"""Which packets to ask for again, and when (RFC 4585 generic NACK).

A gap is asked for at once, then once a round trip, until the packet comes, its frame's deadline passes, or it has
been asked for often enough. The list is bounded: a receiver that has lost too much wants a key frame instead.
"""

from dataclasses import dataclass

from media.rtp.sequence import Unwrapper

MAX_MISSING = 500  # packets; beyond, repairing costs more than a key frame
MAX_REQUESTS = 10
MIN_INTERVAL = 0.020  # seconds between requests for one packet
DEFAULT_ROUND_TRIP = 0.100  # until it is known (libwebrtc)


@dataclass(slots=True)
class _Missing:
    due: float  # when to ask (again)
    deadline: float
    requests: int = 0


class NackRequester:
    """One stream's missing packets. Give it every packet; drain requests_to_send() with every timer.

    `hopeless` becomes the newest packet that will not come in time any more; whoever acts on it sets it to None.
    """

    def __init__(self, *, deadline: float = 0.8) -> None:
        self.deadline = deadline  # seconds after which a packet is of no use any more
        self._unwrapper = Unwrapper(16)
        self._highest: int | None = None
        self._missing: dict[int, _Missing] = {}
        self.round_trip_time = DEFAULT_ROUND_TRIP
        self.hopeless: int | None = None
        self.requests_sent = 0

    def receive(self, sequence_number: int, now: float) -> int:
        """A packet came, at first hand or again; returns its unwrapped number."""
        number = self._unwrapper.unwrap(sequence_number)
        if self._highest is None:
            self._highest = number
        elif number <= self._highest:
            self._missing.pop(number, None)
        else:
            gap = number - self._highest - 1
            if gap + len(self._missing) > MAX_MISSING:
                self._missing.clear()
                self.hopeless = number - 1
            else:
                for lost in range(self._highest + 1, number):
                    self._missing[lost] = _Missing(now, now + self.deadline)
            self._highest = number
        return number

    def forget_before(self, number: int) -> None:
        """Packets before this unwrapped number are not needed any more."""
        # In order of their numbers: what is inserted is always above all that is there.
        while self._missing and (first := next(iter(self._missing))) < number:
            del self._missing[first]

    def forget_all(self) -> None:
        self._missing.clear()

    def get_timer(self) -> float | None:
        """When the next request is due, or the next packet given up; None while nothing is missing."""
        return min((min(m.due, m.deadline) for m in self._missing.values()), default=None)

    def requests_to_send(self, now: float) -> list[int]:
        """16-bit numbers to ask for now; what will not come in time is given up."""
        numbers = []
        for number, missing in list(self._missing.items()):
            if now >= missing.deadline:
                del self._missing[number]
                self.hopeless = number
            elif now >= missing.due:
                missing.requests += 1
                # The last request is not the end: its answer may still come before the deadline.
                wait = max(MIN_INTERVAL, self.round_trip_time)
                missing.due = now + wait if missing.requests < MAX_REQUESTS else missing.deadline
                numbers.append(number & 0xFFFF)
        self.requests_sent += len(numbers)
        return numbers
