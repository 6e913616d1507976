"""SCTP (RFC 9260) for data channels: aiortc's, over our DTLS.

`Association` adds what aiortc 1.16 lacks: a receive window that is kept (RFC 9260 section 6.2), the peer's window
obeyed (section 6.1), bounds on what a peer can make us hold, and labels counted in bytes (RFC 8832 section 5.1).
This file and data_channel.py are all that knows aiortc's data channels; tests/media/io/test_sctp.py says what of
it is relied on.
"""

import logging
from collections.abc import Callable, Coroutine
from struct import pack, unpack_from
from typing import Any, cast

from aiortc import rtcsctptransport as sctp
from aiortc.rtcdatachannel import RTCDataChannel

logger = logging.getLogger(__name__)

SCTP_PORT = 5000  # RFC 8841: any; what everybody takes
RECEIVE_WINDOW = 1024 * 1024  # bytes that may wait for a reader or a missing piece, all channels together
MAX_STREAMS = 2048  # that a peer may have begun to use
MAX_AHEAD = 8192  # chunks after a missing one; more are dropped and come again
MAX_GAP_CHUNKS = 65536  # that one SACK may report
MAX_FLIGHT = 256 * 1024  # bytes on their way: what a SACK costs aiortc grows with it; 20 Mbit/s at 100 ms
PRIORITY = 256  # RFC 8831 section 6.4: normal
# Where in a chunk the parameters begin: INIT, INIT ACK, HEARTBEAT and its ACK, ABORT, ERROR, RE-CONFIG.
PARAMETERS_AT = {1: 20, 2: 20, 4: 4, 5: 4, 6: 4, 9: 4, 130: 4}


class Pipe:
    """What RTCSctpTransport needs of an RTCDtlsTransport."""

    state = "connected"
    _role = "client"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def set_role(self, *, client: bool) -> None:
        self._role = "client" if client else "server"

    async def _send_data(self, data: bytes) -> None:
        try:
            self._send(data)
        except ConnectionError:
            pass  # as lost on the way; SCTP sends again, or the connection is at its end

    def _register_data_receiver(self, receiver: Any) -> None:
        pass

    def _unregister_data_receiver(self, receiver: Any) -> None:
        pass


class Association(sctp.RTCSctpTransport):
    """Both ends call connect(). `on_closed` is called once, whoever ended it."""

    def __init__(self, pipe: Pipe, on_closed: Callable[[], None]) -> None:
        super().__init__(cast(Any, pipe), SCTP_PORT)
        self._pipe = pipe
        self._on_closed = on_closed
        self._advertised_rwnd = RECEIVE_WINDOW
        self._told_window = RECEIVE_WINDOW
        self._held = 0  # bytes that wait for a reader
        self._peer_window = 0
        self._over = False

    def connect(self, *, client: bool, port: int, max_message: int) -> None:
        """Begin. `client` is our DTLS role; `port` and `max_message` (bytes, 0: any) are the peer's, of its SDP."""
        self._pipe.set_role(client=client)
        _run(self.start(sctp.RTCSctpCapabilities(maxMessageSize=max_message), port))

    def receive(self, data: bytes) -> None:
        """A packet of the peer: any bytes. Raises ValueError for what is not understood; it is then dropped."""
        try:
            _check(data)
            _run(self._handle_data(data))
        except Exception as error:  # aiortc asserts and unpacks; it is the peer that is wrong
            raise ValueError(f"an SCTP packet is not understood: {error!r}") from error

    def abort(self) -> None:
        """Tell the peer and end. May be called twice."""
        _run(self.stop())

    def hold(self, size: int) -> None:
        """That many bytes of messages wait for a reader: the window is smaller by them."""
        self._held += size
        self._advertised_rwnd -= size

    def release(self, size: int) -> None:
        """A reader took something: tell the peer when that makes a difference."""
        self._held -= size
        self._advertised_rwnd += size
        if self.state == "connected" and self._advertised_rwnd - self._told_window >= RECEIVE_WINDOW // 2:
            _run(self._send_sack())

    # -- inside: the channels

    def _data_channel_open(self, channel: RTCDataChannel) -> None:
        super()._data_channel_open(channel)
        # aiortc counts the characters of label and protocol where the bytes are wanted, and gives priority 0.
        raw, protocol, data = self._data_channel_queue[-1]
        label, sub = channel.label.encode(), channel.protocol.encode()
        fixed = data[:2] + pack("!H", PRIORITY) + data[4:8] + pack("!HH", len(label), len(sub)) + label + sub
        self._data_channel_queue[-1] = (raw, protocol, fixed)

    def _set_state(self, state: sctp.RTCSctpTransport.State) -> None:
        if self._over:
            return  # a peer that begins anew would find no listener
        super()._set_state(state)
        if state == self.State.CLOSED:
            self._over = True
            self._on_closed()

    # -- inside: the windows

    async def _receive_chunk(self, chunk: sctp.Chunk) -> None:
        if self._over:
            return
        if isinstance(chunk, sctp.InitChunk | sctp.InitAckChunk):
            self._peer_window = chunk.advertised_rwnd
        elif self._last_received_tsn is None and not isinstance(chunk, sctp.AbortChunk | sctp.ErrorChunk):
            return  # nothing has a meaning before the peer's INIT
        await super()._receive_chunk(chunk)
        if self._advertised_rwnd + self._held < -RECEIVE_WINDOW:
            await self._give_up("more pieces of messages than fit")
        elif len(self._inbound_streams) > MAX_STREAMS:
            await self._give_up("too many streams")

    async def _receive_data_chunk(self, chunk: sctp.DataChunk) -> None:
        assert self._last_received_tsn is not None
        if not chunk.user_data:  # RFC 9260 section 6.2
            await self._give_up("a DATA chunk without data")
            return
        ahead = (chunk.tsn - self._last_received_tsn) % sctp.SCTP_TSN_MODULO
        if 0 < ahead < 2**31 and not self._has_room(ahead):
            self._sack_needed = True
            return
        await super()._receive_data_chunk(chunk)

    def _has_room(self, ahead: int) -> bool:
        if self._advertised_rwnd > 0:
            return ahead <= MAX_AHEAD
        # The window is full of pieces: the one that is missing is always taken. When it is full of whole messages,
        # the reader is waited for.
        return ahead == 1 and self._held == 0

    async def _receive_sack_chunk(self, chunk: sctp.SackChunk) -> None:
        if sum(max(0, last - first) + 1 for first, last in chunk.gaps) > MAX_GAP_CHUNKS:
            return
        if (chunk.cumulative_tsn - self._last_sacked_tsn) % sctp.SCTP_TSN_MODULO < 2**31:
            self._peer_window = chunk.advertised_rwnd
        await super()._receive_sack_chunk(chunk)

    async def _transmit(self) -> None:
        if self._over:
            return  # a task that was due; it would set a timer that nobody cancels
        cwnd = self._cwnd
        self._cwnd = min(
            cwnd, MAX_FLIGHT, max(self._peer_window, 1)
        )  # 1: a closed window is probed with one chunk
        try:
            await super()._transmit()
        finally:
            self._cwnd = cwnd

    async def _send_sack(self) -> None:
        self._told_window = self._advertised_rwnd
        await super()._send_sack()

    async def _give_up(self, why: str) -> None:
        logger.info("the data channels are closed: %s", why)
        await self._abort()
        self._set_state(self.State.CLOSED)


def _check(data: bytes) -> None:
    """Raise ValueError for parameters of no length: aiortc 1.16 reads them for ever, and keeps each."""
    position = sctp.SCTP_COMMON_HEADER_LENGTH
    while position + sctp.SCTP_CHUNK_HEADER_LENGTH <= len(data):
        kind, _, length = unpack_from("!BBH", data, position)
        end = min(len(data), position + length)
        if (skipped := PARAMETERS_AT.get(kind)) is not None:
            parameter = position + skipped
            while parameter + 4 <= end:
                size = unpack_from("!H", data, parameter + 2)[0]
                if size < 4:  # RFC 9260 section 3.2.1
                    raise ValueError("a parameter is shorter than its header")
                parameter += size + -size % 4
        position += max(4, length + -length % 4)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what only awaits its like: aiortc's SCTP waits for nothing but its transport, and ours is done at once."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("aiortc's SCTP waits for something: this needs another look")
