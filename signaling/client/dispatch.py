"""Every stanza to the call that it belongs to, after asking whether its sender may say it."""

from collections.abc import Callable
from dataclasses import dataclass

from signaling import stanza as st
from signaling.client.incoming import IncomingCall, ring, ring_session
from signaling.client.line import Ending, InitiationReceived, JingleReceived, Line, MessageBounced
from signaling.client.live_call import LiveCall
from signaling.identity import UsedSids
from signaling.jid import Jid
from signaling.jingle.content import ANSWERS, CHANGES, NS_JINGLE, Action, Jingle, Role, parse_jingle
from signaling.jingle.description import RtpDescription
from signaling.jingle.info import UnsupportedInfo
from signaling.jingle.initiation import Initiation, Kind, is_delayed, parse_initiation, stored_at
from signaling.jingle.session import BEFORE_PROCEED, PRECONNECTING, EndReason, State, Step
from signaling.jingle.syntax import NS_JINGLE_ERRORS, JingleError
from signaling.jingle.transport import CandidatePolicy
from signaling.xml import CLIENT, DISCO_INFO, Element, child, element, is_named

# What foreign clients look for before they show a call button (XEP-0166, 0167, 0176, 0320, 0353).
FEATURES = (
    DISCO_INFO,
    "urn:xmpp:jingle:1",
    "urn:xmpp:jingle:apps:rtp:1",
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:transports:ice-udp:1",
    "urn:xmpp:jingle:apps:dtls:0",
    "urn:xmpp:jingle-message:0",
)
MAX_NODE = 1024
_IN_SESSION = (*PRECONNECTING, State.INITIATED, State.ACCEPTED, State.CONNECTED, State.DISCONNECTED)
MAX_UNHEARD = 16
UNKNOWN_CALLER = "unknown caller"  # why a call is a missed one
# Ends of a call that was not taken of which the user knows already, or which another device tells.
_KNOWN_ENDS = (
    EndReason.DECLINED,
    EndReason.BUSY,
    EndReason.ANSWERED_ELSEWHERE,
    EndReason.REPLACED,
    EndReason.UNTRUSTED,
)
# When an action may come: (our role or None for both, states).
_ALLOWED: dict[Action, tuple[Role | None, tuple[State, ...]]] = {
    Action.SESSION_INITIATE: (Role.RESPONDER, (State.PROCEEDED,)),
    Action.SESSION_ACCEPT: (Role.INITIATOR, (State.INITIATED, State.PREINITIATED)),
    Action.TRANSPORT_INFO: (None, _IN_SESSION),
    Action.SESSION_INFO: (None, _IN_SESSION),
    Action.SESSION_TERMINATE: (None, tuple(State)),
    **dict.fromkeys((*CHANGES, *ANSWERS), (None, (State.ACCEPTED, State.CONNECTED, State.DISCONNECTED))),
}


@dataclass(frozen=True, slots=True)
class MissedCall:
    """A call that nobody took here. `at` is Unix time; `why`: "unknown caller", "offline", "busy" or "not answered"."""

    number: str
    media: tuple[str, ...]
    at: float
    why: str


def _names(jingle: Jingle) -> set[str]:
    return {content.name for content in jingle.description.contents}


class Dispatch:
    """The calls of a client, by sid, and what may be said to them."""

    def __init__(
        self,
        line: Line,
        ring_here: Callable[[IncomingCall], bool],
        on_missed: Callable[[MissedCall], None],
        *,
        ring_unknown: bool,
        max_calls: int = 1,
    ) -> None:
        self._line = line
        self._ring_here = ring_here
        self._on_missed = on_missed
        self._ring_unknown = ring_unknown
        self._max_calls = max_calls
        self._proposed = UsedSids()
        self.calls: dict[str, LiveCall] = {}
        # Number -> its proposal that did not ring here: the user may be calling that number at this moment.
        self.unheard: dict[str, InitiationReceived] = {}
        self.ignored = 0

    def receive(self, stanza: Element) -> None:
        """Any stanza; what nobody may say is counted and otherwise ignored."""
        sender = st.sender_of(stanza)
        if is_named(stanza, CLIENT, "message"):
            if sender is not None:
                self._message(stanza, sender)
        elif is_named(stanza, CLIENT, "iq") and stanza.get("type") in ("get", "set"):
            answer = self._answer(stanza, sender)
            if answer is not None:
                self._line.connection.send(answer)

    def gone(self, call: LiveCall) -> None:
        """The call has ended."""
        self.calls.pop(call.sid, None)
        not_taken = call.role is Role.RESPONDER and call.timings["accepted"] is None
        if not_taken and call.end_reason not in _KNOWN_ENDS:
            self._miss(call.number, call.media, "not answered")

    def _miss(self, number: str, media: tuple[str, ...], why: str, at: float | None = None) -> None:
        self._on_missed(MissedCall(number, media, self._line.wall_clock() if at is None else at, why))

    # Messages (XEP-0353).

    def _message(self, message: Element, sender: Jid) -> None:
        if message.get("type") == "error":
            return self._bounced(message, sender)
        try:
            initiation = parse_initiation(message)
        except JingleError:
            initiation = None
        if initiation is None or sender == self._line.own:  # the copy of what we said ourselves
            return
        call = self.calls.get(initiation.sid)
        if initiation.kind is Kind.RETRACT and sender.number is not None:
            unheard = self.unheard.get(sender.number)
            if unheard is not None and unheard.initiation.sid == initiation.sid:
                del self.unheard[sender.number]
        if initiation.kind is Kind.PROPOSE:
            if sender.bare != self._line.own.bare:
                at = stored_at(message, self._line.own.domain)
                self._propose(initiation, sender, is_delayed(message), at)
        elif call is None or not self._may_say(call, initiation.kind, sender):
            self.ignored += 1
        elif initiation.kind is Kind.PROCEED and call.state not in BEFORE_PROCEED:
            if sender != call.peer:  # two devices took the call at once: the first one has it
                self._line.say(Initiation(Kind.RETRACT, call.sid, reason="cancel"), sender)
        else:
            call.post(InitiationReceived(initiation, sender))

    def _may_say(self, call: LiveCall, kind: Kind, sender: Jid) -> bool:
        peer_says = sender.bare == call.peer.bare
        if kind in (Kind.RINGING, Kind.PROCEED):
            return peer_says and call.role is Role.INITIATOR
        if kind is Kind.RETRACT:
            return call.role is Role.RESPONDER and sender == call.peer
        if sender.bare == self._line.own.bare:  # accept, reject and finish of our other devices
            return call.role is Role.RESPONDER and call.state in BEFORE_PROCEED
        if kind is Kind.REJECT:
            return peer_says and call.role is Role.INITIATOR
        return kind is Kind.FINISH and peer_says

    def _bounced(self, message: Element, sender: Jid) -> None:
        kind, _, sid = (message.get("id") or "").partition("-")
        call = self.calls.get(sid)
        error = st.error_of(message)
        if kind == Kind.PROPOSE and call is not None and error is not None:
            domain = Jid("", self._line.own.domain)
            if sender in (call.peer.bare, domain, self._line.own.bare) and call.state in BEFORE_PROCEED:
                call.post(MessageBounced(error))

    def _propose(self, proposal: Initiation, sender: Jid, delayed: bool, at: float | None) -> None:
        number, line = sender.number, self._line
        if number is None or sender.domain != line.own.domain or not sender.is_full:
            self.ignored += 1
            return
        if proposal.sid in self._proposed or proposal.sid in self.calls:
            self.ignored += 1  # said twice, or replayed
            return
        self._proposed.add(proposal.sid)
        if delayed:
            self._keep_unheard(number, proposal, sender)
            return self._miss(number, proposal.media, "offline", at)
        known = line.profile.knows(number)
        live = [call for call in self.calls.values() if not call.is_over]
        same = [call for call in live if call.number == number]
        for call in same:
            if call.role is Role.INITIATOR and call.state in (State.NEW, *BEFORE_PROCEED):
                call.post(InitiationReceived(proposal, sender))  # glare: the call decides
                return
        if not known and not self._ring_unknown and not same:
            self._keep_unheard(number, proposal, sender)
            return self._miss(number, proposal.media, UNKNOWN_CALLER)
        if len(live) - len(same) >= self._max_calls:
            return self._say_busy(proposal, sender)
        for call in same:
            call.stop(Ending(EndReason.REPLACED, migrated_to=proposal.sid))
        call = LiveCall(line, Role.RESPONDER, number, proposal.sid, proposal.media, sender, ring)
        call.peer_preconnects = proposal.preconnect
        if not self._ring_here(IncomingCall(call, known)):
            return self._say_busy(proposal, sender)
        self.calls[call.sid] = call
        call.step(Step.PROPOSE)
        call.start()

    def _keep_unheard(self, number: str, proposal: Initiation, sender: Jid) -> None:
        self.unheard.pop(number, None)
        self.unheard[number] = InitiationReceived(proposal, sender)
        if len(self.unheard) > MAX_UNHEARD:
            self.unheard.pop(next(iter(self.unheard)))

    def _say_busy(self, proposal: Initiation, sender: Jid) -> None:
        reject = Initiation(Kind.REJECT, proposal.sid, reason="busy")
        self._line.say(reject, sender.bare, self._line.own.bare)
        number = sender.number
        if number is not None:
            self._miss(number, proposal.media, "busy")

    # Questions.

    def _answer(self, iq: Element, sender: Jid | None) -> Element | None:
        """None when the call answers it later."""
        jingle = child(iq, NS_JINGLE, "jingle")
        call = None if jingle is None else self.calls.get(jingle.get("sid") or "")
        if jingle is not None and call is None and jingle.get("action") == Action.SESSION_INITIATE:
            answer = self._uninvited(iq, jingle, sender)
            if answer is not None:
                return answer
        if sender is None or not self._may_know(sender):
            # The same as when this device is offline: strangers learn nothing.
            self.ignored += 1
            return st.error(iq, "service-unavailable")
        if jingle is not None and iq.get("type") == "set":
            if call is None or call.peer != sender or call.is_over:
                return self._jingle_error(iq, "item-not-found", "unknown-session")
            return self._jingle(iq, jingle, call)
        query = child(iq, DISCO_INFO, "query")
        if query is not None and iq.get("type") == "get":
            if len(query.get("node") or "") > MAX_NODE:  # it is repeated, and would make the answer as long
                return st.error(iq, "item-not-found")
            identity = element(
                DISCO_INFO, "identity", {"category": "client", "type": "phone", "name": "Ringline"}
            )
            features = [element(DISCO_INFO, "feature", {"var": name}) for name in FEATURES]
            return st.result(
                iq, element(DISCO_INFO, "query", {"node": query.get("node")}, identity, *features)
            )
        return st.error(iq, "service-unavailable")

    def _uninvited(self, iq: Element, body: Element, sender: Jid | None) -> Element | None:
        """A session-initiate without a proposal before it (a foreign client): the answer when it may ring."""
        number = None if sender is None or not sender.is_full else sender.number
        if (
            sender is None
            or number in (None, self._line.own.local)  # what calls in the own name is nobody's to trust
            or iq.get("type") != "set"
            or sender.domain != self._line.own.domain
        ):
            return None
        policy = CandidatePolicy(allow_loopback=self._line.allow_loopback)
        try:
            offer = parse_jingle(body, policy)
        except JingleError as error:
            return st.error(iq, "bad-request", str(error)) if self._may_know(sender) else None
        if offer.sid in self._proposed:  # over already, or replayed
            return None
        self._proposed.add(offer.sid)
        contents = [c.description for c in offer.description.contents]
        media = tuple(sorted({d.kind for d in contents if isinstance(d, RtpDescription)}))
        known = self._line.profile.knows(number)
        if not known and not self._ring_unknown:
            self._miss(number, media, UNKNOWN_CALLER)
            return None
        call = LiveCall(
            self._line, Role.RESPONDER, number, offer.sid, media, sender, lambda c: ring_session(c, offer)
        )
        busy = sum(not other.is_over for other in self.calls.values()) >= self._max_calls
        if not media or busy or not self._ring_here(IncomingCall(call, known)):
            self._miss(number, media, "busy")
            return st.error(iq, "resource-constraint", "busy")
        call.policy = policy
        call.step(Step.INITIATE, "session_initiate")
        self.calls[call.sid] = call
        call.start()
        return st.result(iq)

    def _may_know(self, sender: Jid) -> bool:
        """Those who are in a call with us anyway, and those whom we know."""
        if any(call.peer.bare == sender.bare for call in self.calls.values()):
            return True
        return sender.number is not None and self._line.profile.knows(sender.number)

    def _jingle(self, iq: Element, body: Element, call: LiveCall) -> Element | None:
        try:
            jingle = parse_jingle(body, call.policy)
        except UnsupportedInfo:
            return self._jingle_error(iq, "feature-not-implemented", "unsupported-info")
        except JingleError as error:
            action = body.get("action")
            if action in (Action.SESSION_INITIATE, Action.SESSION_ACCEPT) and self._fits(
                call, Action(action)
            ):
                call.stop(Ending(EndReason.INCOMPATIBLE, str(error)))
            unknown = error.condition == "feature-not-implemented"
            return st.error(iq, "feature-not-implemented" if unknown else "bad-request", str(error))
        if not self._fits(call, jingle.action):
            return self._jingle_error(iq, "unexpected-request", "out-of-order")
        if jingle.action in CHANGES:
            return self._change(iq, jingle, call)
        if jingle.action in ANSWERS and not _names(jingle) <= call.awaiting:
            return self._jingle_error(iq, "unexpected-request", "out-of-order")
        if jingle.action in (Action.TRANSPORT_INFO, Action.SESSION_INFO) and not call.may_inform():
            return st.error(iq, "resource-constraint", f"too many {jingle.action}s")
        if jingle.action is Action.SESSION_INFO:
            known = {c.name for c in call.remote.contents if not c.rejected}
            if not {info.name for info in jingle.infos} <= {None, *known}:
                return st.error(iq, "bad-request", "there is no such content")
        if not call.post(JingleReceived(jingle)):
            return st.error(iq, "resource-constraint", "too much at once")
        return st.result(iq)

    def _change(self, iq: Element, jingle: Jingle, call: LiveCall) -> Element | None:
        """A change of the contents is answered by the call, when its engine has seen it."""
        if call.changing and call.role is Role.INITIATOR:
            return self._jingle_error(iq, "conflict", "tie-break")
        if not call.may_change():
            return st.error(iq, "resource-constraint", "too many changes")
        if not call.post(JingleReceived(jingle, iq)):
            return st.error(iq, "resource-constraint", "too much at once")
        return None

    @staticmethod
    def _fits(call: LiveCall, action: Action) -> bool:
        if action is Action.SESSION_INITIATE and call.offers_preconnect and call.state is State.RINGING:
            return True
        role, states = _ALLOWED[action]
        return (role is None or role is call.role) and call.state in states

    @staticmethod
    def _jingle_error(iq: Element, condition: str, name: str) -> Element:
        return st.error(iq, condition, "", element(NS_JINGLE_ERRORS, name))
