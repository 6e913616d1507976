"""The peer's changes in the middle of a call: content-add, -modify and -remove. The engine decides."""

import logging
from dataclasses import replace

from signaling import stanza as st
from signaling.client.agreed import Agreed
from signaling.client.line import Ending, JingleReceived
from signaling.client.live_call import LiveCall
from signaling.jingle.agreement import as_offer, changed, kinds_of, live, without_candidates
from signaling.jingle.content import Action, Group, Jingle, SessionDescription
from signaling.jingle.sdp import parse_sdp, render_sdp
from signaling.jingle.session import EndReason
from signaling.jingle.syntax import MAX_CONTENTS
from signaling.xml import Element

log = logging.getLogger(__name__)


class _Refused(Exception):
    """The change is answered with this stanza error."""


class PeerChanges:
    """Runs in the call's own task. `lowered`: what our answers took back of a content-modify, to be told."""

    def __init__(self, call: LiveCall, agreed: Agreed) -> None:
        self._call = call
        self._agreed = agreed
        self.lowered: dict[str, str] = {}

    async def receive(self, item: JingleReceived) -> None:
        """A content-add, -modify or -remove; its iq is answered when the engine has seen it."""
        call, jingle = self._call, item.jingle
        call.changes_waiting -= 1
        try:
            match jingle.action:
                case Action.CONTENT_ADD:
                    await self._added(jingle, item.request)
                case Action.CONTENT_MODIFY:
                    await self._modified(jingle, item.request)
                case _:
                    await self._removed(jingle, item.request)
        except _Refused as refused:
            self._reply(item.request, str(refused))

    async def _added(self, jingle: Jingle, request: Element | None) -> None:
        call = self._call
        contents = [self._agreed.placed(c) for c in jingle.description.contents]
        names = [c.name for c in contents]
        if live(call.remote).keys() & set(names):
            raise _Refused("bad-request")
        if len({c.name for c in call.remote.contents} | set(names)) > MAX_CONTENTS:
            raise _Refused("resource-constraint")
        self._reply(request)
        answer: SessionDescription | None = None
        reason = "security-error"
        if SessionDescription(tuple(contents)).fingerprints() <= call.remote.fingerprints():
            reason = "failed-application"
            bundled = {n for g in jingle.description.groups for n in g.names} & set(names)
            ufrags = {c.transport.ufrag for c in live(call.remote).values()}
            bundled |= {c.name for c in contents if c.transport.ufrag in ufrags}
            answer = await self._answer(changed(call.remote, added=contents), bundled)
        taken = {c.name: c for c in answer.contents if not c.rejected and c.name in names} if answer else {}
        if answer is not None and len(taken) < len(names):
            reason = "unsupported-applications"
        ours = [replace(taken[n], creator=self._agreed.peer.value) for n in names if n in taken]
        theirs = [replace(c, senders=taken[c.name].senders) for c in contents if c.name in taken]
        refused = [c for c in contents if c.name not in taken]
        dead = [replace(c, rejected=True, senders="none") for c in refused]
        if answer is not None:
            call.remote = without_candidates(changed(call.remote, added=[*theirs, *dead]))
            call.local = changed(call.local, added=[*ours, *dead])
        if ours:
            groups = (Group("BUNDLE", tuple(live(call.local))),) if call.remote.groups else ()
            said = SessionDescription(tuple(ours), groups)
            call.send_jingle(Jingle(Action.CONTENT_ACCEPT, call.sid, said))
            self._agreed.note_media()
            call.note("content-added", kinds_of(ours), by_peer=True)
        if refused:
            said = SessionDescription(tuple(replace(c, description=None) for c in refused))
            call.send_jingle(Jingle(Action.CONTENT_REJECT, call.sid, said, reason=reason))
            call.note("content-rejected", kinds_of(refused), by_peer=True)

    async def _modified(self, jingle: Jingle, request: Element | None) -> None:
        call = self._call
        senders = {c.name: c.senders for c in jingle.description.contents}
        known = live(call.local)
        if not senders.keys() <= known.keys():
            raise _Refused("bad-request")
        answer = await self._answer(changed(call.remote, senders=senders), ())
        if answer is None:
            raise _Refused("not-acceptable")
        final = {c.name: c.senders for c in answer.contents if c.name in senders}
        before = {name: known[name].senders for name in senders}
        self._agreed.apply(senders=final)
        self._reply(request)
        self.lowered |= {name: s for name, s in final.items() if s != senders[name]}
        if final != before:
            call.note("content-changed", kinds_of(known[name] for name in senders), by_peer=True)

    async def _removed(self, jingle: Jingle, request: Element | None) -> None:
        call = self._call
        names = {c.name for c in jingle.description.contents}
        known = live(call.local)
        if not names <= {c.name for c in call.local.contents}:
            raise _Refused("bad-request")
        self._reply(request)
        if known.keys() <= names:  # XEP-0166 section 7.2.5: nothing is left of the session
            raise Ending(EndReason.HUNG_UP, "the other side removed all media")
        gone = [known[name] for name in names & known.keys()]
        if gone:
            await self._answer(changed(call.remote, removed=names), ())
            self._agreed.apply(removed=names)
            call.note("content-removed", kinds_of(gone), by_peer=True)

    async def _answer(
        self, remote: SessionDescription, bundled: set[str] | tuple[()]
    ) -> SessionDescription | None:
        """Our engine's answer; None when it has none, or none that may be given."""
        call = self._call
        assert call.engine is not None
        try:
            offer = render_sdp(as_offer(remote, bundled), self._agreed.peer)
            answer = parse_sdp(await self._agreed.engine(call.engine.engine.create_answer(offer)), call.role)
        except Ending:
            raise
        except Exception:
            log.debug("the engine does not take a change of the peer's", exc_info=True)
            return None
        return answer if answer.fingerprints() <= call.local.fingerprints() else None

    def _reply(self, request: Element | None, condition: str | None = None) -> None:
        if request is not None:
            answer = st.result(request) if condition is None else st.error(request, condition)
            self._call.line.connection.send(answer)
