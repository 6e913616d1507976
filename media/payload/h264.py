"""H.264 in RTP (RFC 6184), packetization mode 1: single NAL units, STAP-A, FU-A."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from media.errors import PacketError

MAX_PAYLOAD_BYTES = 1150
SLICE, IDR, SPS, PPS, STAP_A, FU_A = 1, 5, 7, 8, 24, 28
INTRA_SLICES = (2, 4, 7, 9)  # slice_type of I and SI (H.264 table 7-6)
START_CODE = b"\0\0\0\1"
_START = re.compile(rb"\x00\x00\x00?\x01")


@dataclass(frozen=True, slots=True)
class H264Payload:
    """One packet's part of an access unit, as Annex B bytes to be joined in order."""

    data: bytes
    start: bool  # begins a NAL unit
    parameter_sets: bool  # has a sequence parameter set: begins an access unit that stands by itself
    idr: bool
    first_slice: bytes = b""  # of a picture, or how that begins
    sets: tuple[bytes, ...] = ()  # the parameter sets that are in it as a whole


def parse(payload: bytes) -> H264Payload:
    """Raises PacketError for bytes that are no H.264 payload of mode 0 or 1."""
    if len(payload) < 2:
        raise PacketError("H.264 payload is too short")
    kind = payload[0] & 0x1F
    if 1 <= kind < STAP_A:
        return _whole([payload])
    if kind == STAP_A:
        return _whole(list(_aggregated(payload)))
    if kind == FU_A:
        if len(payload) < 3:
            raise PacketError("H.264 fragment is too short")
        inner = payload[1] & 0x1F
        if payload[1] & 0x80:
            head = bytes((payload[0] & 0xE0 | inner,))
            unit = head + payload[2:]
            return H264Payload(START_CODE + unit, True, inner == SPS, inner == IDR, _first_slice([unit]))
        return H264Payload(payload[2:], False, False, inner == IDR)
    raise PacketError(f"H.264 packet type {kind} is not of mode 1")


def _whole(units: list[bytes]) -> H264Payload:
    kinds = {unit[0] & 0x1F for unit in units}
    return H264Payload(
        join_annex_b(units),
        True,
        SPS in kinds,
        IDR in kinds,
        _first_slice(units),
        tuple(unit for unit in units if unit[0] & 0x1F in (SPS, PPS)),
    )


def _aggregated(payload: bytes) -> Iterable[bytes]:
    position, found = 1, False
    while position < len(payload):
        size = int.from_bytes(payload[position : position + 2], "big")
        position += 2
        if size == 0 or position + size > len(payload):
            raise PacketError("H.264 aggregate runs over the end")
        yield payload[position : position + size]
        position += size
        found = True
    if not found:
        raise PacketError("H.264 aggregate is empty")


def split_annex_b(access_unit: bytes) -> list[bytes]:
    """NAL units between start codes, without trailing zeros."""
    starts = [(m.start(), m.end()) for m in _START.finditer(access_unit)]
    ends = [*(s for s, _ in starts[1:]), len(access_unit)][: len(starts)]
    units = (access_unit[begin:end].rstrip(b"\0") for (_, begin), end in zip(starts, ends, strict=True))
    return [unit for unit in units if unit]


def join_annex_b(units: Iterable[bytes]) -> bytes:
    return b"".join(START_CODE + unit for unit in units)


# -- NAL units


def is_idr(unit: bytes) -> bool:
    return unit[0] & 0x1F == IDR


def is_sps(unit: bytes) -> bool:
    return unit[0] & 0x1F == SPS


def is_slice(unit: bytes) -> bool:
    """Whether there is a part of a picture in it (types 1 to 5)."""
    return SLICE <= unit[0] & 0x1F <= IDR


def is_intra(unit: bytes) -> bool:
    """Whether a slice refers to no other picture (H.264 section 7.3.3)."""
    _, position = _exp_golomb(unit, 8)  # first_mb_in_slice
    return _exp_golomb(unit, position)[0] in INTRA_SLICES


def parameter_set_id(unit: bytes) -> tuple[int, int] | None:
    """(type, id) of a parameter set; None for anything else."""
    kind = unit[0] & 0x1F if unit else 0
    if kind not in (SPS, PPS):
        return None
    identifier, _ = _exp_golomb(unit, 32 if kind == SPS else 8)  # behind profile, constraints and level
    return None if identifier is None else (kind, identifier)


def _first_slice(units: Iterable[bytes]) -> bytes:
    """The one that begins a picture: its first_mb_in_slice is 0, one bit that is set."""
    return next((u for u in units if is_slice(u) and u[1:2] >= b"\x80"), b"")


def _exp_golomb(data: bytes, position: int) -> tuple[int | None, int]:
    """(ue(v) at bit `position`, the position behind it); None where the data ends (H.264 section 9.1).

    Near the head of a unit: what prevents start codes inside of it (0x03 after two zeros) cannot stand there.
    """
    bits = int.from_bytes(data[:16], "big")
    size = 8 * len(data[:16])
    zeros = 0
    while position + zeros < size and not bits >> (size - 1 - position - zeros) & 1:
        zeros += 1
    end = position + 2 * zeros + 1
    if end > size:
        return None, size
    return (bits >> (size - end) & ((1 << (zeros + 1)) - 1)) - 1, end


# -- into packets


def packetize(access_unit: bytes, max_bytes: int = MAX_PAYLOAD_BYTES) -> list[bytes]:
    """An Annex B access unit's payloads. Small units share a STAP-A, large ones are cut into FU-A."""
    payloads: list[bytes] = []
    together: list[bytes] = []

    def flush() -> None:
        if len(together) == 1:
            payloads.append(together[0])
        elif together:
            reference = max(unit[0] & 0x60 for unit in together)
            body = b"".join(len(unit).to_bytes(2, "big") + unit for unit in together)
            payloads.append(bytes((reference | STAP_A,)) + body)
        together.clear()

    for unit in split_annex_b(access_unit):
        if len(unit) > max_bytes:
            flush()
            payloads += _fragments(unit, max_bytes)
            continue
        if sum(len(u) + 2 for u in together) + len(unit) + 3 > max_bytes:
            flush()
        together.append(unit)
    flush()
    return payloads


def _fragments(unit: bytes, max_bytes: int) -> list[bytes]:
    body = unit[1:]
    count = -(-len(body) // (max_bytes - 2))
    indicator, kind = unit[0] & 0xE0 | FU_A, unit[0] & 0x1F
    payloads = []
    for index in range(count):
        part = body[len(body) * index // count : len(body) * (index + 1) // count]
        flags = (0x80 if index == 0 else 0) | (0x40 if index == count - 1 else 0)
        payloads.append(bytes((indicator, flags | kind)) + part)
    return payloads
