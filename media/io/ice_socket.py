"""One local socket of ICE, or one at a relay: what is STUN, whose the rest is, and when it came."""

import asyncio
import logging
from typing import Any, Protocol, cast

from aioice import stun
from aioice.ice import StunProtocol

from media.io.ice_check import Check
from media.io.impairment import ImpairedTransport
from media.simulation.link import Link
from media.transport.demux import Kind, classify

logger = logging.getLogger(__name__)

Address = tuple[str, int]


class Listener(Protocol):
    """Who gets what comes."""

    network: Link | None

    def on_datagram(self, data: bytes, arrived: float) -> None: ...
    def on_taken(self) -> None: ...
    def measured(self, rtt: float) -> None: ...


class Agent(Protocol):
    """What the sockets ask of the connection that they belong to."""

    @property
    def owner(self) -> Listener: ...
    def heard(self, protocol: "IceSocket", addr: Address) -> bool: ...
    def expects(self, addr: Address) -> bool: ...
    def heard_elsewhere(self, protocol: "IceSocket", addr: Address) -> None: ...
    def pace(self) -> float: ...


class IceSocket(StunProtocol):
    """One local socket, or one at a relay."""

    receiver: Any  # an Agent; aioice knows its own class only

    def __init__(self, receiver: "Agent", relay_protocol: str | None = None) -> None:
        super().__init__(cast(Any, receiver))
        self.relay_protocol = relay_protocol  # to the relay: udp, tcp or tls
        self._checks: dict[Address, Check] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        link = self.receiver.owner.network
        if link is not None:
            transport = cast(asyncio.BaseTransport, ImpairedTransport(cast(Any, transport), link))
        super().connection_made(transport)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        self.datagram_arrived(cast(bytes, data), addr, asyncio.get_running_loop().time())
        self.datagrams_taken()

    def datagrams_taken(self) -> None:
        """What had come was given."""
        self.receiver.owner.on_taken()

    def datagram_arrived(self, data: bytes, addr: tuple[Any, ...], arrived: float) -> bool:
        """`arrived` on the loop's clock: before now, if the loop was busy. As media.io.udp.Receiver's."""
        connection, addr = self.receiver, (addr[0], addr[1])  # of IPv6 there are four
        proven = connection.heard(self, addr)
        kind = classify(data)
        if kind is Kind.STUN:
            try:
                super().datagram_received(data, addr)
            except Exception as error:
                # STUN of any bytes; aioice reads attributes that an authenticated peer need not have sent.
                logger.debug("datagram from %s dropped: %r", addr, error)
        elif kind is not Kind.DTLS or proven or connection.expects(addr):
            # A handshake is not authentic before it ends: nobody else may disturb it.
            self.hasten(addr)
            if not proven:
                connection.heard_elsewhere(self, addr)
            connection.owner.on_datagram(data, arrived)
        return kind is not Kind.STUN  # an answer shows a path, which what comes with it may need

    async def request(
        self,
        request: stun.Message,
        addr: Address,
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, Address]:
        if integrity_key is None:  # to a server
            return await super().request(request, addr, integrity_key, retransmissions)
        pace = self.receiver.pace()
        check = self._checks[addr] = Check(self, request, addr, integrity_key, pace=pace)
        try:
            return await check.run()
        finally:
            if self._checks.get(addr) is check:
                del self._checks[addr]
            if check.round_trip_time is not None:
                self.receiver.owner.measured(check.round_trip_time)

    def hasten(self, addr: Address) -> None:
        """The peer was heard at `addr`: a check of ours that is not answered yet may have been lost."""
        if (check := self._checks.get(addr)) is not None:
            check.hasten()
