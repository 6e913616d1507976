"""One client's WebSocket: a reader that feeds the stream, and a bounded queue. Once bound it carries a session
(bound_session.py), which may go on over another WebSocket.

An idle connection has one task and one timer. What is to be sent goes out together at the end of a turn of the loop: a
call to the system costs as much as all else that a stanza needs.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from aiohttp import WSMsgType, web

from signaling.bound_session import BoundSession, again
from signaling.jid import Jid
from signaling.problem import Problem
from signaling.rate_limit import TokenBucket
from signaling.sasl import PlainCredentials
from signaling.server.context import Context
from signaling.server.router import StoringRouter
from signaling.server.socket_queue import bytes_in_kernel
from signaling.server.tokens import TokenService
from signaling.server_stream import ServerStream
from signaling.storage.store import Device
from signaling.stream import Acknowledged, CredentialsGiven, Ended, ResourceAsked, ResumeAsked, StanzaReceived
from signaling.tokens import ACCESS_TOKEN_LIFE
from signaling.websocket_frame import text_frame
from signaling.xml import Element, byte_length

# A stanza counts as one unit for each of these that it has (limits.stanzas).
UNIT_BYTES = 4096
# So much may wait in the transport (asyncio's own limit) before this queue holds back, and looks again after so long.
HELD_BYTES = 65536
LOOK_AGAIN = 0.05
# Frames that are here already are not read on without a turn for what is to be sent: the queues would overflow.
READ_ON = 8
# Seconds for which a stream lasts that began with an access token, but no proof.
GUEST_LIFE = float(ACCESS_TOKEN_LIFE)


class Connection:
    """A WebSocket from its upgrade to its end: `run()`. It is the Link of a session."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        context: Context,
        tokens: TokenService,
        router: StoringRouter,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket
        self._transport = transport
        self._tokens = tokens
        self._router = router
        self._domain = context.domain
        self._sessions = context.sessions
        self._clock = context.store_clock
        self._limits = limits = context.limits
        self._parser = parser = context.parser
        now = self._loop.time()
        self._stream = ServerStream(context.domain, now, context.rng, limits.times, limits.resumable, parser)
        self._bucket = TokenBucket(context.limits.stanzas, now)
        self._queue: deque[str] = deque()
        self._written = 0
        self._taken_before = 0
        self._queued_bytes = 0
        self.device: Device | None = None  # whose login it was
        self._by_key = False  # and that it has shown its key
        self._lapse: asyncio.TimerHandle | None = None
        self._session: BoundSession | None = None
        self._unmanaged: list[int] = []  # kept messages, to a client that does not acknowledge
        self._flushing: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._read_on = 0
        self._drained = asyncio.Event()
        self._drained.set()
        self.finished = asyncio.Event()
        self._frames_left = limits.frames_before_login
        self._is_bound = False
        self.on_login_failure: Callable[[], object] = lambda: None
        self.on_bound: Callable[[], bool] = lambda: True  # False: there is no place for one more
        self.turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext

    def send(self, stanza: Element, at: float = 0.0, tag: int = 0) -> None:
        """Queues a stanza. A client that does not read as fast as it is sent to loses its connection."""
        self._stream.send(stanza, at, tag)
        if tag and self._stream.management is None and not self._stream.is_ending:
            self._unmanaged.append(tag)
        self._pump()

    @property
    def queued(self) -> tuple[int, int]:
        return len(self._queue), self._queued_bytes

    async def drained(self) -> bool:
        """Waits until everything is handed to the socket; False if the connection did not get that far."""
        while not self._drained.is_set():
            before = self._taken()
            try:
                async with asyncio.timeout(self._limits.times.gone):
                    await self._drained.wait()
            except TimeoutError:
                if self._taken() <= before:  # on a thin link it may well take longer
                    self._cut()
        return not self._stream.is_ending

    def end(self, condition: str | None, text: str = "") -> None:
        """Ends the stream; the client has two seconds to close, then the connection is cut."""
        self._stream.end(condition, text, now=self._loop.time())
        self._pump()

    def too_much(self) -> None:
        """More has come than a login takes."""
        self.end("policy-violation", "too much before the login")

    def _pump(self) -> None:
        for frame in self._stream.frames_to_send():
            self._queue.append(frame)
            self._queued_bytes += byte_length(frame)
        # What can be resumed is bounded by its session.
        waiting = self._stream.management
        count, size = (0, 0) if waiting is None else (len(waiting.unacknowledged), waiting.size)
        limits = self._limits
        if len(self._queue) - count > limits.queue_stanzas or self._queued_bytes - size > limits.queue_bytes:
            self._cut()
        timer = self._stream.get_timer()
        if timer is not None and (self._timer is None or timer < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(max(timer, self._loop.time() + 0.001), self._tick)
        if self._queue:
            self._drained.clear()
            if self._flushing is None:
                self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = None
        transport = self._transport
        # After WebSocket's own close frame no other may follow (RFC 6455 section 5.5.1).
        if transport is None or transport.is_closing() or self._socket.closed:
            return self._cut()
        data, room = bytearray(), HELD_BYTES - transport.get_write_buffer_size()
        while self._queue and len(data) < room:
            frame = self._queue.popleft()
            self._queued_bytes -= byte_length(frame)
            data += text_frame(frame)
        transport.write(data)
        self._written += len(data)
        if self._queue or transport.get_write_buffer_size() > HELD_BYTES:
            self._flushing = self._loop.call_later(LOOK_AGAIN, self._flush)
            return
        self._drained.set()
        if self._unmanaged and self._session is not None:
            self._router.settle(self._session, self._unmanaged)
            self._unmanaged = []

    def _backlog(self) -> int:
        """Bytes that were written and that the other end's host has not acknowledged."""
        if self._transport is None:
            return 0
        return self._transport.get_write_buffer_size() + bytes_in_kernel(self._transport)

    def _taken(self) -> int:
        return self._written - self._backlog()

    def _tick(self) -> None:
        """Runs when the stream's timer may be due: it is not moved to later for every frame."""
        self._timer = None
        taken, waits = self._taken(), self._backlog() > 0
        if waits and taken > self._taken_before:
            # The answer to a ping comes behind all that is on its way; who is taking that is there.
            self._stream.is_there(self._loop.time())
        self._taken_before = taken
        self._stream.handle_timer(self._loop.time())
        if self._stream.is_closed:
            self._cut()
        self._pump()

    def release(self) -> None:
        """The session goes on over another connection."""
        self._session = self._stream.management = None
        self._cut()

    def _cut(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0
        self._stream.connection_lost()
        self._drained.set()
        if self._transport is not None:
            self._transport.abort()

    async def run(self) -> None:
        try:
            self._pump()
            await self._read()
        except ConnectionError:
            pass
        finally:
            if self._session is not None:
                (self._router.lost if self._session.lost(self) else self._router.over)(self._session)
            self._stream.connection_lost()
            if self._transport is not None:
                # Never cancelled: for who does not read, aiohttp waits, and so does a transport that it has closed.
                self._loop.call_later(self._limits.times.close, self._transport.abort)
            try:
                await self._drained.wait()
                await self._socket.close()
            finally:
                self.finished.set()
                if (error := self._socket.exception()) is not None:
                    # Its frames hold all of this, and all of this holds it: garbage that only a collection finds.
                    error.__traceback__ = error.__context__ = None
                for left in (self._flushing, self._timer, self._lapse):
                    if left is not None:
                        left.cancel()

    async def _read(self) -> None:
        while not self._stream.is_closed:
            message = await self._socket.receive()
            now = self._loop.time()
            if message.type is WSMsgType.TEXT:
                self._stream.receive_frame(message.data, now)
                if self._session is not None:
                    self._session.management = self._stream.management
            elif message.type is WSMsgType.BINARY:
                self._stream.end("unsupported-encoding", "text frames only", now=now)
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                pass
            else:
                return self._stream.connection_lost()
            await self._handle_events()
            if not self._is_bound:
                self._frames_left -= 1
                if self._frames_left < 0:
                    self.too_much()
            self._pump()
            # Reading slower is felt by this client only: TCP holds it back.
            size = byte_length(message.data) if message.type is WSMsgType.TEXT else len(message.data)
            cost = max(1.0, size / UNIT_BYTES)
            wait, self._read_on = self._bucket.spend(now, cost), self._read_on + 1
            if wait or self._read_on >= READ_ON:
                self._read_on = 0
                await asyncio.sleep(wait)

    async def _handle_events(self) -> None:
        while event := self._stream.next_event():
            match event:
                case CredentialsGiven(credentials):
                    await self._login(credentials)
                case ResourceAsked(resource):
                    await self._bind(resource)
                case ResumeAsked():
                    await self._resume(event)
                case StanzaReceived(stanza) if self._session is not None:
                    await self._router.route(self._session, stanza)
                case Acknowledged(tags) if self._session is not None:
                    await self._router.received(self._session, list(tags))
                case Ended(condition=condition) if self._session is not None:
                    # Only a connection that broke can be resumed.
                    self._session.available = False
                    self._session.is_over |= condition != "connection-timeout"

    async def _login(self, credentials: PlainCredentials) -> None:
        token, _, proof = credentials.password.partition(" ")
        try:
            async with self.turn():
                device = await self._tokens.check(token)
                if proof:
                    await self._tokens.prove(device, token, "GET", "/xmpp", proof)
        except Problem as problem:
            return self._refuse("not-authorized", problem.code)
        account = Jid(device.number, self._domain)
        if credentials.authcid != device.number or credentials.authzid not in ("", str(account)):
            return self._refuse("not-authorized", "the token is for another number")
        if not self._stream.is_ending:
            self.device, self._by_key = device, bool(proof)
            if not proof:
                # A token alone is a guest, for as long as a token lives.
                why = "the token has expired"
                self._lapse = self._loop.call_later(GUEST_LIFE, self.end, "not-authorized", why)
            self._stream.accept(account)

    def _refuse(self, condition: str, text: str) -> None:
        self.on_login_failure()
        self._stream.refuse(condition, text, now=self._loop.time())

    def _admit(self) -> bool:
        """It counts among those who are logged in from now on; False if they are too many."""
        self._is_bound = self.on_bound()
        if not self._is_bound:
            self.end("resource-constraint", "too many connections")
        return self._is_bound

    async def _bind(self, resource: str) -> None:
        assert self.device is not None
        if resource != self.device.device:
            return self.end("not-authorized", "the resource must be the token's device")
        jid, most = Jid(self.device.number, self._domain, resource), self._limits
        old = self._sessions.get(jid.local, resource)
        if old is not None and old.by_key and not old.is_over and not self._by_key:
            return self.end("not-authorized", "the device itself is connected, and it has its key")
        if not self._admit():
            return
        session = BoundSession(jid, self.device.generation, self, most.queue_stanzas, most.queue_bytes)
        session.by_key = self._by_key
        self._session = session
        # First listed, then looked up again: a device that is revoked in between is caught by one of the two.
        self._sessions.add(session)
        if old is not None and old.link is None:
            self._router.over(old)
        if await self._tokens.stands(self.device):
            if not self._stream.is_ending:
                self._stream.bind(session.jid)
        else:
            self.end("not-authorized", "this device is not registered any more")

    async def _resume(self, asked: ResumeAsked) -> None:
        """A session goes on with the same device, or not at all (XEP-0198 section 5)."""
        assert self.device is not None
        session = self._sessions.get(self.device.number, self.device.device)
        if session is None or not (broken := session.broken(asked.id, self.device.generation)):
            return self._stream.refuse_resumption()
        if session.by_key and not self._by_key:
            return self._stream.refuse_resumption()
        if not self._admit():
            return
        if session.link is not None:
            session.link.release()
        session.link, self._session = self, session
        self._router.resumed(session)
        if not self._stream.resume(broken, asked.h, session.jid, self._loop.time()):
            return
        for entry in broken.unacknowledged:
            self._stream.resend(again(entry, self._domain, self._clock, self._parser))
        self._pump()
        await self._router.deliver_kept(session)
