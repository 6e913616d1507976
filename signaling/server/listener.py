"""Where connections come in: accepted at once, and served when it is their turn."""

import asyncio
import asyncio.sslproto
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from signaling.errors import ServerStartError
from signaling.logs import event
from signaling.network_address import address_path
from signaling.server.admission import Admission
from signaling.server.peer import MEMBERS_PIECE, TLS_BUFFER, Peer
from signaling.server_limits import Limits

logger = logging.getLogger(__name__)

# How many connections are waiting for accept(), and are accepted in one turn of the loop.
BACKLOG = 1024
ACCEPTED_AT_ONCE = 16
# Without a free file accept() is tried again after so long.
ACCEPT_AGAIN = 0.1


class Listener:
    """Listening sockets, and their connections. `tls` is used for every new connection, as it is then."""

    def __init__(
        self,
        make_handler: Callable[[], asyncio.Protocol],
        admission: Admission,
        limits: Limits,
        has_proxy: bool,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._make_handler = make_handler
        self.admission = admission
        self.limits = limits
        self.tls: ssl.SSLContext | None = None
        self.peers: set[Peer] = set()
        # For all: between get_buffer() and buffer_updated() nothing else is done.
        self.buffer = memoryview(bytearray(MEMBERS_PIECE))
        self._has_proxy = has_proxy
        self._sockets: list[socket.socket] = []

    def make_handler(self) -> asyncio.Protocol:
        """aiohttp's protocol for one connection."""
        return self._make_handler()

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> str:
        """The URL. Raises ServerStartError."""
        if tls is not None:
            asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER
        self.tls = tls
        try:
            found = await self.loop.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(found):
                # Where any port will do, all addresses of the name have the same.
                chosen = self._sockets[0].getsockname()[1] if self._sockets else port
                self._sockets.append(_bound(family, (address[0], chosen, *address[2:])))
        except (OSError, OverflowError) as error:
            self.close()
            why = getattr(error, "strerror", None) or str(error)
            raise ServerStartError(f"cannot listen on {host}:{port}: {why}") from None
        for listening in self._sockets:
            self.loop.add_reader(listening, self._accept, listening)
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if tls else 'http'}://{name}:{self._sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """No new ones; who is not connected yet will not be. May be called twice."""
        for listening in self._sockets:
            self.loop.remove_reader(listening)
            listening.close()
        self._sockets = []
        for peer in [peer for peer in self.peers if peer.transport is None]:
            peer.drop()

    def abort(self) -> None:
        """Ends what is still connected."""
        for peer in list(self.peers):
            peer.drop()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connected, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                event(logger, logging.ERROR, "no connection accepted", why=error.strerror)
                self.admission.drop_one()
                self.loop.remove_reader(listening)
                self.loop.call_later(ACCEPT_AGAIN, self._listen_again, listening)
                return
            self._admit(connected, address)

    def _listen_again(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self.loop.add_reader(listening, self._accept, listening)

    def _admit(self, connected: socket.socket, address: Any) -> None:
        connected.setblocking(False)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # A transport that is closed waits for ever for a client to read the rest; Linux does not (RFC 5482).
            gone = round(1000 * self.limits.times.gone)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, gone)
        # A proxy's are all of one address; whose a connection is shows with its first request (Peer.identify).
        path = ("proxy", str(connected.fileno())) if self._has_proxy else address_path(address[0])
        peer = Peer(self, connected, path)
        self.peers.add(peer)
        self.admission.enter(peer, path)
        self.admission.turns.ask(peer.start, path)


def _bound(family: int, address: Any) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
