"""The emulated network at a live socket: what is sent goes through a Link on the loop's clock."""

import asyncio
from typing import Any

from media.simulation.link import Link


class _Datagram(bytes):
    """A datagram that knows where it was going; the link sees its length only."""

    transport: asyncio.DatagramTransport
    address: Any


class ImpairedTransport:
    """An asyncio datagram transport whose sendto() passes through `link`; the rest is the transport's own.

    Several transports may share a link, as the sockets of one host share its uplink.
    """

    def __init__(self, transport: asyncio.DatagramTransport, link: Link) -> None:
        self._transport = transport
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def sendto(self, data: bytes, addr: Any = None) -> None:
        datagram = _Datagram(data)
        datagram.transport, datagram.address = self._transport, addr
        now = self._loop.time()
        self._link.send(datagram, now)
        self._deliver()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.close()

    def _deliver(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _, datagram in self._link.receive(self._loop.time()):
            if isinstance(datagram, _Datagram) and not datagram.transport.is_closing():
                datagram.transport.sendto(bytes(datagram), datagram.address)
        due = self._link.get_timer()
        if due is not None and not self._transport.is_closing():
            self._timer = self._loop.call_at(due, self._deliver)
