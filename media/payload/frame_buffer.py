"""Packets into frames: which packets make a frame, and which frame can be decoded next.

A frame is the run of packets from its first to the one with the marker. It can be decoded when it is a key frame, or
when the frame just before it (by sequence numbers) has been. While a packet is missing, later delta frames wait;
a complete key frame ends any wait.
"""

from dataclasses import dataclass

MAX_PACKETS = 2048  # two seconds of 8 Mbit/s; a bound against a peer that never ends a frame


@dataclass(frozen=True, slots=True)
class Fragment:
    """One packet's part of a frame, as a payload format parsed it."""

    timestamp: int
    data: bytes
    frame_start: bool  # known to begin a frame
    key_frame: bool  # with frame_start: of a key frame
    marker: bool


@dataclass(frozen=True, slots=True)
class AssembledFrame:
    """A complete frame that can be decoded now."""

    first: int  # unwrapped sequence numbers
    last: int
    timestamp: int
    data: bytes
    key_frame: bool


class FrameBuffer:
    """Fragments by unwrapped sequence number; frames out in decoding order."""

    def __init__(self) -> None:
        self._fragments: dict[int, Fragment] = {}
        self._key_starts: set[int] = set()
        self._next: int | None = None  # first packet of the next delta frame; None: only a key frame will do
        self.dropped_frames = 0

    @property
    def needs_key_frame(self) -> bool:
        return self._next is None

    @property
    def next_number(self) -> int | None:
        """The packet that everything waits for (or that comes next)."""
        return self._next

    @property
    def is_waiting(self) -> bool:
        """Whether packets lie here that cannot be decoded yet."""
        return bool(self._fragments)

    def insert(self, number: int, fragment: Fragment) -> None:
        if (self._next is not None and number < self._next) or number in self._fragments:
            return
        if len(self._fragments) >= MAX_PACKETS:
            self.give_up()
        self._fragments[number] = fragment
        if fragment.frame_start and fragment.key_frame:
            self._key_starts.add(number)

    def next_frame(self) -> AssembledFrame | None:
        """The next frame to decode, or None while packets are missing."""
        if self._next is not None:
            frame = self._assemble(self._next)
            if frame is not None:
                return self._take(frame)
        for start in sorted(self._key_starts):
            frame = self._assemble(start)
            if frame is not None:
                return self._take(frame)
        return None

    def give_up(self) -> None:
        """What is waited for will not come: forget all up to the newest key frame in hand."""
        keep = max(self._key_starts, default=None)
        if keep is None:
            self._fragments.clear()
        else:
            for number in [n for n in self._fragments if n < keep]:
                del self._fragments[number]
        self._key_starts = set() if keep is None else {keep}
        self._next = None
        self.dropped_frames += 1

    def _assemble(self, first: int) -> AssembledFrame | None:
        fragment = self._fragments.get(first)
        if fragment is None:
            return None
        timestamp, parts, number = fragment.timestamp, [], first
        while fragment is not None and fragment.timestamp == timestamp:
            parts.append(fragment.data)
            if fragment.marker:
                key = first in self._key_starts
                return AssembledFrame(first, number, timestamp, b"".join(parts), key)
            number += 1
            fragment = self._fragments.get(number)
        if fragment is not None:
            # The next packet is of another frame: this one ended without a marker.
            key = first in self._key_starts
            return AssembledFrame(first, number - 1, timestamp, b"".join(parts), key)
        return None

    def _take(self, frame: AssembledFrame) -> AssembledFrame:
        self._next = frame.last + 1
        for number in [n for n in self._fragments if n < self._next]:
            del self._fragments[number]
        self._key_starts = {n for n in self._key_starts if n >= self._next}
        return frame
