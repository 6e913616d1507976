"""A socket at a TURN server (RFC 8656), over UDP, TCP or TLS, on aioice's client.

aioice's own transport makes a task a datagram, keeps what it is given without bound while a channel is being bound
or TCP is stuck, asks again for a peer that the server forbids, and waits up to 40 s for a dead server's goodbye.
"""

import asyncio
import logging
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast

from aioice import stun
from aioice.turn import TurnClientProtocol, TurnClientTcpProtocol, TurnClientUdpProtocol

from media.io.ice_syntax import IceServer

logger = logging.getLogger(__name__)

LIFETIME = 600  # of an allocation, RFC 8656 section 3.2; refreshed in time
# A channel's permission lasts 300 s (section 9), the channel 600 s; tried again where a refresh was lost.
CHANNEL_REFRESH, CHANNEL_RETRY = 240.0, 20.0
MAX_WAITING = 8  # datagrams to a peer whose channel is being bound
MAX_PEERS = 128
MAX_UNSENT_BYTES = 65536  # over TCP; what is older is of no use to a call
DELETE_TIMEOUT = 0.5
FORBIDDEN = 403  # RFC 8656 section 19.1

Address = tuple[str, int]


class RelayTransport:
    """An asyncio datagram transport: what is sent leaves from the relayed address. `on_refused` gets what the server
    says of a peer that it will not relay to."""

    def __init__(
        self, client: TurnClientProtocol, address: Address, on_refused: Callable[[str], None]
    ) -> None:
        self.address = address
        self.mapped_address: Address = client.mapped_address or ("0.0.0.0", 9)
        self._client = client
        self._on_refused = on_refused
        self._waiting: dict[Address, deque[bytes]] = {}
        self._refused: set[Address] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.address if name == "sockname" else default

    def is_closing(self) -> bool:
        """Also when the server is lost, or has ended the allocation."""
        return self._closing is not None or self._client.transport.is_closing()

    def sendto(self, data: bytes, addr: Address) -> None:
        """Dropped where the server refuses the peer, and what is too much."""
        if self.is_closing() or addr in self._refused:
            return
        client = self._client
        channel = client.peer_to_channel.get(addr)
        if channel is None:
            self._bind_and_send(data, addr)
            return
        if time.time() > client.channel_refresh_at[channel]:
            client.channel_refresh_at[channel] = time.time() + CHANNEL_RETRY
            self._spawn(self._refresh(channel, addr))
        unsent = getattr(client.transport, "get_write_buffer_size", None)
        if isinstance(client, TurnClientUdpProtocol) or unsent is None or unsent() < MAX_UNSENT_BYTES:
            client._send(struct.pack("!HH", channel, len(data)) + data)

    def close(self) -> None:
        """Give the allocation back and close, within half a second; then the socket's connection_lost() is called."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _bind_and_send(self, data: bytes, addr: Address) -> None:
        waiting = self._waiting.get(addr)
        if waiting is not None:
            waiting.append(data)
        elif len(self._waiting) + len(self._refused) + len(self._client.peer_to_channel) < MAX_PEERS:
            self._waiting[addr] = deque(maxlen=MAX_WAITING)
            self._spawn(self._bind(data, addr))

    async def _bind(self, data: bytes, addr: Address) -> None:
        try:
            await self._client.send_data(data, addr)
        except (stun.TransactionError, ConnectionError) as error:
            logger.debug("relay to %s: %s", addr, error)
            if isinstance(error, stun.TransactionFailed) and error.response.error_code == FORBIDDEN:
                self._refused.add(addr)
                self._on_refused(explain(error))
            del self._waiting[addr]
        else:
            for later in self._waiting.pop(addr):
                self.sendto(later, addr)

    async def _refresh(self, channel: int, addr: Address) -> None:
        try:
            await self._client.channel_bind(channel, addr)
        except (stun.TransactionError, ConnectionError) as error:
            logger.info("a relay's channel was not renewed: %s", error)
        else:
            self._client.channel_refresh_at[channel] = time.time() + CHANNEL_REFRESH

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.wait_for(self._client.delete(), DELETE_TIMEOUT)
        except (TimeoutError, stun.TransactionError, ConnectionError) as error:
            logger.debug("the allocation is left to expire: %r", error)
        finally:
            # Nothing is to wait for a TLS server that does not say goodbye.
            cast(asyncio.Transport, self._client.transport).abort()


async def allocate(
    address: Address,
    server: IceServer,
    protocol: str,
    receiver: asyncio.DatagramProtocol,
    on_refused: Callable[[str], None],
) -> RelayTransport:
    """Make `receiver` a socket at the TURN server; `protocol` is udp, tcp or tls.

    Raises TransactionError for what the server says, OSError or ValueError where it cannot be reached or trusted.
    """
    loop = asyncio.get_running_loop()
    kind = TurnClientUdpProtocol if protocol == "udp" else TurnClientTcpProtocol
    make = partial(
        kind,
        address,
        username=server.username,
        password=server.credential,
        lifetime=LIFETIME,
        channel_refresh_time=int(CHANNEL_REFRESH),
    )
    inner: asyncio.BaseTransport
    client: TurnClientProtocol
    if protocol == "udp":
        inner, client = await loop.create_datagram_endpoint(
            cast(Callable[[], TurnClientUdpProtocol], make), remote_addr=address
        )
    else:
        # Reading the authorities' certificates takes the loop's time.
        context = await asyncio.to_thread(ssl.create_default_context) if protocol == "tls" else None
        tcp = cast(Callable[[], TurnClientTcpProtocol], make)
        inner, client = await loop.create_connection(tcp, *address, ssl=context)
    try:
        relayed = await client.connect()
    except BaseException:
        cast(asyncio.Transport, inner).abort()
        raise
    transport = RelayTransport(client, relayed, on_refused)
    client.receiver = receiver
    receiver.connection_made(cast(asyncio.DatagramTransport, transport))
    return transport


def explain(error: Exception) -> str:
    """What a STUN or TURN server's failure means, in a line."""
    if isinstance(error, stun.TransactionFailed):
        code, reason = error.response.attributes.get("ERROR-CODE", (0, "no reason given"))
        phrase = f"{code} {reason}".strip()[:100]
        meaning = {
            401: "the credentials are wrong or have expired",
            403: "it does not relay to this address of the peer",
            486: "too many allocations of this user",
            508: "it has no room",
        }.get(code)
        return phrase if meaning is None else f"{phrase}: {meaning}"
    if isinstance(error, stun.TransactionTimeout | TimeoutError):
        return "it does not answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).splitlines()[0][:200]
