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
    since: float
    due: float
    requests: int = 0


class NackRequester:
    """One stream's missing packets. Give it every packet; drain requests_to_send()."""

    def __init__(self, *, deadline: float = 0.8) -> None:
        self._deadline = deadline  # seconds after which a packet is of no use any more
        self._unwrapper = Unwrapper(16)
        self._highest: int | None = None
        self._missing: dict[int, _Missing] = {}
        self.round_trip_time = DEFAULT_ROUND_TRIP
        self.overflowed = False
        self.requests_sent = 0

    def receive(self, sequence_number: int, now: float) -> int:
        """A packet came, at first hand or again; returns its unwrapped number."""
        number = self._unwrapper.unwrap(sequence_number)
        if self._highest is None:
            self._highest = number
        elif number > self._highest:
            if number - self._highest > MAX_MISSING:
                self._missing.clear()
                self.overflowed = True
            else:
                for gap in range(self._highest + 1, number):
                    self._missing[gap] = _Missing(now, now)
            self._highest = number
        else:
            self._missing.pop(number, None)
        if len(self._missing) > MAX_MISSING:
            self._missing.clear()
            self.overflowed = True
        return number

    def forget_before(self, number: int) -> None:
        """Packets before this unwrapped number are not needed any more."""
        for old in [n for n in self._missing if n < number]:
            del self._missing[old]

    def is_missing(self, number: int) -> bool:
        return number in self._missing

    def get_timer(self) -> float | None:
        return min((m.due for m in self._missing.values()), default=None)

    def requests_to_send(self, now: float) -> list[int]:
        """16-bit numbers to ask for now; what is hopeless is given up."""
        numbers = []
        for number, missing in list(self._missing.items()):
            if now < missing.due:
                continue
            if missing.requests >= MAX_REQUESTS or now - missing.since > self._deadline:
                del self._missing[number]
                continue
            missing.requests += 1
            missing.due = now + max(MIN_INTERVAL, self.round_trip_time)
            numbers.append(number & 0xFFFF)
        self.requests_sent += len(numbers)
        return numbers
