"""The bitrate towards a peer that tells no arrivals: from the round trip in its reports (RFC 3550 section 6.4.1).

A full queue on either way shows there. It cannot be told which, and reports are rare, so this only keeps a voice off
a path that is plainly too thin.
"""

from collections import deque

GREW = 0.100  # seconds above the least: a queue
GONE = 0.050
LEAST_OF = 60  # measurements, some minutes
DOWN, UP = 0.75, 1.06  # a report
MIN_BPS = 12_000


class RoundTripRate:
    """Feed it the round trip of each report; `limit_bps` is what the encoder may take at most."""

    def __init__(self, limit_bps: int) -> None:
        self._most_bps = float(limit_bps)
        self._limit_bps = self._most_bps
        self._times: deque[float] = deque(maxlen=LEAST_OF)

    @property
    def limit_bps(self) -> int:
        return round(self._limit_bps)

    def compare_with(self, round_trip_time: float) -> None:
        """One that was measured otherwise, by ICE before a call's first packet: with a queue from the start, no report
        would ever show a shorter one."""
        self._times.append(round_trip_time)

    def receive(self, round_trip_time: float) -> None:
        """Seconds."""
        self.compare_with(round_trip_time)
        queue = round_trip_time - min(self._times)
        if queue > GREW:
            self._limit_bps = max(MIN_BPS, DOWN * self._limit_bps)
        elif queue < GONE:
            self._limit_bps = min(self._most_bps, UP * self._limit_bps)
