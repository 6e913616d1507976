"""H.264 in RTP (RFC 6184), packetization mode 1: single NAL units, STAP-A, FU-A."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from media.errors import PacketError

MAX_PAYLOAD_BYTES = 1150
IDR, SPS, PPS, STAP_A, FU_A = 5, 7, 8, 24, 28
START_CODE = b"\0\0\0\1"
_START = re.compile(rb"\x00\x00\x00?\x01")


@dataclass(frozen=True, slots=True)
class H264Payload:
    """One packet's part of an access unit, as Annex B bytes to be joined in order."""

    data: bytes
    start: bool  # begins a NAL unit
    parameter_sets: bool  # has a sequence parameter set: begins an access unit that stands by itself
    idr: bool


def parse(payload: bytes) -> H264Payload:
    """Raises PacketError for bytes that are no H.264 payload of mode 0 or 1."""
    if len(payload) < 2:
        raise PacketError("H.264 payload is too short")
    kind = payload[0] & 0x1F
    if 1 <= kind < STAP_A:
        return H264Payload(START_CODE + payload, True, kind == SPS, kind == IDR)
    if kind == STAP_A:
        units = list(_aggregated(payload))
        kinds = {unit[0] & 0x1F for unit in units}
        joined = b"".join(START_CODE + unit for unit in units)
        return H264Payload(joined, True, SPS in kinds, IDR in kinds)
    if kind == FU_A:
        if len(payload) < 3:
            raise PacketError("H.264 fragment is too short")
        inner = payload[1] & 0x1F
        if payload[1] & 0x80:
            head = bytes((payload[0] & 0xE0 | inner,))
            return H264Payload(START_CODE + head + payload[2:], True, inner == SPS, inner == IDR)
        return H264Payload(payload[2:], False, False, inner == IDR)
    raise PacketError(f"H.264 packet type {kind} is not of mode 1")


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


def packetize(access_unit: bytes) -> list[bytes]:
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
        if len(unit) > MAX_PAYLOAD_BYTES:
            flush()
            payloads += _fragments(unit)
            continue
        if sum(len(u) + 2 for u in together) + len(unit) + 3 > MAX_PAYLOAD_BYTES:
            flush()
        together.append(unit)
    flush()
    return payloads


def _fragments(unit: bytes) -> list[bytes]:
    body = unit[1:]
    count = -(-len(body) // (MAX_PAYLOAD_BYTES - 2))
    indicator, kind = unit[0] & 0xE0 | FU_A, unit[0] & 0x1F
    payloads = []
    for index in range(count):
        part = body[len(body) * index // count : len(body) * (index + 1) // count]
        flags = (0x80 if index == 0 else 0) | (0x40 if index == count - 1 else 0)
        payloads.append(bytes((indicator, flags | kind)) + part)
    return payloads
