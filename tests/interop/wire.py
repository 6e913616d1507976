"""A network between two ends on one machine: all that they send passes here, is counted, and may be lost.

Each end is told the other's candidates at addresses of the wire (host candidates of UDP over IPv4; the others are left
out). RTP and RTCP headers are not encrypted: what is counted is what anybody on the path sees.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Address = tuple[str, int]
STRATUM = 33  # with loss, every stream loses one of so many datagrams, at a random place: 3 %
RTCP_TYPES = range(192, 224)  # RFC 5761: what stands where RTP has marker and payload type


@dataclass
class Flow:
    """What one end has sent. RTP by payload type and by source address."""

    rtp: Counter[int] = field(default_factory=Counter)
    sources: Counter[Address] = field(default_factory=Counter)
    last_source: Address | None = None
    lost: Counter[int] = field(default_factory=Counter)
    timestamps: set[tuple[int, bytes]] = field(default_factory=set)  # with the payload type: one a picture

    def count(self, payload_types: set[int]) -> int:
        """RTP packets of these."""
        return sum(self.rtp[number] for number in payload_types)

    def pictures(self, payload_type: int) -> int:
        return sum(number == payload_type for number, _ in self.timestamps)


@dataclass
class _Stream:
    """Which datagram of the stratum is to be lost."""

    position: int = 0
    victim: int = 0


class _Front(asyncio.DatagramProtocol):
    """The socket at which `target` is reached; what it sends leaves here, too."""

    def __init__(self, wire: "Wire", owner: str, target: Address) -> None:
        self._wire, self.owner, self.target = wire, owner, target
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._wire.pass_on(data, addr[:2], self)


class Wire:
    """Between the ends "offerer" and "answerer"; `lossy` may be switched on at any time."""

    def __init__(self, seed: int = 1) -> None:
        self.lossy = False
        self.flows = {"offerer": Flow(), "answerer": Flow()}
        self._random = random.Random(seed)
        self._streams: dict[tuple[str, bytes], _Stream] = {}
        self._fronts: dict[Address, _Front] = {}
        self._opening: dict[Address, asyncio.Task[_Front]] = {}
        self._closed = False

    async def candidate(self, owner: str, line: str) -> str | None:
        """The line as the other end gets it; None: not for this wire."""
        words = line.split()
        if words[2].lower() != "udp" or words[7] != "host" or ":" in words[4]:
            return None
        words[4], port = (await self._front(owner, (words[4], int(words[5])))).transport.get_extra_info(
            "sockname"
        )
        words[5] = str(port)
        return " ".join(words)

    def pass_on(self, data: bytes, source: Address, front: _Front) -> None:
        sender = "answerer" if front.owner == "offerer" else "offerer"
        if (back := self._fronts.get(source)) is None:
            self._open(sender, source)  # seen for the first time: a retransmission will pass
            return
        if not self._is_lost(data, sender):
            self._count(data, sender, source)
            back.transport.sendto(data, front.target)

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for front in self._fronts.values():
            front.transport.close()

    # -- inside

    async def _front(self, owner: str, target: Address) -> _Front:
        return self._fronts.get(target) or await asyncio.shield(self._open(owner, target))

    def _open(self, owner: str, target: Address) -> asyncio.Task[_Front]:
        async def make() -> _Front:
            loop = asyncio.get_running_loop()
            _, front = await loop.create_datagram_endpoint(
                lambda: _Front(self, owner, target), local_addr=(target[0], 0)
            )
            self._fronts[target] = front
            return front

        if target not in self._opening:
            self._opening[target] = asyncio.ensure_future(make())
        return self._opening[target]

    def _is_lost(self, data: bytes, sender: str) -> bool:
        if _is_rtp(data):
            self.flows[sender].timestamps.add((data[1] & 0x7F, data[4:8]))
        if not self.lossy:
            return False
        key = (sender, data[8:12] if _is_rtp(data) else b"")
        stream = self._streams.setdefault(key, _Stream(victim=self._random.randrange(STRATUM)))
        lost = stream.position == stream.victim
        stream.position += 1
        if stream.position == STRATUM:
            stream.position, stream.victim = 0, self._random.randrange(STRATUM)
        if lost and _is_rtp(data):
            self.flows[sender].lost[data[1] & 0x7F] += 1
        return lost

    def _count(self, data: bytes, sender: str, source: Address) -> None:
        if _is_rtp(data):
            flow = self.flows[sender]
            flow.rtp[data[1] & 0x7F] += 1
            flow.sources[source] += 1
            flow.last_source = source


def _is_rtp(data: bytes) -> bool:
    return len(data) >= 12 and 128 <= data[0] < 192 and data[1] not in RTCP_TYPES
