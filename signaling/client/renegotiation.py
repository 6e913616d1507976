"""Changes in the middle of a call: contents that are added, modified and removed (XEP-0166 section 7.2).

Ours and the peer's take turns. When both begin at once, the initiator's goes first: its client answers the
other's with `<conflict/>` `<tie-break/>` (dispatch.py), and the responder asks again a moment later. An
agreement changes only with the peer's word, step by step; whatever goes wrong leaves the rest as it was.
"""

import asyncio
from dataclasses import dataclass, field, replace

from signaling.client.agreed import Agreed
from signaling.client.line import Ending, JingleReceived
from signaling.client.live_call import LiveCall, one_line
from signaling.client.peer_changes import PeerChanges
from signaling.client.websocket import StanzaError
from signaling.errors import ChangeRefused, ServerUnreachable
from signaling.jingle.agreement import (
    as_answer,
    changed,
    differences,
    kinds_of,
    live,
    without_candidates,
)
from signaling.jingle.content import Action, Content, Group, Jingle, Role, SessionDescription
from signaling.jingle.sdp import parse_sdp, render_sdp
from signaling.jingle.syntax import NS_JINGLE_ERRORS, JingleError

ANSWER_TIMEOUT = 10.0  # content-add -> content-accept or -reject
RETRIES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds after a tie-break
TIE_BREAK = f"{{{NS_JINGLE_ERRORS}}}tie-break"


class _TieBreak(Exception):
    """The peer's change goes first."""


@dataclass(slots=True)
class _Exchange:
    """One offer of ours, from the question to the answer."""

    offer: SessionDescription
    before: dict[str, str]  # senders
    done: list["asyncio.Future[None]"] = field(default_factory=list)
    added: list[Content] = field(default_factory=list)
    modified: tuple[Content, ...] = ()
    removed: tuple[Content, ...] = ()
    refused: list[Content] = field(default_factory=list)
    why: str = ""
    stale: bool = False  # the engine did something else since it made the offer
    deadline: float = 0.0


class Renegotiation:
    """Both sides' changes of one call. Everything here runs in the call's own task."""

    def __init__(self, call: LiveCall) -> None:
        self._call = call
        self._wanted: list[asyncio.Future[None]] = []
        self._asked = {c.name: c.senders for c in call.local.contents} if call.role is Role.INITIATOR else {}
        self._agreed = Agreed(call)
        self._theirs = PeerChanges(call, self._agreed)
        self._exchange: _Exchange | None = None
        self._retry_at: float | None = None
        self._tries = 0
        self._doubtful: frozenset[str] = frozenset()

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is due."""
        return self._exchange.deadline if self._exchange is not None else self._retry_at

    async def request(self, done: "asyncio.Future[None]") -> None:
        self._wanted.append(done)
        if self._exchange is None and self._retry_at is None:
            self._tries = 0
            await self._begin()

    async def handle_timer(self) -> None:
        if self._exchange is not None:
            self._exchange.why = "no answer"
            await self._give_up_added(self._call.awaiting)
            await self._settle()
        elif self._retry_at is not None:
            self._retry_at = None
            await self._begin()

    def engine_was_used(self) -> None:
        """The engine made another description (an ICE restart): an offer that waits must be made anew."""
        if self._exchange is not None:
            self._exchange.stale = True

    # Our changes.

    async def _begin(self) -> None:
        call, done = self._call, self._wanted
        try:
            offer = await self._offer() if done else call.local
        except Ending:
            raise
        except Exception as error:
            self._wanted = []
            return _fail(done, ChangeRefused(one_line(error)))
        if call.changes_waiting:  # the peer was first
            self._retry_at = call.line.clock()
            return
        self._wanted = []
        exchange = _Exchange(offer, {c.name: c.senders for c in call.local.contents}, done)
        call.changing = True
        try:
            await self._ask_lowered()
            if done:
                await self._ask_all(exchange)
        except _TieBreak:
            call.changing = False
            return self._again(done, "the other side keeps changing the call itself")
        except ServerUnreachable as error:
            call.changing = False
            return self._again(done, one_line(error))
        if not done:
            call.changing = False
            return
        self._exchange = exchange
        if call.awaiting:
            exchange.deadline = call.line.clock() + ANSWER_TIMEOUT
        else:
            await self._settle()

    def _again(self, done: "list[asyncio.Future[None]]", why: str) -> None:
        if self._tries < len(RETRIES):
            self._retry_at = self._call.line.clock() + RETRIES[self._tries]
            self._tries += 1
            self._wanted = done + self._wanted
        else:
            _fail(done, ChangeRefused(why))

    async def _offer(self) -> SessionDescription:
        call = self._call
        assert call.engine is not None
        offer = parse_sdp(await self._agreed.engine(call.engine.engine.create_offer()), call.role)
        if not offer.fingerprints() <= call.local.fingerprints():
            raise JingleError("the engine has another certificate now")
        created = {c.name: c.creator for c in call.local.contents}
        contents = tuple(replace(c, creator=created.get(c.name, call.role.value)) for c in offer.contents)
        return replace(offer, contents=contents)

    async def _ask_lowered(self) -> None:
        """What our answers took back of the peer's changes: a content-modify of its own."""
        lowered = {n: s for n, s in self._theirs.lowered.items() if n in live(self._call.local)}
        if lowered:
            contents = [c for c in self._call.local.contents if c.name in lowered]
            await self._ask(Action.CONTENT_MODIFY, contents)
            self._theirs.lowered = {}

    async def _ask_all(self, exchange: _Exchange) -> None:
        call = self._call
        if self._doubtful:  # the stream was lost when they were asked for: perhaps the peer has them
            await self._ask(Action.CONTENT_REMOVE, self._bare(self._doubtful))
            self._doubtful = frozenset()
        wanted = differences(call.local, exchange.offer, self._asked)
        if wanted.removed:
            await self._ask(Action.CONTENT_REMOVE, wanted.removed)  # refused or not, we have it no more
            self._agreed.apply(removed={c.name for c in wanted.removed})
            exchange.removed = wanted.removed
        if wanted.modified:
            why = await self._ask(Action.CONTENT_MODIFY, wanted.modified)
            senders = {c.name: c.senders for c in wanted.modified}
            if why is None:
                self._asked |= senders
                self._agreed.apply(senders=senders)
                exchange.modified = wanted.modified
            else:
                exchange.why = why
                exchange.refused += wanted.modified
        if wanted.added:
            call.awaiting = frozenset(c.name for c in wanted.added)
            names = tuple(live(exchange.offer))
            try:
                why = await self._ask(Action.CONTENT_ADD, wanted.added, names)
            except BaseException as error:
                if isinstance(error, ServerUnreachable):
                    self._doubtful = call.awaiting
                call.awaiting = frozenset()
                raise
            if why is not None:
                exchange.why, call.awaiting = why, frozenset()
                exchange.refused += wanted.added

    async def _ask(
        self, action: Action, contents: list[Content] | tuple[Content, ...], bundle: tuple[str, ...] = ()
    ) -> str | None:
        """None when the peer took it, else why not. Raises _TieBreak, ServerUnreachable, Ending."""
        groups = (Group("BUNDLE", bundle),) if bundle and self._call.remote.groups else ()
        jingle = Jingle(action, self._call.sid, SessionDescription(tuple(contents), groups))
        try:
            await self._call.during(self._call.ask_jingle(jingle))
        except StanzaError as error:
            if error.info.application == TIE_BREAK or error.info.condition == "conflict":
                raise _TieBreak from None
            return f"the other device answered {error.info.condition}"
        return None

    async def receive_answer(self, jingle: Jingle) -> None:
        """A content-accept or content-reject, for contents that are awaited."""
        call, exchange = self._call, self._exchange
        names = {c.name for c in jingle.description.contents}
        if exchange is None or not names <= call.awaiting:
            return
        call.awaiting -= names
        known = call.remote.fingerprints()
        strange = not jingle.description.fingerprints() <= known
        if jingle.action is Action.CONTENT_REJECT or strange:
            exchange.why = "another fingerprint" if strange else jingle.text or jingle.reason or "rejected"
            if strange:
                await self._give_up_added(names)
            else:
                exchange.refused += [c for c in exchange.offer.contents if c.name in names]
        else:
            exchange.added += [self._agreed.placed(c) for c in jingle.description.contents if not c.rejected]
            exchange.refused += [c for c in jingle.description.contents if c.rejected]
        if not call.awaiting:
            await self._settle()

    async def _settle(self) -> None:
        """The engine gets the answer."""
        call, exchange = self._call, self._exchange
        assert exchange is not None and call.engine is not None
        self._exchange, call.awaiting = None, frozenset()
        added = {c.name: c for c in exchange.added}
        remote = changed(call.remote, added=exchange.added)
        try:
            offer = await self._offer() if exchange.stale else exchange.offer
            answer = render_sdp(as_answer(remote, offer), self._agreed.peer)
            await self._agreed.engine(call.engine.engine.set_answer(answer))
        except Ending:
            raise
        except Exception as error:
            await self._take_back(exchange)
            return _fail(exchange.done, ChangeRefused(one_line(error)))
        finally:
            call.changing = False
        ours = [replace(c, senders=added[c.name].senders) for c in offer.contents if c.name in added]
        self._asked |= {c.name: c.senders for c in offer.contents if c.name in added}
        call.local, call.remote = changed(call.local, added=ours), without_candidates(remote)
        self._agreed.note_media()
        for name, contents in (
            ("content-removed", exchange.removed),
            ("content-changed", exchange.modified),
            ("content-added", ours),
            ("content-rejected", exchange.refused),
        ):
            if contents:
                call.note(name, kinds_of(contents))
        if exchange.why:
            _fail(exchange.done, ChangeRefused(exchange.why, kinds_of(exchange.refused)))
        for done in exchange.done:
            if not done.done():
                done.set_result(None)
        if self._wanted or self._theirs.lowered:
            await self._begin()

    async def _take_back(self, exchange: _Exchange) -> None:
        """Our engine does not want what the peer agreed to."""
        try:
            await self._give_up_added({c.name for c in exchange.added})
            if exchange.modified:
                before = {c.name: exchange.before[c.name] for c in exchange.modified}
                self._agreed.apply(senders=before)
                await self._ask(
                    Action.CONTENT_MODIFY, [c for c in self._call.local.contents if c.name in before]
                )
        except (_TieBreak, ServerUnreachable):
            pass  # the peer sends what nobody takes, until the next change

    async def _give_up_added(self, names: set[str] | frozenset[str]) -> None:
        exchange = self._exchange
        offered = () if exchange is None else exchange.offer.contents
        contents = [c for c in offered if c.name in names]
        if exchange is not None:
            exchange.refused += contents
        if names:
            said = SessionDescription(self._bare(names))
            self._call.send_jingle(Jingle(Action.CONTENT_REMOVE, self._call.sid, said))

    def _bare(self, names: set[str] | frozenset[str]) -> tuple[Content, ...]:
        transport = self._call.local.contents[0].transport
        return tuple(Content(name, transport, creator=self._call.role.value) for name in sorted(names))

    # The peer's changes.

    async def receive(self, item: JingleReceived) -> None:
        """A content-add, -modify or -remove; its iq is answered when the engine has seen it."""
        await self._theirs.receive(item)
        self.engine_was_used()
        if self._theirs.lowered and self._exchange is None and self._retry_at is None:
            self._tries, self._retry_at = 0, self._call.line.clock() + RETRIES[0]


def _fail(done: "list[asyncio.Future[None]]", error: ChangeRefused) -> None:
    for future in done:
        if not future.done():
            future.set_exception(error)
