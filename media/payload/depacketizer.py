"""From packets to what a decoder takes: one depacketizer for the packets of one source.

An H.264 parameter set holds until another with its id comes (H.264 section 7.4.1.2.1). Encoders repeat the sets with
each IDR picture, or send them once, or in packets with a time or a marker of their own, or not at all but in the
session description (RFC 6184 sections 8.2.2, 8.4). So they are kept as they come, and put in front of each key frame
that does not bring them itself.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from media.parameters import VideoParameters
from media.payload import h264, vp8
from media.payload.frame_buffer import AssembledFrame, Fragment
from media.rtp.packet import RtpPacket

MAX_SET_BYTES = 1024  # real ones have 10 to 100
MAX_SETS = 64  # of both kinds; the standard has ids for 32 and 256
MAX_WAITING_SETS = 16  # for a picture to follow


class Depacketizer(Protocol):
    def parse(self, packet: RtpPacket) -> Fragment:
        """One packet's part of a frame. Raises PacketError."""

    def assemble(self, frame: AssembledFrame) -> AssembledFrame | None:
        """What is decoded of a run of packets that the frame buffer took for a frame; None: there is no picture in it.

        `key_frame` then says whether it can be decoded by itself.
        """


def make_depacketizer(parameters: VideoParameters) -> Depacketizer:
    return H264Depacketizer(parameters.parameter_sets) if parameters.codec == "H264" else Vp8Depacketizer()


class Vp8Depacketizer:
    """A packet says all that is to be known of it."""

    def parse(self, packet: RtpPacket) -> Fragment:
        parsed = vp8.parse(packet.payload)
        return Fragment(packet.timestamp, parsed.data, parsed.start, parsed.key_frame, packet.marker)

    def assemble(self, frame: AssembledFrame) -> AssembledFrame | None:
        return frame


class H264Depacketizer:
    """`sets`: the parameter sets of the session description (sprop-parameter-sets)."""

    def __init__(self, sets: Iterable[bytes] = ()) -> None:
        self._sets = ParameterSets(sets)
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING_SETS)
        self._sets_at = -1  # timestamp of the last sequence parameter set

    def parse(self, packet: RtpPacket) -> Fragment:
        parsed = h264.parse(packet.payload)
        starts = parsed.parameter_sets and not self._sets.complete
        for unit in parsed.sets:  # now, not with their frame: packets before it may be missing for good
            self._sets.add(unit)
        if parsed.parameter_sets:
            self._sets_at = packet.timestamp
        if parsed.first_slice and self._sets.complete:
            begins = packet.timestamp == self._sets_at and h264.is_intra(parsed.first_slice)
            starts = starts or begins or h264.is_idr(parsed.first_slice)
        return Fragment(packet.timestamp, parsed.data, starts, starts, packet.marker)

    def assemble(self, frame: AssembledFrame) -> AssembledFrame | None:
        units = h264.split_annex_b(frame.data)
        for unit in units:
            if self._sets.add(unit):
                self._waiting.append(unit)
        pictures = [unit for unit in units if h264.is_slice(unit)]
        if not pictures:
            return None
        sets, own = list(self._waiting), {unit[0] & 0x1F for unit in units}
        self._waiting.clear()
        begins = any(map(h264.is_sps, sets)) and h264.is_intra(pictures[0])
        key_frame = self._sets.complete and (h264.is_idr(pictures[0]) or begins)
        if own >= {h264.SPS, h264.PPS}:
            sets = []
        elif key_frame:
            sets = list(self._sets)
        return replace(frame, data=h264.join_annex_b(sets) + frame.data, key_frame=key_frame)


class ParameterSets:
    """The sequence and picture parameter sets that hold now."""

    def __init__(self, units: Iterable[bytes] = ()) -> None:
        self._units: dict[tuple[int, int], bytes] = {}  # (type, id) -> unit
        for unit in units:
            self.add(unit)

    def add(self, unit: bytes) -> bool:
        """Whether it is a parameter set; anything else is left alone."""
        key = h264.parameter_set_id(unit)
        if key is None or len(unit) > MAX_SET_BYTES:
            return False
        known = self._units.get(key)
        if key[0] == h264.SPS and known is not None and known != unit:
            # Another sequence: what the picture sets of the one before say is not said of it.
            self._units = {k: u for k, u in self._units.items() if k[0] == h264.SPS}
        if key in self._units or len(self._units) < MAX_SETS:
            self._units[key] = unit
        return True

    @property
    def complete(self) -> bool:
        return {kind for kind, _ in self._units} == {h264.SPS, h264.PPS}

    def __iter__(self) -> Iterator[bytes]:
        """Sequence parameter sets first."""
        return (self._units[key] for key in sorted(self._units))
