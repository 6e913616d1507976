"""The session of a call: offer and answer with their passports, candidates, and the time that media flow."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from signaling import words
from signaling.client.ice_servers import has_relay
from signaling.client.line import Ending, InitiationReceived, JingleReceived
from signaling.client.live_call import LiveCall, one_line
from signaling.client.media import Media
from signaling.client.peer_identity import sign, verify
from signaling.client.trickle import send_candidates
from signaling.client.websocket import StanzaError
from signaling.engine import IceTransportPolicy
from signaling.jingle.content import Action, Content, Group, Jingle, Role, SessionDescription
from signaling.jingle.initiation import Initiation, Kind
from signaling.jingle.sdp import parse_sdp, render_sdp
from signaling.jingle.session import (
    ACCEPT_TIMEOUT,
    INITIATE_TIMEOUT,
    EndReason,
    Step,
)
from signaling.jingle.syntax import JingleError
from signaling.jingle.transport import Transport

T = TypeVar("T")

# How long a stream that is being made again is waited for in the middle of a negotiation.
STREAM_TIMEOUT = 5.0


def _media(call: LiveCall) -> Media:
    assert call.engine is not None
    return call.engine


async def create_offer(call: LiveCall) -> str:
    """SDP of our engine; gathering begins with it."""
    await _start(call)
    return await _media(call).engine.create_offer()


async def prepare_engine(call: LiveCall) -> bool:
    """While it rings: the engine learns which way media may go, and does what takes time. False: there is no way."""
    try:
        await _start(call)
    except Ending:  # to be told when the call is taken
        return False
    _media(call).prepare()
    return True


async def _start(call: LiveCall) -> None:
    """Tell the engine which way media may go."""
    if _media(call).started:
        return
    servers = await call.line.ice_servers.get()
    policy = call.line.ice_servers.policy(servers, call.known)
    if policy is IceTransportPolicy.RELAY and not has_relay(servers):
        raise Ending(EndReason.NO_ROUTE, "media may go over relays only, and none is known")
    _media(call).start(servers, policy)


async def offer_session(call: LiveCall, offer: "asyncio.Task[str]") -> None:
    """The caller's half: session-initiate to the device that took the call, its answer verified and applied."""
    description = parse_sdp(await _in_time(call, _result(offer), INITIATE_TIMEOUT), Role.INITIATOR)
    passport = sign(call, description, None)
    jingle = Jingle(
        Action.SESSION_INITIATE, call.sid, description, initiator=str(call.line.own), passport=passport
    )
    call.step(Step.INITIATE, "session_initiate")
    await _ask(call, jingle)
    call.local = description
    _media(call).start_trickle(lambda batch: send_candidates(call, batch))
    deadline = call.line.clock() + ACCEPT_TIMEOUT
    while True:
        item = await call.next(deadline)
        match item:
            case None if call.preconnect is None:
                raise Ending(EndReason.TIMEOUT, "the other device accepted the call, but sent no answer")
            case None | InitiationReceived(Initiation(kind=Kind.PROCEED)):
                deadline = call.line.clock() + ACCEPT_TIMEOUT
            case JingleReceived(Jingle(action=Action.SESSION_ACCEPT) as answer):
                break
            case JingleReceived(Jingle(action=Action.TRANSPORT_INFO) as info):
                await _media(call).add_remote(info.description.contents)
    await verify(call, answer, passport)
    call.remote = _in_order_of(answer.description, description)
    sdp = _render(call.remote, Role.RESPONDER)
    try:
        await _in_time(call, _media(call).engine.set_answer(sdp), ACCEPT_TIMEOUT)
    except ValueError as error:
        raise Ending(EndReason.INCOMPATIBLE, one_line(error)) from None
    call.step(Step.ACCEPT, "session_accept")
    await _media(call).remote_applied()


async def answer_session(call: LiveCall) -> None:
    """The callee's half, after `proceed`: wait for the offer, verify it, and only then let the engine see it."""
    deadline = call.line.clock() + INITIATE_TIMEOUT
    while True:
        item = await call.next(deadline)
        match item:
            case None:
                raise Ending(EndReason.TIMEOUT, "the caller sent no offer")
            case JingleReceived(Jingle(action=Action.SESSION_INITIATE) as offer):
                break
    call.step(Step.INITIATE, "session_initiate")
    await answer_offer(call, offer)


async def answer_offer(call: LiveCall, offer: Jingle) -> None:
    """Verify the offer, let the engine see it, and send its answer."""
    await verify(call, offer, None)
    media = _media(call)
    call.remote = offer.description
    sdp = _render(call.remote, Role.INITIATOR)
    await _start(call)
    try:
        answer = await _in_time(call, media.engine.create_answer(sdp), ACCEPT_TIMEOUT)
    except ValueError as error:
        raise Ending(EndReason.INCOMPATIBLE, one_line(error)) from None
    description = parse_sdp(answer, Role.RESPONDER)
    await media.remote_applied()
    jingle = Jingle(
        Action.SESSION_ACCEPT,
        call.sid,
        description,
        responder=str(call.line.own),
        passport=sign(call, description, offer.passport or ""),
    )
    call.step(Step.ACCEPT, "session_accept")
    await _ask(call, jingle)
    call.local = description
    media.start_trickle(lambda batch: send_candidates(call, batch))


def _render(description: SessionDescription, role: Role) -> str:
    try:
        return render_sdp(description, role)
    except JingleError as error:
        raise Ending(EndReason.INCOMPATIBLE, str(error)) from None


def _in_order_of(answer: SessionDescription, offer: SessionDescription) -> SessionDescription:
    """The answer with its contents in the offer's order, those that it left out as rejected (RFC 3264)."""
    by_name = {content.name: content for content in answer.contents}
    if not by_name.keys() <= {content.name for content in offer.contents}:
        raise Ending(EndReason.INCOMPATIBLE, "the answer has a content that was not offered")
    contents = tuple(
        by_name.get(c.name)
        or Content(c.name, Transport(), c.description, senders="none", creator=c.creator, rejected=True)
        for c in offer.contents
    )
    groups = tuple(Group(g.semantics, g.names) for g in answer.groups)
    return SessionDescription(contents, groups, answer.attributes)


async def _ask(call: LiveCall, jingle: Jingle) -> None:
    await call.line.connection.wait_online(STREAM_TIMEOUT)
    try:
        await call.during(call.ask_jingle(jingle))
    except StanzaError as error:
        # Most often because the peer ended the call just then: its own words come first.
        while await call.next(call.line.clock()) is not None:
            pass
        incompatible = error.info.condition in ("bad-request", "feature-not-implemented", "not-acceptable")
        reason = EndReason.INCOMPATIBLE if incompatible else EndReason.FAILED
        raise Ending(reason, words.stanza_error(error.info.condition, error.info.text)) from None


async def _result(task: "asyncio.Task[T]") -> T:
    return await task


async def _in_time(call: LiveCall, step: Coroutine[Any, Any, T], timeout: float) -> T:
    """A step of the engine, which may talk to servers of its own."""
    try:
        async with asyncio.timeout(timeout):
            return await call.during(step)
    except TimeoutError:
        raise Ending(EndReason.FAILED, "the media engine did not finish in time") from None
