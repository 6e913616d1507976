"""A connection as it is read until its login.

aiohttp's protocol parses what has come at once, and all of it; here a Peer stands before it. It hands over a small
piece when it is its turn (turns.py), and nothing more until then: so TCP holds the sender back. It bounds what one
connection can make the server hold, and ends one that does not get on.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

from aiohttp import web

from signaling.fairness import Path
from signaling.rate_limit import TokenBucket
from signaling.server.admission import Admission
from signaling.server_limits import Limits

logger = logging.getLogger(__name__)

# Read in one turn: from strangers (1,400 of the smallest WebSocket frames), from who is logged in.
PIECE = 8 * 1024
MEMBERS_PIECE = 64 * 1024
# What a connection may send before something is done with it: the head of a request, and its body (Limits.body_bytes).
HEAD_BYTES = 16 * 1024
# asyncio's TLS has a buffer of this size for each connection. Its own are 256 KiB, from the first byte on.
TLS_BUFFER = 16 * 1024


class Owner(Protocol):
    """Where a connection came in (listener.py)."""

    loop: asyncio.AbstractEventLoop
    admission: Admission
    limits: Limits
    tls: ssl.SSLContext | None
    peers: "set[Peer]"
    buffer: memoryview

    def make_handler(self) -> asyncio.Protocol:
        """aiohttp's protocol for one connection."""


class PacedTransport(asyncio.Transport):
    """The transport as aiohttp sees it: whether it is read is for `peer` to say, all else is the transport's."""

    def __init__(self, peer: "Peer", transport: asyncio.Transport) -> None:
        super().__init__()
        self.peer = peer
        self._transport = transport
        # What is called for every frame goes straight to it.
        self.write = transport.write  # type: ignore[method-assign]
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.get_write_buffer_size = transport.get_write_buffer_size  # type: ignore[method-assign]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self.peer.hold(True)

    def resume_reading(self) -> None:
        self.peer.hold(False)

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self._transport.writelines(list_of_data)

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        self._transport.write_eof()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()


class Peer(asyncio.BufferedProtocol):
    """One connection, from accept() to its end."""

    def __init__(self, listener: "Owner", connected: socket.socket, path: Path) -> None:
        self._listener = listener
        self._loop = listener.loop
        self._admission = listener.admission
        self._limits = listener.limits
        self.path = path
        self.transport: asyncio.Transport | None = None
        self.on_overrun: Callable[[], None] = lambda: None  # more than a login takes
        self.requests = TokenBucket(self._limits.requests, self._loop.time())
        self._socket: socket.socket | None = connected  # until its transport has it
        self._opening: asyncio.Task[None] | None = None
        self._handler: asyncio.Protocol | None = None
        self._is_member = self._is_upgraded = False
        self.is_pipelining = False  # the request in hand came before the answer to the last one
        self._piece = b""  # read, and waits for its turn
        self._sent = 0  # since something was done with it
        self._most = HEAD_BYTES + self._limits.body_bytes
        self._bytes: TokenBucket | None = None
        self._throttle: asyncio.TimerHandle | None = None
        self._is_held, self._is_reading = False, True
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._end_in(self._limits.head)

    # -- until there is a transport

    def start(self) -> None:
        """Its turn has come to be a connection."""
        if self._socket is not None:
            self._opening = self._loop.create_task(self._open(self._socket))
            self._opening.add_done_callback(self._opened)

    async def _open(self, connected: socket.socket) -> None:
        tls, times = self._listener.tls, dict[str, float]()
        if tls is not None:
            times = {
                "ssl_handshake_timeout": self._limits.head,
                "ssl_shutdown_timeout": self._limits.times.close,
            }
        with suppress(OSError):  # no TLS, or no TLS in time
            await self._loop.connect_accepted_socket(lambda: self, connected, ssl=tls, **times)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        self._opening = None
        if self.transport is None:
            self._close_socket()
        if not opening.cancelled() and (error := opening.exception()) is not None:
            logger.error("a connection failed", exc_info=error)

    def drop(self) -> None:
        """Ends at once; nobody is told."""
        if self.transport is not None:
            self.transport.abort()
        elif self._opening is not None:
            self._opening.cancel()
        else:
            self._close_socket()

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._forget()

    # -- what the server makes of it

    def identify(self, path: Path) -> None:
        """Whose connection it is, as the proxy says."""
        if path != self.path:
            self.path = path
            self._admission.enter(self, path)

    def begin_request(self) -> None:
        self._due = None
        self.is_pipelining = not self._sent

    def end_request(self) -> None:
        self._sent = 0
        if not self._is_upgraded:
            self._admission.touch(self)
            self._end_in(self._limits.keep_alive)
            self._set_reading()

    def upgrade(self, on_overrun: Callable[[], None]) -> None:
        """It is a WebSocket now, and has Limits.times.login to log in."""
        self._is_upgraded, self._due = True, None
        self._sent, self._most, self.on_overrun = 0, self._limits.bytes_before_login, on_overrun
        self._admission.touch(self)
        self._set_reading()

    def promote(self) -> bool:
        """It has logged in. False: there is no place for it."""
        if not self._is_member and self._admission.promote(self):
            self._is_member = True
            self._bytes = TokenBucket(self._limits.bytes, self._loop.time())
            self._set_reading()
        return self._is_member

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self._socket = transport, None
        if self._listener.tls is not None:
            transport.set_read_buffer_limits(TLS_BUFFER)  # type: ignore[attr-defined]
        self._handler = self._listener.make_handler()
        self._handler.connection_made(PacedTransport(self, transport))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._listener.buffer[: MEMBERS_PIECE if self._is_member else PIECE]

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._listener.buffer[:nbytes])
        if self._bytes is not None:
            wait = self._bytes.spend(self._loop.time(), nbytes)
            if wait and self._throttle is None:
                self._throttle = self._loop.call_later(wait, self._read_on)
            self._hand_over(data)
        else:
            if not self._sent and self._due is not None:
                self._end_in(min(self._limits.head, self._due - self._loop.time()))
            self._piece = data
            self._admission.turns.ask(self._take_turn, self.path)
        self._set_reading()

    def eof_received(self) -> bool | None:
        return self._handler.eof_received() if self._handler is not None else None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handler is not None:
            # Not before it has begun with what it got last: aiohttp (3.14) begins a request of a connection that it has
            # just lost, and cannot.
            self._loop.call_soon(self._handler.connection_lost, exc)
            self._handler = None
        self.transport = None
        self._forget()

    def pause_writing(self) -> None:
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        if self._handler is not None:
            self._handler.resume_writing()

    # -- reading

    def hold(self, is_held: bool) -> None:
        """aiohttp wants nothing more for now."""
        self._is_held = is_held
        self._set_reading()

    def _set_reading(self) -> None:
        too_much = not self._is_member and self._sent >= self._most
        wanted = not (self._is_held or self._piece or too_much or self._throttle is not None)
        if self.transport is not None and wanted is not self._is_reading and not self.transport.is_closing():
            self._is_reading = wanted
            (self.transport.resume_reading if wanted else self.transport.pause_reading)()

    def _read_on(self) -> None:
        self._throttle = None
        self._set_reading()

    def _take_turn(self) -> None:
        data, self._piece = self._piece, b""
        if self.transport is None or self.transport.is_closing():
            return
        self._hand_over(data)
        if self._is_upgraded and not self._is_member and self._sent >= self._most:
            self.on_overrun()
        self._set_reading()

    def _hand_over(self, data: bytes) -> None:
        if self._handler is None:
            return
        self._sent += len(data)
        try:
            self._handler.data_received(data)
        except Exception:
            logger.exception("a connection failed")
            self.drop()

    # -- time

    def _end_in(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._due <= self._loop.time():
            self.drop() if self.transport is None else self.transport.close()
        else:
            self._timer = self._loop.call_at(self._due, self._tick)

    def _forget(self) -> None:
        self._piece, self._due, self.on_overrun = b"", None, lambda: None
        for timer in (self._timer, self._throttle):
            if timer is not None:
                timer.cancel()
        self._timer = self._throttle = None
        for call in (self._take_turn, self.start):
            self._admission.turns.discard(call)
        self._admission.leave(self)
        self._listener.peers.discard(self)


def peer_of(request: web.Request) -> Peer | None:
    """Whose request it is; None once the connection is gone."""
    transport = request.transport
    return transport.peer if isinstance(transport, PacedTransport) else None
