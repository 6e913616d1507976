"""Being called: ringing, and what the user makes of it."""

import asyncio

from signaling import stanza as st
from signaling.client.call import Call
from signaling.client.line import Accepted, Ending, InitiationReceived, JingleReceived, Prepared
from signaling.client.live_call import LiveCall
from signaling.client.negotiation import answer_offer, answer_session, prepare_engine
from signaling.client.peer_identity import look_up
from signaling.client.preconnect import Preconnect, may_preconnect
from signaling.client.running import run_session
from signaling.engine import MediaEngine
from signaling.jingle.content import Action, Jingle, build_jingle
from signaling.jingle.initiation import Initiation, Kind
from signaling.jingle.session import EndReason, State, Step
from signaling.jingle.syntax import add

# A caller gives up after 45 s; when his retract is lost, this is the end of the ringing.
RING_LIMIT = 60.0
NS_RTP_INFO = "urn:xmpp:jingle:apps:rtp:info:1"


class IncomingCall:
    """A call that rings here. `known`: a contact, or somebody who was in a call with this number before."""

    def __init__(self, call: LiveCall, known: bool) -> None:
        self._call = call
        call.known = known
        self.number = call.number
        self.media = call.media
        self.known = known

    @property
    def sid(self) -> str:
        return self._call.sid

    @property
    def state(self) -> State:
        return self._call.state

    @property
    def is_over(self) -> bool:
        return self._call.is_over

    @property
    def end_reason(self) -> EndReason | None:
        return self._call.end_reason

    @property
    def end_sentence(self) -> str:
        """Why it is over, for a person."""
        return self._call.end_sentence

    async def ended(self) -> EndReason:
        """Wait until it rings no more without having been accepted, or the call is over."""
        return await self._call.ended()

    async def prepare(self, engine: MediaEngine) -> None:
        """Hand the engine in while it rings: what takes time is done before the call is taken. The engine is closed
        with the call, or at once if that is over.

        Nothing goes to the caller, unless both clients have `preconnect` and know each other's keys: then the
        connection is made now, and he learns this host's address; media flow after `accept()`.
        """
        call = self._call
        if call.taken or call.prepared:
            raise RuntimeError("the call has its engine")
        call.prepared = True
        if call.is_over or not call.post(Prepared(engine)):
            await engine.close()

    async def accept(self, engine: MediaEngine | None = None) -> Call:
        """Take the call, with this engine or the one that was prepared; returns when media flow. The engine is
        closed with the call, or at once on failure.

        The engine sees the caller's offer only after its passport was verified.

        Raises:
            CallUntrusted, CallFailed, CallTimeout: as for `Client.call`.
        """
        call = self._call
        if call.taken:
            raise RuntimeError("the call was already accepted")
        if call.prepared is (engine is not None):
            raise RuntimeError("accept() or prepare() gets an engine, and one of them only")
        call.taken = True
        if call.is_over or not call.post(Accepted(engine)):
            if engine is not None:
                await engine.close()
            await call.ended()
            assert call.error is not None
            raise call.error
        await wait_ready(call)
        return call

    async def reject(self, reason: str = "decline") -> None:
        """Say no: "decline" or "busy"."""
        ends = {"decline": EndReason.DECLINED, "busy": EndReason.BUSY}
        if reason not in ends:
            raise ValueError(f"a call is rejected with one of {', '.join(ends)}")
        self._call.stop(Ending(ends[reason]))
        await self._call.ended()


async def wait_ready(call: LiveCall) -> None:
    """Until media flow; being cancelled meanwhile ends the call."""
    try:
        await asyncio.shield(call.ready)
    except asyncio.CancelledError:
        call.stop(Ending(EndReason.CANCELLED))
        await call.ended()
        raise
    except Exception:
        await call.ended()
        raise


async def ring(call: LiveCall) -> None:
    """The life of an incoming call. Leaves only by Ending."""
    # While the user decides: what the server says of an unknown number is asked for, the offer will be judged by it.
    is_known = call.line.profile.pins(call.number) or call.line.contacts.cached(call.number) is not None
    asking = None if is_known else asyncio.create_task(look_up(call), name="ringline-directory")
    try:
        await _ring(call)
    finally:
        if asking is not None:
            asking.cancel()
            await asyncio.wait([asking])


async def _ring(call: LiveCall) -> None:
    call.line.ice_servers.prepare()
    call.line.say(Initiation(Kind.RINGING, call.sid), call.peer.bare)
    call.step(Step.RING, "ringing")
    deadline = call.line.clock() + RING_LIMIT
    while True:
        item = await call.next(deadline)
        match item:
            case None:
                raise Ending(EndReason.TIMEOUT)
            case Prepared(engine):
                await _prepare(call, engine)
            case Accepted(engine):
                if engine is not None:
                    call.take_engine(engine)
                break
            case JingleReceived(Jingle(action=Action.SESSION_INITIATE) as offer):
                call.preconnect = Preconnect(call, deadline)
                call.step(Step.INITIATE, "session_initiate")
                await answer_offer(call, offer)
                return await run_session(call)
            case InitiationReceived(Initiation(kind=Kind.ACCEPT)):
                raise Ending(EndReason.ANSWERED_ELSEWHERE, by_peer=True)
            case InitiationReceived(Initiation(kind=Kind.REJECT)):
                raise Ending(EndReason.DECLINED, "on another device", by_peer=True)
    await accept_proposal(call)
    await run_session(call)


async def _prepare(call: LiveCall, engine: MediaEngine) -> None:
    """The engine is there before the call is taken; the caller is told where it may connect already."""
    call.take_engine(engine)
    ready = await call.during(prepare_engine(call))
    if ready and call.peer_preconnects and may_preconnect(call, call.peer) and not call.taken:
        call.offers_preconnect = True
        call.line.say(Initiation(Kind.RINGING, call.sid, preconnect=True), call.peer.bare)


async def ring_session(call: LiveCall, offer: Jingle) -> None:
    """The life of a call that came without a proposal (a foreign client): it rings with its offer in hand."""
    info = build_jingle(Jingle(Action.SESSION_INFO, call.sid))
    add(info, NS_RTP_INFO, "ringing")
    call.line.ice_servers.prepare()
    call.line.connection.send(st.iq("set", info, id=call.line.connection.new_id(), to=call.peer))
    call.note("ringing")
    deadline = call.line.clock() + RING_LIMIT
    early: list[JingleReceived] = []
    while True:
        item = await call.next(deadline)
        match item:
            case None:
                raise Ending(EndReason.TIMEOUT)
            case Prepared(engine):
                call.take_engine(engine)
                await call.during(prepare_engine(call))
            case Accepted(engine):
                if engine is not None:
                    call.take_engine(engine)
                break
            case JingleReceived():  # candidates, bounded by the session's budget
                early.append(item)
    call.line.profile.remember(call.number)
    call.note("accepted")
    for info_item in early:
        if call.engine is not None:
            await call.engine.add_remote(info_item.jingle.description.contents)
    await answer_offer(call, offer)
    await run_session(call)


async def accept_proposal(call: LiveCall) -> None:
    """Tell caller and own devices, and answer the session that follows."""
    line = call.line
    line.profile.remember(call.number)
    line.say(Initiation(Kind.PROCEED, call.sid), call.peer.bare)
    line.say(Initiation(Kind.ACCEPT, call.sid), line.own.bare)
    call.step(Step.PROCEED, "accepted")
    await answer_session(call)
