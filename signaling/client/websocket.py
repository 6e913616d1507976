"""The connection to the server: logged in, kept alive, resumed or made again when it is lost.

What is sent is kept until the server has acknowledged it (XEP-0198), and sent again over the next stream: messages
in any case, iqs only where the server still knows the session; else their askers hear at once that they are lost.
"""

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Callable, Sequence

import aiohttp

from signaling import stanza as st
from signaling import words, xml
from signaling.backoff import Attempts, reconnect_delay
from signaling.client.api import AccessTokens, ServerApi, cannot_reach, no_answer
from signaling.client.profile import Profile
from signaling.client_stream import ClientStream
from signaling.errors import RegistrationError, ServerUnreachable, SignalingError, StanzaTooLarge
from signaling.iq import TIMEOUT, IqTracker
from signaling.jid import Jid
from signaling.stream import Ended, Online, StanzaReceived, StanzaUnreadable
from signaling.stream_management import SeenMessages, StreamManagement
from signaling.xml import CLIENT, MAX_FRAME_BYTES, Element, is_named

log = logging.getLogger(__name__)

MAX_UNACKNOWLEDGED = 512
CLOSE_TIMEOUT = 3.0
PROBE_TIMEOUT = 2.0
# A frame above this ends the connection (RFC 6455 close code 1009). Servers queue 1 MiB at most, and what is larger
# than is read is passed over by itself.
MAX_MESSAGE_BYTES = 4 * MAX_FRAME_BYTES
# Stream errors (RFC 6120 4.9.3) that say: it was what you sent. Sent again, it would end the next stream, too.
BLAMES_STANZA = frozenset(
    (
        "bad-format",
        "invalid-from",
        "invalid-namespace",
        "not-well-formed",
        "policy-violation",
        "restricted-xml",
    )
)
# Refusals that no later attempt can change.
FINAL = frozenset(("device_revoked",))


class StanzaError(SignalingError):
    """An iq was answered with an error."""

    def __init__(self, info: st.ErrorInfo) -> None:
        super().__init__(words.stanza_error(info.condition, info.text))
        self.info = info


class Connection:
    """Keeps one stream alive in a task. `on_stanza` gets every stanza that is not an answer to `ask`; `shown_to` are
    those that may ask this device now, whatever the server has forgotten.

    `online` is set while messages to this device arrive; `failed` is set for good when the server said that
    this device may not come back.
    """

    def __init__(
        self,
        api: ServerApi,
        tokens: AccessTokens,
        profile: Profile,
        session: aiohttp.ClientSession,
        on_stanza: Callable[[Element], None],
        *,
        is_urgent: Callable[[], bool] = lambda: False,
        shown_to: Callable[[], Sequence[Jid]] = tuple,
        on_failed: Callable[[], None] = lambda: None,
        rng: random.Random | None = None,
    ) -> None:
        self._api = api
        self._tokens = tokens
        self._profile = profile
        self._session = session
        self._on_stanza = on_stanza
        self._is_urgent = is_urgent
        self._shown_to = shown_to
        self._on_failed = on_failed
        self._rng = rng or random.SystemRandom()
        self._loop = asyncio.get_running_loop()
        self._tracker = IqTracker(profile.jid, self._rng)
        self._answers: dict[str, asyncio.Future[Element]] = {}
        self._stream: ClientStream | None = None
        self._management: StreamManagement | None = None  # of the last stream that was online
        self._seen = SeenMessages()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._outgoing = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # online or failed
        self.online = asyncio.Event()
        self.failed: SignalingError | None = None
        self.last_error: SignalingError | None = None
        self.logins = 0
        self.resumptions = 0  # among them
        self._attempts = Attempts()
        self._unsent = 0

    def start(self) -> None:
        self._task = self._loop.create_task(self._run(), name="ringline-connection")

    async def close(self) -> None:
        """Say goodbye and stop. Always returns, within three seconds; at once where there is nobody to say it to."""
        self._closing.set()
        self._outgoing.set()
        if self._task is not None and not self.online.is_set():
            self._task.cancel()  # a login in progress is of no use any more
        if self._stream is not None:
            self._stream.end(now=self._loop.time())
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSE_TIMEOUT)
            self._task.cancel()
            await asyncio.wait([self._task])
        self.failed = self.failed or SignalingError("this client was closed: open it again to call")
        self._settled.set()
        self._fail_answers("the client was closed")

    async def wait_online(self, timeout: float | None = None) -> None:
        """Raises ServerUnreachable after `timeout` seconds, or what made the server refuse this device."""
        try:
            async with asyncio.timeout(timeout):
                while not self.online.is_set():
                    if self.failed is not None:
                        raise self.failed
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            raise ServerUnreachable(
                str(self.last_error) if self.last_error else f"no connection to {self._api.url}"
            ) from None

    def send(self, stanza: Element) -> bool:
        """Send a stanza, or keep it for the next stream. False: it will not be sent, for there never was a stream,
        there will be none, or too much is not acknowledged.

        Raises:
            StanzaTooLarge: no server would take it; sent again over each stream, it would end each.
        """
        if (why := st.oversize(stanza)) is not None:
            raise StanzaTooLarge(f"this is too large to be sent: {why}")
        management, stream = self._management, self._stream
        if self.failed is not None or max(self._unsent, self.unacknowledged) >= MAX_UNACKNOWLEDGED:
            return False
        if stream is not None and self.online.is_set():
            self._unsent += 1
            stream.send(stanza)
            self._outgoing.set()
        elif management is not None and not self._closing.is_set():
            management.hold(stanza)
        else:
            return False
        return True

    @property
    def unacknowledged(self) -> int:
        """How many stanzas the server has not acknowledged: those may not have arrived."""
        return 0 if self._management is None else len(self._management.unacknowledged)

    def new_id(self) -> str:
        return f"{self._rng.getrandbits(64):016x}"

    async def ask(self, type_: str, payload: Element, to: Jid | None, timeout: float = TIMEOUT) -> Element:
        """Send an iq and wait for its answer.

        Raises:
            StanzaTooLarge: nothing was sent.
            StanzaError: answered with an error. ServerUnreachable: not answered in time (a stream that can be
            resumed may be lost and come back meanwhile), or lost with a session that the server does not know.
        """
        id_ = self._tracker.ask(to, self._loop.time(), timeout)
        answer: asyncio.Future[Element] = self._loop.create_future()
        self._answers[id_] = answer
        try:
            if not self.send(st.iq(type_, payload, id=id_, to=to)):
                raise ServerUnreachable("there is no connection to the server: try again in a moment")
            async with asyncio.timeout(timeout):
                result = await answer
        except TimeoutError:
            raise ServerUnreachable("the server did not answer in time: try again") from None
        finally:
            self._tracker.forget(id_)
            self._answers.pop(id_, None)
        info = st.error_of(result)
        if info is not None:
            raise StanzaError(info)
        return result

    def renew(self) -> None:
        """The way to the server has changed: make the stream again now, not when its silence is noticed."""
        handle = None if self._socket is None else self._socket.get_extra_info("socket")
        if handle is not None:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    async def probe(self) -> None:
        """Renew the stream unless the server answers a ping at once."""
        stream, logins = self._stream, self.logins
        try:
            await self.ask("get", xml.element(xml.PING, "ping"), None, PROBE_TIMEOUT)
        except StanzaError:
            return
        except SignalingError:
            if stream is self._stream and logins == self.logins:
                self.renew()

    @property
    def addresses(self) -> tuple[tuple[str, int], str] | None:
        """The stream's other end (literal address and port) and its address here; None while there is none."""
        socket_ = self._socket
        ends = (
            ()
            if socket_ is None
            else (socket_.get_extra_info("peername"), socket_.get_extra_info("sockname"))
        )
        if not ends or not all(isinstance(end, tuple) for end in ends):
            return None
        (host, port, *_), (here, *_) = ends
        return (str(host), int(port)), str(here)

    async def _run(self) -> None:
        while not self._closing.is_set() and self.failed is None:
            try:
                await self._one_stream()
            except RegistrationError as error:
                self.last_error = error
                if error.code in FINAL:
                    self.failed = error
                    self._on_failed()
            except ServerUnreachable as error:
                self.last_error = error
            except Exception:
                log.exception("unexpected error in the connection")
            finally:
                self.online.clear()
                self._stream = None
                if self.failed is not None or self._management is None or self._management.id is None:
                    self._fail_answers("the connection to the server was lost")
                self._settled.set()
            failures = self._attempts.over(self._loop.time())
            if self._closing.is_set() or self.failed is not None:
                return
            await self._pause(failures)

    async def _pause(self, failures: int) -> None:
        delay = reconnect_delay(failures, self._is_urgent(), self._rng)
        try:
            async with asyncio.timeout(delay):
                await self._closing.wait()
        except TimeoutError:
            pass

    async def _one_stream(self) -> None:
        info = await self._api.server()
        if info.domain != self._profile.jid.domain:
            raise ServerUnreachable(
                f"{self._api.url} serves {info.domain} now, where this number is not registered: register again"
            )
        password = await self._tokens.password(info.websocket)
        try:
            async with self._session.ws_connect(
                info.websocket,
                protocols=("xmpp",),
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=2),
            ) as websocket:
                self._socket = websocket
                jid = self._profile.jid
                now, self._unsent = self._loop.time(), 0
                stream = self._stream = ClientStream(
                    jid.domain,
                    jid.local,
                    password,
                    jid.resource,
                    now,
                    self._rng,
                    broken=self._management,
                    shown_to=self._shown_to(),
                )
                writer = self._loop.create_task(self._write(stream, websocket), name="ringline-writer")
                try:
                    await self._read(stream, websocket)
                finally:
                    writer.cancel()
                    await asyncio.wait([writer])
                    await self._flush(stream, websocket)
                    self._socket = None
        except TimeoutError:
            raise ServerUnreachable(no_answer(info.websocket)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnreachable(cannot_reach(info.websocket, error)) from None

    async def _read(self, stream: ClientStream, websocket: aiohttp.ClientWebSocketResponse) -> None:
        while not stream.is_closed:
            self._outgoing.set()
            timer = stream.get_timer()
            now = self._loop.time()
            try:
                message = await websocket.receive(None if timer is None else max(0.01, timer - now))
            except TimeoutError:
                stream.handle_timer(self._loop.time())
            else:
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    stream.receive_frame(message.data, self._loop.time())
                else:
                    stream.connection_lost()
            while (event := stream.next_event()) is not None:
                self._handle(event)

    def _handle(self, event: object) -> None:
        match event:
            case Online(resumed=resumed):
                self.logins += 1
                self._attempts.online(self._loop.time())
                self.resumptions += resumed
                if not resumed:
                    self._fail_answers("the connection to the server was lost")
                if self._stream is not None:
                    self._management = self._stream.management
                self.last_error = None
                self.online.set()
                self._settled.set()
            case StanzaReceived(stanza) if is_named(stanza, CLIENT, "message") and not self._seen.is_new(
                stanza
            ):
                log.debug("a message came twice")
            case StanzaReceived(stanza):
                id_ = self._tracker.receive(stanza)
                if id_ is None:
                    self._on_stanza(stanza)
                elif (answer := self._answers.get(id_)) is not None and not answer.done():
                    answer.set_result(stanza)
            case StanzaUnreadable(head, why):
                self._pass_over(head, why)
            case Ended(condition=condition, text=text, by_peer=by_peer):
                self.online.clear()
                self._attempts.ended(condition)
                if condition in BLAMES_STANZA and self._management is not None:
                    if by_peer:
                        log.warning("the server refused a stanza of ours: %s", condition)
                        self._management.give_up_first()
                    else:
                        log.warning("the server sent what cannot be read: %s", text or condition)
                        self._management.id = None  # resumed, it would begin with the same
                if condition is not None:
                    self.last_error = ServerUnreachable(
                        f"the server ended the connection: {text or condition}"
                    )

    def _pass_over(self, head: Element, why: str) -> None:
        """A stanza that cannot be read. A question is answered as if this device were not there, an answer reaches who
        asked as an error; a message is answered by nobody here, for that would tell its sender that we are online."""
        log.warning("a stanza from %s cannot be read: %s", head.get("from"), why)
        id_ = self._tracker.receive(head)
        if (answer := self._answers.get(id_ or "")) is not None and not answer.done():
            answer.set_exception(
                StanzaError(st.ErrorInfo("not-acceptable", "modify", "the answer cannot be read"))
            )
            answer.exception()
        elif is_named(head, CLIENT, "iq") and head.get("type") in ("get", "set") and st.is_answerable(head):
            self.send(st.error(head, "service-unavailable"))

    async def _write(self, stream: ClientStream, websocket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await self._outgoing.wait()
            self._outgoing.clear()
            await self._flush(stream, websocket)

    async def _flush(self, stream: ClientStream, websocket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            for frame in stream.frames_to_send():
                await websocket.send_str(frame)
        except (ConnectionError, aiohttp.ClientError):
            pass  # the reader learns of it
        self._unsent = 0

    def _fail_answers(self, why: str) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ServerUnreachable(why))
                # Asked and not awaited any more is no error.
                answer.exception()
