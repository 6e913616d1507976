"""ICE restart (RFC 8839 section 4.4.1.1.1) of a running call: the same session on a new path.

Either side makes a new offer and sends its credentials in a transport-info; the other answers likewise, and
says which credentials it answers, so that a late answer is not taken for another restart. The DTLS fingerprints
stay as they were vouched for; a restart that changes them is not one. An engine that cannot restart leaves the
call to its timers.
"""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace

from signaling.client.live_call import LiveCall
from signaling.client.trickle import send_credentials
from signaling.jingle.agreement import as_answer, as_offer, with_transports
from signaling.jingle.content import Jingle, Role, SessionDescription
from signaling.jingle.sdp import parse_sdp, render_sdp

log = logging.getLogger(__name__)

STEP_TIMEOUT = 5.0


class Restarts:
    """The restarts of one call."""

    def __init__(self, call: LiveCall) -> None:
        self._call = call
        self._offer: SessionDescription | None = None  # not answered yet

    async def begin(self) -> None:
        """Make new credentials and send them."""
        call = self._call
        assert call.engine is not None
        call.engine.renew(await call.line.ice_servers.get())
        sdp = await _attempt(call.engine.engine.create_offer(ice_restart=True))
        offer = self._adopt(sdp)
        if offer is not None:
            self._offer = offer
            await _attempt(send_credentials(call))

    async def follow(self, info: Jingle) -> bool:
        """At a transport-info: whether it restarted something. Does nothing unless it has new credentials."""
        call = self._call
        remote = _with_credentials(call.remote, info.description)
        if remote is None or call.engine is None:
            return False
        engine, offer = call.engine.engine, self._offer
        if info.answers is not None and (offer is None or info.answers != ufrag(call.local)):
            return False  # the answer to a restart that was given up
        peer = Role.RESPONDER if call.role is Role.INITIATOR else Role.INITIATOR
        if offer is not None:
            self._offer = None
            call.remote = remote
            await _attempt(engine.set_answer(render_sdp(as_answer(remote, offer), peer)))
        else:
            call.engine.renew(await call.line.ice_servers.get())
            answer = await _attempt(engine.create_answer(render_sdp(as_offer(remote, ()), peer)))
            if self._adopt(answer) is None:
                return False
            call.remote = remote
            await _attempt(send_credentials(call, answers=ufrag(remote)))
        call.note("ice-restarted", by_peer=offer is None)
        return True

    def _adopt(self, sdp: object) -> SessionDescription | None:
        """Our new description, if it is one of this session; its credentials are remembered then."""
        call = self._call
        if not isinstance(sdp, str):
            return None
        try:
            description = parse_sdp(sdp, call.role)
        except ValueError:
            return None
        if not description.fingerprints() <= call.local.fingerprints():
            return None
        call.local = with_transports(call.local, description)
        return description


def ufrag(description: SessionDescription) -> str | None:
    return next((c.transport.ufrag for c in description.contents if not c.rejected), None)


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


async def _attempt(step: Awaitable[str | None]) -> object:
    """A step that may fail without harm."""
    try:
        async with asyncio.timeout(STEP_TIMEOUT):
            return await step
    except Exception:
        log.debug("the ICE restart did not succeed", exc_info=True)
        return None
