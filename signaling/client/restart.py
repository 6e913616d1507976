"""ICE restart (RFC 8839 section 4.4.1.1.1) of a call that is disconnected: the same session on a new path.

The initiator makes a new offer and sends its credentials in a transport-info; the responder answers likewise.
The DTLS fingerprints stay as they were vouched for; a restart that changes them is not one. An engine that
cannot restart leaves the call to its timers.
"""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace

from signaling.client.call import Call
from signaling.client.trickle import send_credentials
from signaling.jingle.content import Role, SessionDescription
from signaling.jingle.sdp import parse_sdp, render_sdp

log = logging.getLogger(__name__)

STEP_TIMEOUT = 5.0


async def begin(call: Call) -> None:
    """The initiator's side, when no packet came for a while."""
    assert call.engine is not None
    sdp = await _attempt(call.engine.engine.create_offer(ice_restart=True))
    if isinstance(sdp, str) and _adopt(call, sdp, Role.INITIATOR):
        call.restarting = True
        await _attempt(send_credentials(call))


async def follow(call: Call, info: SessionDescription) -> None:
    """Either side, at a transport-info: does nothing unless the peer has new credentials."""
    remote = _with_credentials(call.remote, info)
    if remote is None or call.engine is None:
        return
    engine = call.engine.engine
    if call.role is Role.RESPONDER:
        answer = await _attempt(engine.create_answer(render_sdp(remote, Role.INITIATOR)))
        if isinstance(answer, str) and _adopt(call, answer, Role.RESPONDER):
            call.remote = remote
            await _attempt(send_credentials(call))
    elif call.restarting:
        call.restarting = False
        call.remote = remote
        await _attempt(engine.set_answer(render_sdp(remote, Role.RESPONDER)))


def _with_credentials(known: SessionDescription, info: SessionDescription) -> SessionDescription | None:
    """The known description under the new credentials; None when they are the old ones or do not fit it."""
    new = {c.name: c.transport for c in info.contents if c.transport.ufrag is not None}
    changed = [
        replace(c, transport=replace(c.transport, ufrag=t.ufrag, pwd=t.pwd, candidates=()))
        if (t := new.get(c.name)) is not None and t.ufrag != c.transport.ufrag
        else c
        for c in known.contents
    ]
    return None if changed == list(known.contents) else replace(known, contents=tuple(changed))


def _adopt(call: Call, sdp: str, role: Role) -> bool:
    """Whether our new description is one of this session; it is remembered then."""
    try:
        description = parse_sdp(sdp, role)
    except ValueError:
        return False
    if description.fingerprints() != call.local.fingerprints():
        return False
    call.local = description
    return True


async def _attempt(step: Awaitable[str | None]) -> object:
    """A step that may fail without harm."""
    try:
        async with asyncio.timeout(STEP_TIMEOUT):
            return await step
    except Exception:
        log.debug("the ICE restart did not succeed", exc_info=True)
        return None
