"""The task that lives a call, behind the `Call` that its user sees.

One task a call (`_life`) runs the phases one after the other and takes everything that happens from one
bounded queue; whatever goes wrong ends in `_finish`, which tells the peer, closes the engine and sets the
reason. So there is no way out of a call that leaves one of these undone.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from signaling import stanza as st
from signaling.client.call import Call
from signaling.client.goodbye import tell_peer
from signaling.client.history import CallEvent, History
from signaling.client.line import (
    Accepted,
    Ending,
    EngineState,
    InitiationReceived,
    Input,
    JingleReceived,
    Line,
    Prepared,
    Renegotiate,
    RestartIce,
)
from signaling.client.media import Media
from signaling.client.preconnect import Preconnect
from signaling.client.status import OwnStatus
from signaling.engine import MediaEngine
from signaling.errors import CallFailed, RegistrationError, ServerUnreachable, SignalingError
from signaling.jid import Jid
from signaling.jingle.content import CHANGES, Action, Jingle, Role, SessionDescription, build_jingle
from signaling.jingle.info import InfoKind
from signaling.jingle.initiation import Initiation, Kind
from signaling.jingle.session import (
    BEFORE_PROCEED,
    EndReason,
    State,
    Step,
    advance,
    error_for,
    reason_of,
)
from signaling.jingle.syntax import JingleError
from signaling.jingle.transport import CandidatePolicy
from signaling.rate_limit import Rate, TokenBucket

log = logging.getLogger(__name__)

MAX_INPUTS = 256  # from the peer
GOODBYE_TIMEOUT = 2.0  # for a stream that is just being made again
TRANSPORT_INFO_RATE = Rate(burst=20, seconds_per_token=1 / 20)  # session-infos, too
CHANGE_RATE = Rate(burst=10, seconds_per_token=0.5)
OWN_INPUTS = 64  # from the engine and the user
T = TypeVar("T")


def one_line(error: Exception) -> str:
    """What an error says, for a terminal and for the peer."""
    return (str(error).splitlines() or [f"this program made a mistake: {type(error).__name__}"])[0][:200]


class LiveCall(Call):
    """What the client and the phases of a call (outgoing, incoming, negotiation ...) use of it."""

    def __init__(
        self,
        line: Line,
        role: Role,
        number: str,
        sid: str,
        media: tuple[str, ...],
        peer: Jid,
        drive: Callable[["LiveCall"], Awaitable[None]],
    ) -> None:
        super().__init__(number, sid, media, History(line.clock))
        self.role = role
        self.state = State.NEW
        self.line = line
        self.peer = peer
        self.known = True  # somebody whom this number knows, or calls itself
        self.policy = CandidatePolicy(allow_loopback=line.allow_loopback)
        self.engine: Media | None = None
        self.prepared = False  # the user has handed in an engine while it rings
        self.taken = False  # and wants the call
        self.peer_preconnects = False  # the caller proposed it
        self.offers_preconnect = False  # and this device answered so
        self.preconnect: Preconnect | None = None  # while it rings and is being connected
        self.local = SessionDescription(())  # what was last said by us, and by the peer
        self.remote = SessionDescription(())
        self.changing = False  # a change of ours is being asked for
        self.changes_waiting = 0  # of the peer's, in the queue
        self.awaiting: frozenset[str] = frozenset()  # contents that the peer is to accept
        self.own_status = OwnStatus()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drive = drive
        self._inputs: asyncio.Queue[Input] = asyncio.Queue(MAX_INPUTS + OWN_INPUTS)
        self._aside: deque[Input] = deque()  # bounded with _inputs by post()
        self._infos = TokenBucket(TRANSPORT_INFO_RATE, line.clock())
        self._changes = TokenBucket(CHANGE_RATE, line.clock())
        self._requests: set[asyncio.Future[None]] = set()
        self._wanted: Ending | None = None
        self._running = False
        self._finishing = False
        self._task: asyncio.Task[None] | None = None

    # What users ask for, see Call.

    def _end(self) -> None:
        before = self.state in (State.NEW, *BEFORE_PROCEED, State.PROCEEDED)
        self.stop(Ending(EndReason.CANCELLED if before else EndReason.HUNG_UP))

    async def _renegotiate(self) -> None:
        await self._request(Renegotiate)

    async def _restart_ice(self) -> None:
        await self._request(RestartIce)

    async def _say_status(self, kind: InfoKind) -> None:
        await self.own_status.change(self, kind)

    # What the client calls.

    def path_changed(self) -> None:
        """Restart ICE if the session is up, and let nobody wait for it."""
        if self.state in (State.CONNECTED, State.DISCONNECTED) and not self.is_over:
            with contextlib.suppress(RuntimeError):
                self._request(RestartIce).add_done_callback(lambda done: done.cancelled() or done.exception())

    def _request(
        self, make: Callable[["asyncio.Future[None]"], Renegotiate | RestartIce]
    ) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_over:
            raise self.over()
        if len(self._requests) >= OWN_INPUTS // 2 or self._inputs.full():
            raise RuntimeError("too many changes at once")
        self._requests.add(done)
        done.add_done_callback(self._requests.discard)
        self._inputs.put_nowait(make(done))
        return done

    def listen(self, listener: Callable[[CallEvent], None] | None) -> None:
        self._history.listener = listener

    def start(self) -> None:
        self._task = asyncio.create_task(self._life(), name=f"ringline-call-{self.sid}")

    def stop(self, ending: Ending) -> None:
        """End the call with this reason, whatever it is waiting for; the first reason counts."""
        if self._wanted is None and not self._finishing:
            self._wanted = ending
            if self._running and self._task is not None:
                self._task.cancel()

    def post(self, item: Input) -> bool:
        """Hand in something that came from the peer; False when it sends more than is taken."""
        if self._inputs.qsize() + len(self._aside) >= MAX_INPUTS or self._done.is_set():
            return False
        if isinstance(item, JingleReceived) and item.jingle.action in CHANGES:
            self.changes_waiting += 1
        self._inputs.put_nowait(item)
        return True

    def may_inform(self) -> bool:
        """Whether one more transport-info or session-info is within the peer's rate."""
        return self._infos.take(self.line.clock()) == 0

    def may_change(self) -> bool:
        """Whether one more change of contents is within the peer's rate."""
        return self._changes.take(self.line.clock()) == 0

    def over(self) -> CallFailed:
        """What is raised when something is wanted of a call that is over."""
        return CallFailed(self.end_reason or EndReason.HUNG_UP, f"the call is over: {self.end_sentence}")

    @property
    def is_over(self) -> bool:
        return self._finishing or self._wanted is not None or self._done.is_set()

    # What the phases call.

    def take_engine(self, engine: MediaEngine) -> None:
        """From here on the engine is this call's, and is closed with it."""
        self.engine = Media(engine, self._engine_state)

    def _engine_state(self, state: str, reason: str) -> None:
        if not self._inputs.full():
            self._inputs.put_nowait(EngineState(state, reason))

    def step(self, step: Step, event: str | None = None) -> None:
        """Advance the state and note when.

        Raises:
            IllegalStep: the table does not allow it; nothing is changed.
        """
        self.state = advance(self.state, step)
        if event is not None:
            self.note(event)

    def note(self, event: str, media: tuple[str, ...] = (), *, by_peer: bool = False) -> None:
        """Something happened now: for `timings`, where it is the first of its kind, `events` and `history`."""
        self._history.note(event, media, by_peer=by_peer)

    def up(self) -> None:
        """Media flow."""
        self.note("connected")
        if not self.ready.done():
            self.ready.set_result(None)

    async def next(self, deadline: float | None) -> Input | None:
        """The next thing that this phase must decide about; None at the deadline (of `line.clock`).

        Raises:
            Ending: the peer or the engine ended the call.
        """
        if self._aside:
            return self._aside.popleft()
        try:
            async with asyncio.timeout_at(
                deadline if self.preconnect is None else self.preconnect.within(deadline)
            ):
                item = await self._inputs.get()
        except TimeoutError:
            if self.preconnect is not None:
                self.preconnect.handle_timer()
            return None
        self._check(item)
        return item

    async def during(self, step: Coroutine[Any, Any, T]) -> T:
        """Wait for a step of the engine or of the stream, but not past the end of the call.

        What else comes meanwhile is kept for `next`.

        Raises:
            Ending: the peer or the engine ended the call; the step is cancelled.
        """
        task = asyncio.create_task(step, name="ringline-step")
        try:
            while not task.done():
                waiting = asyncio.create_task(self._inputs.get(), name="ringline-input")
                try:
                    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
                    await asyncio.wait((waiting,))
                if not waiting.cancelled():
                    item = waiting.result()
                    self._aside.append(item)
                    self._check(item)
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait((task,))

    def _check(self, item: Input) -> None:
        if self.preconnect is not None:
            self.preconnect.hear(item)
        match item:
            case JingleReceived(Jingle(action=Action.SESSION_TERMINATE, reason=reason, text=text)):
                hint = f"After a new registration, they can: ringline trust {self.line.own.local}"
                ended = reason_of(reason)
                hint = hint if ended is EndReason.UNTRUSTED else ""
                raise Ending(ended, self._said(text), by_peer=True, hint=hint)
            case InitiationReceived(
                Initiation(kind=Kind.FINISH | Kind.RETRACT as kind, reason=reason, text=text)
            ):
                default = "cancel" if kind is Kind.RETRACT else "success"
                raise Ending(reason_of(reason or default), self._said(text), by_peer=True)
            case EngineState("closed"):
                raise Ending(EndReason.HUNG_UP, "the engine was closed")
            case EngineState("failed", why):
                was_up = self.timings["connected"] is not None
                raise Ending(EndReason.CONNECTION_LOST if was_up else EndReason.NO_ROUTE, why or None)

    @staticmethod
    def _said(text: str | None) -> str | None:
        return f"the other side says: {text}" if text else None

    async def _life(self) -> None:
        self._running = True
        try:
            if self._wanted is not None:
                raise self._wanted
            await self._drive(self)
            ending = Ending(EndReason.FAILED)
        except Ending as raised:
            ending = raised
        except asyncio.CancelledError:
            # Not wanted by anybody here: the loop is being shut down.
            ending = self._wanted or Ending(EndReason.CANCELLED)
        except JingleError as error:
            ending = Ending(EndReason.INCOMPATIBLE, str(error))
        except (ServerUnreachable, RegistrationError) as error:
            ending = Ending(EndReason.NO_SIGNALING, str(error))
        except Exception as error:
            # The engine's own errors are not known here: its words are for the user, the rest for the log.
            log.debug("a call failed", exc_info=True)
            ending = Ending(EndReason.FAILED, one_line(error))
        self._finishing = True
        await self._finish(ending)

    async def _finish(self, ending: Ending) -> None:
        before = self.state
        self.end_reason, self.end_text = ending.reason, ending.why
        self.ended_by_peer = ending.by_peer
        tell = not ending.by_peer or before in (State.PROPOSED, State.RINGING)
        try:
            if tell and self.line.connection.online.is_set():
                tell_peer(self, ending, before)
                tell = False
            for media in self._engines():
                await media.close()
            if tell and before is not State.NEW:
                # The stream may just be coming back; the media are closed already. Later it says it by itself.
                with contextlib.suppress(SignalingError):
                    await self.line.connection.wait_online(GOODBYE_TIMEOUT)
                tell_peer(self, ending, before)
        finally:
            self.line.gone(self)
            self.step(Step.END, "ended")
            error = self.error = error_for(
                ending.reason, self.number, ending.why, by_peer=ending.by_peer, hint=ending.hint
            )
            for done in (self.ready, *self._requests):
                if not done.done():
                    done.set_exception(error)
                    done.exception()  # a call that nobody waits for is no error
            self._done.set()

    def _engines(self) -> list[Media]:
        """Ours, and one that the user handed in at the moment when the call ended."""
        engines = [] if self.engine is None else [self.engine]
        while self._aside or not self._inputs.empty():
            item = self._aside.popleft() if self._aside else self._inputs.get_nowait()
            if isinstance(item, Accepted | Prepared) and item.engine is not None:
                engines.append(Media(item.engine, lambda state, reason: None))
        return engines

    def send_jingle(self, jingle: Jingle) -> None:
        """Without waiting for the acknowledgement."""
        connection = self.line.connection
        connection.send(st.iq("set", build_jingle(jingle), id=connection.new_id(), to=self.peer))

    async def ask_jingle(self, jingle: Jingle) -> None:
        """Raises StanzaError when the peer refuses it, ServerUnreachable when no answer comes."""
        await self.line.connection.ask("set", build_jingle(jingle), self.peer)
