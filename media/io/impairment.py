"""The emulated network at a live socket: what is sent goes through a Link on the loop's clock."""

import asyncio
import math
from typing import Any

from media.simulation.link import Link


class _Datagram(bytes):
    """A datagram that knows where it was going; the link sees its length only."""

    transport: asyncio.DatagramTransport
    address: Any


class ImpairedTransport:
    """An asyncio datagram transport whose sendto() passes through `link`; the rest is the transport's own.

    Several transports may share a link, as the sockets of one host share its uplink. What waits is bounded by the
    link. close() sends what is under way at once: a real network would deliver it although its sender has gone, and
    the last words of a call are among it.
    """

    def __init__(self, transport: asyncio.DatagramTransport, link: Link) -> None:
        self._transport = transport
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def sendto(self, data: bytes, addr: Any = None) -> None:
        if self._transport.is_closing():
            return
        datagram = _Datagram(data)
        datagram.transport, datagram.address = self._transport, addr
        now = self._loop.time()
        self._link.send(datagram, now)
        self._deliver(now)

    def close(self) -> None:
        if not self._transport.is_closing():
            self._deliver(math.inf)
        self._stop_timer()
        self._transport.close()

    def abort(self) -> None:
        self._stop_timer()
        self._transport.abort()

    def _tick(self) -> None:
        self._timer = None
        self._deliver(self._loop.time())

    def _deliver(self, now: float) -> None:
        for _, datagram in self._link.receive(now):
            if isinstance(datagram, _Datagram) and not datagram.transport.is_closing():
                datagram.transport.sendto(bytes(datagram), datagram.address)
        due = self._link.get_timer()
        if self._timer is not None:
            if due is not None and self._timer.when() <= due:
                return  # it looks in time
            self._stop_timer()
        if due is not None and not self._transport.is_closing():
            self._timer = self._loop.call_at(due, self._tick)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
