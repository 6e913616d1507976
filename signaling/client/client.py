"""A device on the line: logged in, calling and being called."""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from signaling import stanza as st
from signaling.client.account import Account, BlockList
from signaling.client.address_watch import AddressWatch
from signaling.client.api import AccessTokens, ServerApi, is_loopback
from signaling.client.call import Call
from signaling.client.contacts import Contacts
from signaling.client.dispatch import UNKNOWN_CALLER, Dispatch, MissedCall
from signaling.client.history import CallEvent
from signaling.client.ice_servers import IceServers
from signaling.client.incoming import IncomingCall, wait_ready
from signaling.client.line import Ending, Line
from signaling.client.live_call import LiveCall
from signaling.client.outgoing import place_call
from signaling.client.profile import Profile
from signaling.client.server_trust import open_session
from signaling.client.websocket import Connection
from signaling.engine import IceServer, IceTransportPolicy, MediaEngine
from signaling.errors import CallFailed, InvalidNumber, SignalingError
from signaling.identity import UsedSids
from signaling.jid import Jid
from signaling.jingle.content import Role
from signaling.jingle.session import ANSWER_TIMEOUT, EndReason, State
from signaling.phone_number import parse_number, region_of
from signaling.xml import CLIENT, Element, is_named

__all__ = ["Client", "MissedCall"]

log = logging.getLogger(__name__)

MAX_WAITING = 16
# Unknown callers that the log names; the rest is in `missed` only.
MAX_TOLD = 20
UNHEARD = "%s called and did not ring: unknown here. `ringline contact %s` lets it ring, ring_unknown=True everybody"
RINGING = (State.PROPOSED, State.RINGING)
END_TIMEOUT = 10.0
CLOSED = "this client was closed: open it again to call"


class Client:
    """Use `async with Client.open(profile) as client`. It connects by itself, and again when the stream is lost."""

    def __init__(
        self,
        profile: Profile,
        *,
        ring_unknown: bool,
        allow_unsigned: bool,
        ice_servers: Sequence[IceServer],
        ice_transport_policy: IceTransportPolicy,
        preconnect: bool,
        max_calls: int,
        wall_clock: Callable[[], float],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._profile = profile
        # Nothing is kept open between requests: a connection of a network that is gone would cost its timeout.
        self._session = open_session(profile.data.server_trust, force_close=True)
        api = ServerApi(self._session, profile.data.server)
        tokens = AccessTokens(api, profile, wall_clock)
        self._waiting: asyncio.Queue[IncomingCall | None] = asyncio.Queue(MAX_WAITING + 1)
        self._missed_queue: asyncio.Queue[MissedCall] = asyncio.Queue(MAX_WAITING)
        self._told: set[str] = set()
        self.missed: deque[MissedCall] = deque(maxlen=100)
        self._connection = Connection(
            api,
            tokens,
            profile,
            self._session,
            self._on_stanza,
            is_urgent=lambda: bool(self._dispatch.calls),
            shown_to=lambda: [call.peer.bare for call in self._dispatch.calls.values()],
            on_failed=self._stop_waiting,
        )
        self.contacts = Contacts(tokens, profile.jid.domain, loop.time)
        self.account = Account(tokens)
        self.blocks = BlockList(self._connection, profile.jid.domain)
        self._ice_servers = IceServers(
            self._connection, profile.jid.domain, ice_servers, ice_transport_policy, wall_clock
        )
        line = Line(
            profile=profile,
            connection=self._connection,
            contacts=self.contacts,
            used_sids=UsedSids(),
            clock=loop.time,
            wall_clock=wall_clock,
            moved=self._moved,
            gone=self._gone,
            ice_servers=self._ice_servers,
            unheard=lambda number: self._dispatch.unheard.get(number),
            allow_loopback=is_loopback(profile.data.server),
            allow_unsigned=allow_unsigned,
            preconnect=preconnect,
        )
        self._line = line
        self._dispatch = Dispatch(
            line, self._ring, self._on_missed, ring_unknown=ring_unknown, max_calls=max_calls
        )
        self._watch = AddressWatch(lambda: self._connection.addresses, self._moved_network)
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        profile: str | Path,
        *,
        ring_unknown: bool = False,
        allow_unsigned: bool = False,
        ice_servers: Sequence[IceServer] = (),
        ice_transport_policy: IceTransportPolicy = IceTransportPolicy.ALL,
        preconnect: bool = False,
        max_calls: int = 1,
        wall_clock: Callable[[], float] = time.time,
    ) -> "_Opening":
        """
        Args:
            profile: made by `ringline register`.
            ring_unknown: let numbers ring that are neither contacts nor were called before. Without it such a call is
                a missed one, and a warning is logged.
            ice_servers: STUN and TURN servers beside those that the server tells of.
            ice_transport_policy: `RELAY`: media go over relays only, so that no peer learns this host's address.
            preconnect: connect while it rings, where both ends want to and know each other's keys: sound flows as soon
                as a call is taken. Who calls learns this host's address before it is; see docs/security.md.
            max_calls: so many at a time; who calls beyond that hears that it is busy.
            allow_unsigned: speak to foreign clients without a passport; never to a number whose key is known.

        Raises:
            ProfileError: on entering, when the profile cannot be used.
        """

        def make() -> Client:
            opened = Profile.open(profile, online=True)
            try:
                return cls(
                    opened,
                    ring_unknown=ring_unknown,
                    allow_unsigned=allow_unsigned,
                    ice_servers=ice_servers,
                    ice_transport_policy=ice_transport_policy,
                    preconnect=preconnect,
                    max_calls=max_calls,
                    wall_clock=wall_clock,
                )
            except BaseException:
                opened.close()
                raise

        return _Opening(make)

    @property
    def number(self) -> str:
        return self._profile.number

    @property
    def online(self) -> bool:
        """Whether calls to this device arrive at this moment."""
        return self._connection.online.is_set()

    @property
    def trouble(self) -> str | None:
        """Why it is not online, for a person; None where that is not known, or it is."""
        error = self._connection.last_error
        return None if error is None or self.online else str(error)

    async def wait_online(self, timeout: float | None = None) -> None:
        """Raises ServerUnreachable, or RegistrationError (`device_revoked`) when the device may not come back."""
        await self._connection.wait_online(timeout)

    async def call(
        self,
        number: str,
        engine: MediaEngine,
        timeout: float = ANSWER_TIMEOUT,
        media: Sequence[str] = ("audio",),
        on_event: Callable[[CallEvent], None] | None = None,
    ) -> Call:
        """Ring every device of `number`; returns when media flow. The engine is closed with the call in any case.

        Cancelling this takes the call back. Calling somebody who is just ringing here answers their call.
        `on_event` gets what happens meanwhile and later: "ringing", "accepted" ...

        Raises:
            InvalidNumber, CallNotRegistered, CallUnreachable, CallBusy, CallRejected, CallTimeout,
            CallUntrusted, CallFailed.
        """
        try:
            call = self._new_call(number, timeout, tuple(media))
        except SignalingError:
            await engine.close()
            raise
        if isinstance(call, IncomingCall):
            return await call.accept(engine)
        call.listen(on_event)
        call.take_engine(engine)
        call.start()
        await wait_ready(call)
        return call

    def _new_call(self, number: str, timeout: float, media: tuple[str, ...]) -> LiveCall | IncomingCall:
        number = parse_number(number, region_of(self.number))
        if number == self.number:
            raise InvalidNumber("that is your own number: call another one")
        if self._closed:
            raise CallFailed(EndReason.FAILED, CLOSED)
        for other in self._dispatch.calls.values():
            if other.number == number and not other.is_over:
                if (
                    other.role is Role.RESPONDER
                    and other.state in RINGING
                    and not (other.prepared or other.taken)
                ):
                    return IncomingCall(other, True)
                raise CallFailed(EndReason.BUSY, f"there is already a call with {number}: hang it up first")
        peer = Jid(number, self._profile.jid.domain)
        sid = str(uuid.uuid4())
        call = LiveCall(
            self._line, Role.INITIATOR, number, sid, media, peer, lambda c: place_call(c, timeout)
        )
        self._dispatch.calls[sid] = call
        return call

    async def next_incoming(self) -> IncomingCall:
        """The next call that rings here.

        Raises:
            SignalingError: the client was closed, or the server refuses this device for good.
        """
        while True:
            incoming = await self._waiting.get()
            if incoming is None:
                self._stop_waiting()
                raise self._connection.failed or SignalingError(CLOSED)
            if not incoming.is_over:
                return incoming

    async def incoming(self) -> AsyncIterator[IncomingCall]:
        """The calls that ring here, until the client is closed."""
        while True:
            try:
                yield await self.next_incoming()
            except SignalingError:
                if self._closed:
                    return
                raise

    async def next_missed(self) -> MissedCall:
        """The next missed call; all of the last hundred are in `missed`."""
        return await self._missed_queue.get()

    async def close(self) -> None:
        """End every call, tell the peers, and log out. Always returns; idempotent."""
        self._closed = True
        try:
            calls = list(self._dispatch.calls.values())
            for call in calls:
                up = call.state in (State.INITIATED, State.ACCEPTED, State.CONNECTED, State.DISCONNECTED)
                call.stop(Ending(EndReason.HUNG_UP if up else EndReason.CANCELLED))
            if calls:
                waits = [asyncio.ensure_future(call.ended()) for call in calls]
                _, late = await asyncio.wait(waits, timeout=END_TIMEOUT)
                for wait in late:
                    wait.cancel()
            await self._ice_servers.close()
            await self._connection.close()
        finally:
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.wait([self._watching])
            await self._session.close()
            self._profile.close()
            self._stop_waiting()

    async def __aenter__(self) -> "Client":
        self._connection.start()
        self._watching = asyncio.create_task(self._watch.run(), name="ringline-address-watch")
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def _stop_waiting(self) -> None:
        if not self._waiting.full():
            self._waiting.put_nowait(None)

    def _on_stanza(self, stanza: Element) -> None:
        try:
            self._dispatch.receive(stanza)
        except Exception:
            log.exception("a stanza could not be handled")
            if is_named(stanza, CLIENT, "iq") and stanza.get("type") in ("get", "set"):
                # Whoever asks gets an answer, whatever we did wrong.
                self._connection.send(st.error(stanza, "service-unavailable"))

    def _moved_network(self) -> None:
        log.info("this machine has another address now")
        self._connection.renew()
        for call in self._dispatch.calls.values():
            call.path_changed()

    def _ring(self, incoming: IncomingCall) -> bool:
        if self._closed or self._waiting.qsize() >= MAX_WAITING:
            return False
        self._waiting.put_nowait(incoming)
        return True

    def _on_missed(self, missed: MissedCall) -> None:
        if missed.why == UNKNOWN_CALLER and missed.number not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(missed.number)
            log.warning(UNHEARD, missed.number, missed.number)
        self.missed.append(missed)
        if self._missed_queue.full():
            self._missed_queue.get_nowait()
        self._missed_queue.put_nowait(missed)

    def _moved(self, call: LiveCall, old_sid: str) -> None:
        self._dispatch.calls.pop(old_sid, None)
        self._dispatch.calls[call.sid] = call

    def _gone(self, call: LiveCall) -> None:
        self._dispatch.gone(call)


class _Opening:
    """Opens the client when it is entered, so that `Client.open` may be called anywhere."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._client: Client | None = None

    async def __aenter__(self) -> Client:
        self._client = self._make()
        return await self._client.__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        if self._client is not None:
            await self._client.close()
