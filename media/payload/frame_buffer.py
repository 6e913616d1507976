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


# A packet without payload belongs to no frame: padding, which senders put between frames to probe the path.
PADDING = Fragment(-1, b"", False, False, False)


@dataclass(frozen=True, slots=True)
class AssembledFrame:
    """A complete frame that can be decoded now."""

    first: int  # unwrapped sequence numbers
    last: int
    timestamp: int
    data: bytes
    key_frame: bool
    follows: bool = False  # directly on the frame that was taken before it


class FrameBuffer:
    """Fragments by unwrapped sequence number; frames out in decoding order."""

    def __init__(self) -> None:
        self._fragments: dict[int, Fragment] = {}
        self._key_starts: dict[
            int, int
        ] = {}  # first packet -> the packet from which on it is not known to be whole
        self._next: int | None = None  # first packet of the next delta frame; None: only a key frame will do
        self._resume = 0  # as the values of _key_starts, for the frame at _next
        self.dropped_frames = 0

    @property
    def needs_key_frame(self) -> bool:
        return self._next is None

    @property
    def awaited_key_frame(self) -> int | None:
        """The first packet of the newest key frame that is on its way, incomplete."""
        return max(self._key_starts, default=None)

    def insert(self, number: int, fragment: Fragment) -> None:
        """A packet by its unwrapped number; what is old or a copy is ignored. PADDING fills a number."""
        if (self._next is not None and number < self._next) or number in self._fragments:
            return
        if len(self._fragments) >= MAX_PACKETS:
            self.give_up(number + MAX_PACKETS)  # also what there is of a key frame
        self._fragments[number] = fragment
        if fragment.frame_start and fragment.key_frame:
            self._key_starts[number] = number

    def next_frame(self) -> AssembledFrame | None:
        """The next frame to decode, or None while packets are missing."""
        while self._next is not None and self._fragments.get(self._next) is PADDING:
            del self._fragments[self._next]
            self._next += 1
        if self._next is not None and self._next in self._fragments:
            last, self._resume = self._find_last(self._next, max(self._next, self._resume))
            if last is not None:
                return self._take(self._next, last)
        for start in sorted(self._key_starts):
            last, self._key_starts[start] = self._find_last(start, self._key_starts[start])
            if last is not None:
                return self._take(start, last)
        return None

    def give_up(self, lost: int) -> None:
        """Packet `lost` will not come: forget all up to the newest key frame that begins after it."""
        keep = self.awaited_key_frame
        if keep is None or keep <= lost:
            self._fragments.clear()
            self._key_starts.clear()
        else:
            for number in [n for n in self._fragments if n < keep]:
                del self._fragments[number]
            self._key_starts = {keep: self._key_starts[keep]}
        if self._next is not None:
            self.dropped_frames += 1
        self._next = None

    def _find_last(self, first: int, resume: int) -> tuple[int | None, int]:
        """(the last packet of the frame from `first` on, None while it is not whole; where to look on from)."""
        timestamp, number = self._fragments[first].timestamp, resume
        while (fragment := self._fragments.get(number)) is not None:
            if fragment is not PADDING:
                if fragment.timestamp != timestamp:
                    return number - 1, number  # another frame's packet: this one ended without a marker
                if fragment.marker:
                    return number, number
            number += 1
        return None, number

    def _take(self, first: int, last: int) -> AssembledFrame:
        parts = [self._fragments[n].data for n in range(first, last + 1)]
        frame = AssembledFrame(
            first,
            last,
            self._fragments[first].timestamp,
            b"".join(parts),
            first in self._key_starts,
            first == self._next,
        )
        self._next = last + 1
        for number in [n for n in self._fragments if n < self._next]:
            del self._fragments[number]
        self._key_starts = {n: at for n, at in self._key_starts.items() if n >= self._next}
        return frame
