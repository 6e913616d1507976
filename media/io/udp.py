"""A UDP socket on the running loop: an asyncio datagram transport that says when datagrams came.

asyncio's takes one datagram a turn of the loop, into a buffer of 256 KiB that is made anew for each (13 of 15 µs on the
machine of docs/performance.md), and what waited for the loop looks as if the network had been slow. This one empties
the socket at each turn and asks the kernel for the times of arrival.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from struct import Struct
from typing import Any, Protocol, cast

MAX_BYTES = 65536
MAX_AT_ONCE = 32  # datagrams a turn: others want theirs
# asm-generic/socket.h; Python has no name for it before 3.14. MIPS, SPARC and PA-RISC have other numbers.
SO_TIMESTAMPNS = 35
_TIMESPEC = Struct("@ll")
_STAMP_BYTES = 64  # of ancillary data: a header and a time
MAX_WAIT = 1.0  # seconds; what seems to have waited longer comes of a clock that was set

Address = tuple[str, int]


class Receiver(Protocol):
    """What the transport asks of its asyncio.DatagramProtocol besides."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def error_received(self, exc: Exception) -> None: ...
    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None: ...
    def datagram_arrived(self, data: bytes, addr: tuple[Any, ...], arrived: float) -> bool:
        """`arrived` on the loop's clock. False: what is waiting next must not come before a task has acted on this."""

    def datagrams_taken(self) -> None:
        """Those of this turn were given, one or more."""


class UdpTransport(asyncio.DatagramTransport):
    """What the system does not take at once is lost, as it may be anywhere on the way: nothing is queued."""

    def __init__(self, sock: socket.socket, protocol: Receiver) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket, self._protocol = sock, protocol
        self._closing = False
        self._receive = self._receive_plain
        if sys.platform == "linux":
            try:
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                self._receive = self._receive_stamped
            except OSError:  # then without
                pass
        self._loop.add_reader(sock.fileno(), self._ready)
        protocol.connection_made(self)

    def sendto(self, data: Any, addr: Any = None) -> None:
        if self._closing:
            return
        try:
            self._socket.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._protocol.error_received(error)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sockname" and not self._closing:
            return self._socket.getsockname()
        return self._socket if name == "socket" else default

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.remove_reader(self._socket.fileno())
            self._loop.call_soon(self._finish)

    def abort(self) -> None:
        self.close()

    def _finish(self) -> None:
        try:
            self._protocol.connection_lost(None)
        finally:
            self._socket.close()

    def _ready(self) -> None:
        taken, more = 0, True
        while more and taken < MAX_AT_ONCE and not self._closing:
            try:
                data, addr, arrived = self._receive()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:  # a host told that nobody listens there
                self._protocol.error_received(error)
                break
            taken += 1
            more = self._protocol.datagram_arrived(data, addr, arrived)
        if taken and not self._closing:
            self._protocol.datagrams_taken()

    def _receive_plain(self) -> tuple[bytes, tuple[Any, ...], float]:
        data, addr = self._socket.recvfrom(MAX_BYTES)
        return data, addr, self._loop.time()

    def _receive_stamped(self) -> tuple[bytes, tuple[Any, ...], float]:
        data, ancillary, _, addr = self._socket.recvmsg(MAX_BYTES, _STAMP_BYTES)
        waited = 0.0
        for level, kind, stamp in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(stamp) == _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack(stamp)
                waited = time.time() - seconds - nanoseconds * 1e-9
        return data, addr, self._loop.time() - (waited if 0 < waited < MAX_WAIT else 0.0)


async def open_udp(make_protocol: Callable[[], Receiver], address: str) -> tuple[Any, Any]:
    """(transport, protocol) of a socket bound to an IP address, on a port of the system's choice. Raises OSError.

    On a loop that cannot watch sockets (Windows' proactor) the transport is asyncio's.
    """
    numeric = socket.AI_NUMERICHOST
    family, *_, bound = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM, flags=numeric)[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind(bound)
        protocol = make_protocol()
        return UdpTransport(sock, protocol), protocol
    except NotImplementedError:
        loop = asyncio.get_running_loop()
        return await loop.create_datagram_endpoint(cast(Any, make_protocol), sock=sock)
    except BaseException:
        sock.close()
        raise
