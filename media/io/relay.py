"""A UDP relay with an emulated network in it, for a live call between two engines that know nothing of it.

    a  <-->  [port for a]  -- link a to b -->  [port for b]  <-->  b
                           <-- link b to a --

End a is told the relay's port for a instead of b's address, and b the port for b: `rewrite_candidate` and
`rewrite_sdp` do that to what signaling carries. Where an end sends from is learned from its datagrams (the newest
counts, so an end should have one local address), or declared. In a process of its own (`python -m media relay`) the
emulation takes no time from the engines that are measured.
"""

import asyncio
import ipaddress
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

from media.errors import MediaError
from media.io.impairment import ImpairedTransport
from media.simulation.link import Link

Address = tuple[str, int]

# Longer datagrams do not come from a call (RFC 8834 keeps to the path MTU); with the link's own bound on their
# number this bounds what waits to 16 MB a direction.
MAX_DATAGRAM_BYTES = 2048
_CANDIDATE = "candidate:"


class RelayError(MediaError):
    """The relay cannot bind its ports."""


@dataclass(slots=True)
class RelayCounters:
    """Of one direction, before the link. `dropped_unknown`: came before the receiving end's address was known."""

    packets: int = 0
    bytes: int = 0
    dropped_unknown: int = 0
    dropped_long: int = 0


class _Port(asyncio.DatagramProtocol):
    """One of the two sockets: where its end sends to, and what the other end's datagrams leave through."""

    def __init__(self, link: Link, peer: Address | None) -> None:
        self.peer = peer  # this port's end
        self.counters = RelayCounters()  # what this port's end sent
        self.other: _Port | None = None
        self._link = link  # towards this port's end
        self.transport: ImpairedTransport | None = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Up to Python 3.11 asyncio's datagram transports do not derive from DatagramTransport.
        self.transport = ImpairedTransport(cast(asyncio.DatagramTransport, transport), self._link)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.peer = addr
        counters, other = self.counters, self.other
        counters.packets += 1
        counters.bytes += len(data)
        if len(data) > MAX_DATAGRAM_BYTES:
            counters.dropped_long += 1
        elif other is None or other.peer is None or other.transport is None:
            counters.dropped_unknown += 1
        else:
            other.transport.sendto(data, other.peer)

    def error_received(self, exc: Exception) -> None:
        """An end that has gone (ICMP port unreachable): its own affair."""


class Relay:
    """Two ports and a link each way. `peer_a`, `peer_b`: where the ends are, if that is known beforehand.

    `host` is the local address of both ports; port 0 takes a free one.
    """

    def __init__(
        self,
        a_to_b: Link,
        b_to_a: Link,
        *,
        host: str = "127.0.0.1",
        port_a: int = 0,
        port_b: int = 0,
        peer_a: Address | None = None,
        peer_b: Address | None = None,
    ) -> None:
        self._links = a_to_b, b_to_a
        self._host = host
        self._wanted = port_a, port_b
        self._peers = peer_a, peer_b
        self._ports: list[_Port] = []
        self._closed = False

    async def start(self) -> None:
        """Bind both ports. Raises RelayError."""
        loop = asyncio.get_running_loop()
        a_to_b, b_to_a = self._links
        try:
            for link, port, peer in zip((b_to_a, a_to_b), self._wanted, self._peers, strict=True):
                _, protocol = await loop.create_datagram_endpoint(
                    partial(_Port, link, peer),
                    local_addr=(self._host, port),
                )
                self._ports.append(protocol)
        except (OSError, OverflowError) as error:
            await self.close()
            raise RelayError(
                f"the relay cannot bind {self._host}:{port}: {getattr(error, 'strerror', None) or error}"
            ) from None
        self._ports[0].other, self._ports[1].other = self._ports[1], self._ports[0]

    @property
    def address_for_a(self) -> Address:
        """Where end a has to send."""
        return self._address(0)

    @property
    def address_for_b(self) -> Address:
        """Where end b has to send."""
        return self._address(1)

    def counters(self) -> dict[str, dict[str, float]]:
        """What the ends sent (`from_a`, `from_b`) and what the links did with it (`a_to_b`, `b_to_a`)."""
        a, b = self._ports
        return {
            "from_a": asdict(a.counters),
            "from_b": asdict(b.counters),
            "a_to_b": self._links[0].counters.to_dict(),
            "b_to_a": self._links[1].counters.to_dict(),
        }

    async def close(self) -> None:
        """Give the ports back. Always returns; may be called twice."""
        if self._closed:
            return
        self._closed = True
        for port in self._ports:
            if port.transport is not None:
                port.transport.close()
        for port in self._ports:
            if port.transport is not None:
                await port.lost

    def _address(self, index: int) -> Address:
        transport = self._ports[index].transport
        assert transport is not None
        host, port = transport.get_extra_info("sockname")[:2]
        return host, port


def rewrite_candidate(line: str, address: Address) -> str | None:
    """A candidate line (RFC 8839 section 5.1, with or without `a=`) that points to `address` instead.

    None for one that the relay cannot carry: TCP, components other than 1, or what is no candidate at all. It
    becomes a host candidate; related addresses go, they would tell a way around.
    """
    text = line.strip()
    prefix = "a=" if text.startswith("a=") else ""
    text = text.removeprefix("a=")
    marked = text.startswith(_CANDIDATE)
    words = text.removeprefix(_CANDIDATE).split()
    if len(words) < 8 or words[6] != "typ" or words[1] != "1" or words[2].lower() != "udp":
        return None
    rest = words[8:]
    extensions = []
    for name, value in zip(rest[::2], rest[1::2], strict=False):
        if name not in ("raddr", "rport", "tcptype"):
            extensions += [name, value]
    words = [*words[:4], address[0], str(address[1]), "typ", "host", *extensions]
    return f"{prefix}{_CANDIDATE if marked else ''}{' '.join(words)}"


def rewrite_sdp(text: str, address: Address) -> str:
    """A description whose candidates point to `address`: one candidate a section, the first that can be carried.

    Several would be one and the same address. Default addresses (`c=`, and the port of `m=` lines that have a real
    one) follow. Line ends are kept.
    """
    family = "IP6" if ipaddress.ip_address(address[0]).version == 6 else "IP4"
    out: list[str] = []
    have = False
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        end = line[len(body) :]
        if body.startswith("m="):
            have = False
            media, _, rest = body.partition(" ")
            port, _, rest = rest.partition(" ")
            if port not in ("0", "9"):
                body = f"{media} {address[1]} {rest}"
        elif body.startswith("c="):
            body = f"c=IN {family} {address[0]}"
        elif body.startswith(f"a={_CANDIDATE}"):
            rewritten = None if have else rewrite_candidate(body, address)
            if rewritten is None:
                continue
            body, have = rewritten, True
        elif body.startswith("a=rtcp:"):
            continue  # the relay has no second component
        out.append(body + end)
    return "".join(out)
