"""Calling somebody: lookup, propose, ring, and the session with the device that takes the call."""

import asyncio
from functools import partial

from signaling.client.incoming import accept_proposal
from signaling.client.line import Ending, InitiationReceived, MessageBounced
from signaling.client.live_call import LiveCall, one_line
from signaling.client.negotiation import create_offer, offer_session, prepare_engine
from signaling.client.preconnect import Preconnect, may_preconnect, rejected
from signaling.client.running import run_session
from signaling.errors import RegistrationError
from signaling.jid import Jid
from signaling.jingle.content import Role
from signaling.jingle.initiation import Initiation, Kind
from signaling.jingle.session import RINGING_TIMEOUT, EndReason, State, Step

ONLINE_TIMEOUT = 10.0


async def place_call(call: LiveCall, timeout: float) -> None:
    """The life of an outgoing call that rings for `timeout` seconds at most. Leaves only by Ending."""
    line = call.line
    await line.connection.wait_online(ONLINE_TIMEOUT)
    line.ice_servers.prepare()
    try:
        contact = await line.contacts.find(call.number)
    except RegistrationError as error:
        raise Ending(EndReason.FAILED, str(error)) from None
    if contact is None:
        raise Ending(EndReason.NOT_REGISTERED)
    call.peer = contact.jid
    line.profile.remember(call.number)
    line.say(Initiation(Kind.PROPOSE, call.sid, media=call.media, preconnect=line.preconnect), call.peer)
    call.step(Step.PROPOSE)
    await call.during(prepare_engine(call))
    offer: asyncio.Task[str] | None = None
    try:
        offer = await _ring(call, timeout)
        if offer is None:  # both called each other, and the other call is the one
            await accept_proposal(call)
        else:
            await offer_session(call, offer)
    finally:
        if offer is not None and not offer.done():
            offer.cancel()
    await run_session(call)


async def _ring(call: LiveCall, timeout: float) -> "asyncio.Task[str] | None":
    """Until a device takes the call: the offer that is being made. None when glare turned the call round."""
    offer: asyncio.Task[str] | None = None
    started = call.line.clock()
    taken = False
    try:
        while not taken:
            rings = call.state is State.RINGING
            item = await call.next(started + (timeout if rings else min(timeout, RINGING_TIMEOUT)))
            match item:
                case None:
                    raise Ending(EndReason.TIMEOUT if rings else EndReason.UNREACHABLE)
                case MessageBounced(error):
                    if error.condition == "resource-constraint":
                        # Too many strangers, or a store that fails: the server says which.
                        said = error.text if error.text.isprintable() else ""
                        raise Ending(
                            EndReason.FAILED,
                            said or "the server has no room just now: try again later",
                            by_peer=True,
                        )
                    raise Ending(EndReason.UNREACHABLE, by_peer=True)
                case InitiationReceived(Initiation(kind=Kind.RINGING, preconnect=wanted), sender):
                    call.step(Step.RING, "ringing")
                    if wanted and may_preconnect(call, sender):
                        call.peer = sender
                        call.preconnect = Preconnect(call, started + timeout)
                        taken = True
                case InitiationReceived(Initiation(kind=Kind.PROCEED), sender):
                    call.peer = sender
                    call.step(Step.PROCEED, "accepted")
                    taken = True
                case InitiationReceived(Initiation(kind=Kind.REJECT, tie_break=True)) if offer is None and (
                    rival := call.line.unheard(call.number)
                ):
                    # Their call is the one, but came when we did not ring for it: unknown, or not online yet.
                    _turn_round(call, rival.initiation, rival.sender)
                    return None
                case InitiationReceived(Initiation(kind=Kind.REJECT) as reject):
                    raise rejected(reject)
                case InitiationReceived(Initiation(kind=Kind.PROPOSE) as rival, sender):
                    if offer is None and rival.sid < call.sid:
                        _turn_round(call, rival, sender)
                        return None
                    call.line.say(
                        Initiation(Kind.REJECT, rival.sid, reason="expired", tie_break=True), sender.bare
                    )
                case _:
                    continue
            if offer is None:
                # From the first ring on, so that candidates are there when the call is taken.
                offer = asyncio.create_task(create_offer(call), name="ringline-offer")
                offer.add_done_callback(partial(_end_if_failed, call))
    except BaseException:
        if offer is not None:
            offer.cancel()
            await asyncio.wait([offer])
        raise
    return offer


def _end_if_failed(call: LiveCall, offer: "asyncio.Task[str]") -> None:
    """Without an offer there is no use in ringing on."""
    error = None if offer.cancelled() else offer.exception()
    if isinstance(error, Exception):
        call.stop(error if isinstance(error, Ending) else Ending(EndReason.FAILED, one_line(error)))


def _turn_round(call: LiveCall, rival: Initiation, sender: Jid) -> None:
    """Glare, and the peer's sid is the lower one: take back ours and become the callee of theirs."""
    call.line.say(Initiation(Kind.RETRACT, call.sid, reason="expired", tie_break=True), call.peer.bare)
    old, call.sid, call.peer, call.role = call.sid, rival.sid, sender, Role.RESPONDER
    call.media = rival.media
    call.line.moved(call, old)
    call.line.say(Initiation(Kind.RINGING, call.sid), sender.bare)
    if call.state is State.PROPOSED:
        call.step(Step.RING, "ringing")
