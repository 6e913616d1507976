"""Data channels (RFC 8831, RFC 8832): messages both ways beside the media, on the same connection."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters

from media.errors import ConnectionClosed
from media.io.sctp import SCTP_PORT, Association, Pipe

logger = logging.getLogger(__name__)

Message = str | bytes

MAX_MESSAGE = 262144  # bytes; a=max-message-size of our descriptions, libwebrtc's and aiortc's, too
DEFAULT_PEER_MAX_MESSAGE = 65536  # RFC 8841 section 6
MESSAGE_COST = 256  # bytes that a waiting message counts beside its own
MAX_BUFFERED = 1024 * 1024  # bytes of a channel that send() takes before it waits
MAX_CHANNELS = 256  # at a time; more from a peer are closed at once
MAX_EARLY = 8  # packets before start(); a peer repeats its INIT
MAX_ID = 65534  # of a channel: 65535 is no stream (RFC 8831 section 6.2)
MAX_TEXT = 65535  # bytes of a label or protocol


class DataChannel:
    """One channel. Messages are text or bytes, whole, at most what the peer takes (256 KiB is usual).

    Iterate over it, or await receive(). What is not read stops the peer after 1 MiB, on all channels of the
    connection: close a channel that you do not want to read.
    """

    def __init__(self, channel: RTCDataChannel, association: Association) -> None:
        self._channel = channel
        self._association = association
        self._received: deque[Message] = deque()
        self._waiters: set[asyncio.Future[None]] = set()
        self._closed_here = False
        channel.bufferedAmountLowThreshold = MAX_BUFFERED // 2
        channel.on("message", self._receive)
        for event in ("open", "bufferedamountlow", "close"):
            channel.on(event, self._wake)

    @property
    def label(self) -> str:
        return self._channel.label

    @property
    def protocol(self) -> str:
        return self._channel.protocol

    @property
    def ordered(self) -> bool:
        return self._channel.ordered

    @property
    def id(self) -> int | None:
        """The SCTP stream; None until the connection stands."""
        return self._channel.id

    @property
    def state(self) -> str:
        """connecting, open, closing or closed (W3C RTCDataChannelState)."""
        return self._channel.readyState

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent."""
        return self._channel.bufferedAmount

    async def opened(self) -> None:
        """Wait until messages can be sent. Raises ConnectionClosed when that will not be."""
        await self._until(lambda: self.state != "connecting")
        if self.state != "open":
            raise ConnectionClosed(f"the data channel {self.label!r} is closed")

    async def send(self, message: Message) -> None:
        """Send a message; waits for the channel to open and while 1 MiB waits to be sent.

        Raises ValueError for a message that is larger than the peer takes, ConnectionClosed when the channel is
        closed. A channel that closes does not say which of the last messages arrived.
        """
        if not isinstance(message, str | bytes):
            raise TypeError(f"a message is str or bytes, not {type(message).__name__}")
        size = _size(message)
        if size > MAX_MESSAGE:
            raise ValueError(f"a message of {size} bytes; {MAX_MESSAGE} is the most")
        await self._until(
            lambda: (
                self.state in ("closing", "closed")
                or (self.state == "open" and (not self.buffered or self.buffered + size <= MAX_BUFFERED))
            )
        )
        if self.state != "open":
            raise ConnectionClosed(f"the data channel {self.label!r} is closed")
        self._channel.send(message)

    async def receive(self) -> Message:
        """The next message. Raises ConnectionClosed after the last one of a closed channel."""
        await self._until(lambda: self._received or self.state == "closed" or self._closed_here)
        if not self._received:
            raise ConnectionClosed(f"the data channel {self.label!r} is closed")
        message = self._received.popleft()
        self._association.release(_size(message) + MESSAGE_COST)
        return message

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.receive()
        except ConnectionClosed:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Close at both ends. What was given to send() still goes out; what was not read is dropped."""
        self._closed_here = True
        self._channel.close()
        waiting = sum(_size(message) + MESSAGE_COST for message in self._received)
        self._received.clear()
        self._association.release(waiting)
        self._wake()

    # -- inside

    def _receive(self, message: Message) -> None:
        if not self._closed_here:
            self._received.append(message)
            self._association.hold(_size(message) + MESSAGE_COST)
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _until(self, condition: Callable[[], object]) -> None:
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)


class DataChannels:
    """The data channels of a connection.

    `send(data)` takes a packet for DTLS; it may raise ConnectionError, the packet is then lost. Call start() when
    the handshake is done, receive() with all application data, close() at the end.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._association = Association(Pipe(send), self._end)
        self._association.on("datachannel", self._incoming)
        self._channels: set[DataChannel] = set()
        self._new: asyncio.Queue[DataChannel | None] = asyncio.Queue()  # bounded by _incoming()
        self._early: deque[bytes] = deque(maxlen=MAX_EARLY)
        self._closed = False
        self.malformed = 0  # packets that were not understood

    @property
    def state(self) -> str:
        """new, connecting, connected or closed (W3C RTCSctpTransportState)."""
        return "closed" if self._closed else self._association.state

    @property
    def used(self) -> bool:
        """Whether there is a channel: an offer then needs the section."""
        return bool(self._channels)

    def open(
        self,
        label: str,
        *,
        ordered: bool = True,
        protocol: str = "",
        max_retransmits: int | None = None,
        max_lifetime_ms: int | None = None,
        negotiated: bool = False,
        id: int | None = None,
    ) -> DataChannel:
        """A new channel, before or during the connection. Reliable unless one of the limits is given.

        `negotiated`: the peer is not told; it opens the same channel, with the same `id` (W3C RTCDataChannelInit).

        Raises ValueError for what RFC 8832 cannot say, ConnectionClosed after the end.
        """
        if self.state == "closed":
            raise ConnectionClosed("the connection has no data channels any more")
        if max_retransmits is not None and max_lifetime_ms is not None:
            raise ValueError("max_retransmits and max_lifetime_ms exclude each other")
        for name, limit in (("max_retransmits", max_retransmits), ("max_lifetime_ms", max_lifetime_ms)):
            if limit is not None and not 0 <= limit <= 65535:  # W3C: unsigned short
                raise ValueError(f"{name} is from 0 to 65535")
        if negotiated is (id is None) or not 0 <= (id or 0) <= MAX_ID:
            raise ValueError(f"a negotiated channel, and no other, has an id, from 0 to {MAX_ID}")
        if any(channel.id == id is not None for channel in self._channels):
            raise ValueError(f"there is a data channel {id} already")
        for name, text in (("label", label), ("protocol", protocol)):
            if len(text.encode()) > MAX_TEXT:
                raise ValueError(f"{name} is longer than {MAX_TEXT} bytes")
        if len(self._channels) >= MAX_CHANNELS:
            raise ValueError(f"{MAX_CHANNELS} data channels are open")
        parameters = RTCDataChannelParameters(
            label=label,
            ordered=ordered,
            protocol=protocol,
            maxRetransmits=max_retransmits,
            maxPacketLifeTime=max_lifetime_ms,
            negotiated=negotiated,
            id=id,
        )
        return self._add(RTCDataChannel(self._association, parameters))

    async def incoming(self) -> AsyncIterator[DataChannel]:
        """The channels that the peer opens; ends with the connection."""
        while (channel := await self._new.get()) is not None:
            yield channel
        self._new.put_nowait(None)  # for the next one who asks

    def start(
        self, *, client: bool, port: int = SCTP_PORT, max_message: int = DEFAULT_PEER_MAX_MESSAGE
    ) -> None:
        """The DTLS handshake is done; `client` is our role in it. `port` and `max_message` (bytes) are the peer's."""
        if self.state != "new":
            return
        self._association.connect(client=client, port=port, max_message=max_message)
        while self._early:
            self.receive(self._early.popleft())

    def refused(self) -> None:
        """The peer wants no data channels: those that wait for it are closed."""
        if self.state == "new":
            for channel in list(self._channels):
                channel.close()

    def receive(self, data: bytes) -> None:
        """A packet from DTLS: any bytes. What is not understood is counted and dropped."""
        if self.state == "new":
            self._early.append(data)
        elif self.state != "closed":
            try:
                self._association.receive(data)
            except ValueError as error:
                self.malformed += 1
                logger.debug("%s", error)

    async def close(self) -> None:
        """End all channels and tell the peer. Always returns."""
        if not self._closed:
            self._association.abort()
            await asyncio.sleep(0)  # aiortc's tasks that are due find nothing to do

    # -- inside

    def _add(self, raw: RTCDataChannel) -> DataChannel:
        channel = DataChannel(raw, self._association)
        self._channels.add(channel)
        raw.on("close", lambda: self._channels.discard(channel))
        return channel

    def _incoming(self, raw: RTCDataChannel) -> None:
        channel = self._add(raw)
        if len(self._channels) > MAX_CHANNELS or self._new.qsize() >= MAX_CHANNELS:
            logger.info("the peer opens too many data channels; %r is closed", channel.label[:80])
            channel.close()
        else:
            self._new.put_nowait(channel)

    def _end(self) -> None:
        self._closed = True
        self._early.clear()
        for channel in list(self._channels):
            channel._channel.close()  # those that the peer never heard of
        self._new.put_nowait(None)


def _size(message: Message) -> int:
    return len(message.encode()) if isinstance(message, str) else len(message)
