"""The time that media flow: from the answer to the end of a call."""

from signaling.client.line import (
    Accepted,
    Ending,
    EngineState,
    InitiationReceived,
    Input,
    JingleReceived,
    Renegotiate,
    RestartIce,
)
from signaling.client.live_call import LiveCall
from signaling.client.renegotiation import Renegotiation
from signaling.client.restart import Restarts
from signaling.client.status import PeerStatus
from signaling.jingle.content import ANSWERS, CHANGES, Action
from signaling.jingle.initiation import Initiation, Kind
from signaling.jingle.session import RECOVERY_TIMEOUT, ROUTE_TIMEOUT, EndReason, State, Step

# A restart that did not get through is tried again while the call is disconnected.
RESTART_INTERVAL = 5.0
# The media path says that the peer has hung up; why, comes through the server, if that is there.
FAREWELL_TIMEOUT = 1.0


async def run_session(call: LiveCall) -> None:
    """Leaves only by Ending."""
    running = _Running(call)
    while True:
        item = await call.next(running.due())
        if item is None:
            await running.handle_timer()
        else:
            await running.handle(item)


class _Running:
    def __init__(self, call: LiveCall) -> None:
        self._call = call
        self._changes = Renegotiation(call)
        self._restarts = Restarts(call)
        self._peer = PeerStatus()
        self._deadline: float | None = call.line.clock() + ROUTE_TIMEOUT
        self._restart_at: float | None = None
        self._farewell_at: float | None = None

    def due(self) -> float | None:
        times = (self._deadline, self._restart_at, self._changes.deadline, self._farewell_at)
        return min((t for t in times if t is not None), default=None)

    async def handle_timer(self) -> None:
        now = self._call.line.clock()
        if self._farewell_at is not None and self._farewell_at <= now:
            raise Ending(EndReason.HUNG_UP, by_peer=True)
        if self._call.preconnect is not None:
            self._deadline = None  # the ringing has its own
        if self._deadline is not None and self._deadline <= now:
            up = self._call.state is State.DISCONNECTED
            if up or self._call.engine is None:
                raise Ending(EndReason.CONNECTION_LOST)
            raise Ending(EndReason.NO_ROUTE, self._call.engine.trouble)
        if self._restart_at is not None and self._restart_at <= now:
            await self._restart()
        if self._changes.deadline is not None and self._changes.deadline <= now:
            await self._changes.handle_timer()

    async def handle(self, item: Input) -> None:
        call = self._call
        match item:
            case EngineState("connected") if call.preconnect is not None:
                if call.state is State.PREACCEPTED:
                    call.step(Step.CONNECT, "preconnected")
            case EngineState("disconnected") if call.state is State.PRECONNECTED:
                call.step(Step.DISCONNECT)
            case InitiationReceived(Initiation(kind=Kind.PROCEED)) | Accepted():
                if call.state is State.ACCEPTED:
                    self._deadline = call.line.clock() + ROUTE_TIMEOUT
                    if call.timings["preconnected"] is not None:  # the path was lost again while it rang
                        await self._restart()
            case EngineState("connected") if call.state is not State.CONNECTED:
                self._deadline = self._restart_at = None
                if call.state is State.DISCONNECTED:
                    call.step(Step.CONNECT, "reconnected")
                else:
                    call.step(Step.CONNECT)
                    call.up()
            case EngineState("peer-closed") if call.state in (State.CONNECTED, State.DISCONNECTED):
                self._farewell_at = call.line.clock() + FAREWELL_TIMEOUT
            case EngineState("disconnected") if self._farewell_at is not None:
                pass
            case EngineState("disconnected") if call.state is State.CONNECTED:
                call.step(Step.DISCONNECT, "disconnected")
                self._deadline = call.line.clock() + RECOVERY_TIMEOUT
                # What took the path to the peer may have taken the one to the server, too: that one first.
                await call.during(call.line.connection.probe())
                await self._restart()
            case JingleReceived(jingle) if jingle.action is Action.TRANSPORT_INFO:
                if await call.during(self._restarts.follow(jingle)):
                    self._changes.engine_was_used()
                if call.engine is not None:
                    await call.engine.add_remote(jingle.description.contents)
            case JingleReceived(jingle) if jingle.action in CHANGES:
                await self._changes.receive(item)
            case JingleReceived(jingle) if jingle.action in ANSWERS:
                await self._changes.receive_answer(jingle)
            case JingleReceived(jingle) if jingle.action is Action.SESSION_INFO:
                self._peer.hear(call, jingle.infos)
            case Renegotiate(done):
                await self._changes.request(done)
            case RestartIce(done):
                await call.during(self._restarts.begin())
                self._changes.engine_was_used()
                if not done.done():
                    done.set_result(None)

    async def _restart(self) -> None:
        """The initiator's part; the responder begins one only when it knows that its addresses changed."""
        self._restart_at = None
        if self._call.role.value == "initiator":
            await self._call.during(self._restarts.begin())
            self._changes.engine_was_used()
            if self._call.state is State.DISCONNECTED:
                self._restart_at = self._call.line.clock() + RESTART_INTERVAL
