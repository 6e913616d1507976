"""Packets waiting for their turn, by media time."""

from bisect import insort

CAPACITY = 250  # packets: 5 s of 20 ms; a bound against a peer that sends into the future


class PacketBuffer:
    """Payloads keyed by unwrapped RTP time; the oldest go when it is full."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._times: list[int] = []
        self._payloads: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._times)

    def __contains__(self, time: int) -> bool:
        return time in self._payloads

    def insert(self, time: int, payload: bytes) -> bool:
        """False for a duplicate."""
        if time in self._payloads:
            return False
        self._payloads[time] = payload
        if not self._times or time > self._times[-1]:
            self._times.append(time)
        else:
            insort(self._times, time)
        if len(self._times) > self._capacity:
            del self._payloads[self._times.pop(0)]
        return True

    def replace(self, time: int, payload: bytes) -> None:
        """Another payload for a packet that is here."""
        assert time in self._payloads
        self._payloads[time] = payload

    @property
    def first(self) -> int | None:
        """Time of the oldest packet."""
        return self._times[0] if self._times else None

    @property
    def last(self) -> int | None:
        return self._times[-1] if self._times else None

    def get(self, time: int) -> bytes | None:
        return self._payloads.get(time)

    def pop(self, time: int) -> bytes | None:
        payload = self._payloads.pop(time, None)
        if payload is not None:
            self._times.remove(time)
        return payload

    def drop_before(self, time: int) -> int:
        """Forget packets whose turn has passed; returns how many."""
        dropped = 0
        while self._times and self._times[0] < time:
            del self._payloads[self._times.pop(0)]
            dropped += 1
        return dropped

    def clear(self) -> None:
        self._times.clear()
        self._payloads.clear()
