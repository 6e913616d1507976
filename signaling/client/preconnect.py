"""Connecting while it rings (docs/protocol.md section 4): the session begins before the call is taken, media after.

The session's own phases (negotiation, running) go on as in any call. What belongs to the ringing comes in between: it
is heard here, before the phase that reads it.
"""

from typing import TYPE_CHECKING

from signaling.client.line import Accepted, Ending, InitiationReceived, Input
from signaling.jid import Jid
from signaling.jingle.content import Role
from signaling.jingle.initiation import Initiation, Kind
from signaling.jingle.session import EndReason, State, Step, reason_of

if TYPE_CHECKING:
    from signaling.client.live_call import LiveCall


def may_preconnect(call: "LiveCall", device: Jid) -> bool:
    """Whether this device of the peer may learn our addresses while it rings: if we want to at all, with a device
    whose key is pinned (nobody else could prove in time who he is), and with an engine that can wait with media.

    The caller also does it only where the number has one device: its engine can connect to one.
    """
    line, media = call.line, call.engine
    if not line.preconnect or media is None or not media.can_preconnect or not call.known:
        return False
    if device.resource not in line.profile.pins(call.number):
        return False
    contact = line.contacts.cached(call.number)
    return call.role is Role.RESPONDER or (contact is not None and len(contact.devices) == 1)


class Preconnect:
    """From the session-initiate of a call that rings until it is taken or over. `deadline`: of the ringing."""

    def __init__(self, call: "LiveCall", deadline: float) -> None:
        assert call.engine is not None
        self._call = call
        self._deadline = deadline
        call.engine.set_enabled(False)

    def within(self, deadline: float | None) -> float:
        return self._deadline if deadline is None else min(deadline, self._deadline)

    def handle_timer(self) -> None:
        """Raises Ending when it has rung long enough."""
        if self._call.line.clock() >= self._deadline:
            raise Ending(EndReason.TIMEOUT)

    def hear(self, item: Input) -> None:
        """Raises Ending when the call is not taken, or by another device."""
        call = self._call
        match item:
            case Accepted():
                call.line.profile.remember(call.number)
                call.line.say(Initiation(Kind.PROCEED, call.sid), call.peer.bare)
                call.line.say(Initiation(Kind.ACCEPT, call.sid), call.line.own.bare)
                self._taken()
            case InitiationReceived(Initiation(kind=Kind.PROCEED), sender):
                if sender != call.peer:  # linked since we asked: our engine is bound to the other one
                    raise Ending(
                        EndReason.FAILED, "another device took the call than the one that was connected"
                    )
                self._taken()
            case InitiationReceived(Initiation(kind=Kind.REJECT) as reject) if call.role is Role.INITIATOR:
                raise rejected(reject)
            case InitiationReceived(Initiation(kind=Kind.REJECT)):
                raise Ending(EndReason.DECLINED, "on another device", by_peer=True)
            case InitiationReceived(Initiation(kind=Kind.ACCEPT)):
                raise Ending(EndReason.ANSWERED_ELSEWHERE, by_peer=True)
            case InitiationReceived(Initiation(kind=Kind.PROPOSE) as rival, sender):
                reject = Initiation(Kind.REJECT, rival.sid, reason="expired", tie_break=True)
                call.line.say(reject, sender.bare)

    def _taken(self) -> None:
        call = self._call
        assert call.engine is not None
        call.preconnect = None
        call.step(Step.PROCEED, "accepted")
        call.engine.set_enabled(True)
        if call.state is State.CONNECTED:
            call.up()


def rejected(reject: Initiation) -> Ending:
    """What a `<reject/>` of the called number means."""
    if reject.tie_break:  # of a rival call that never reached us
        return Ending(EndReason.BUSY, by_peer=True)
    reason = reason_of(reject.reason or "decline")
    why = reject.reason if reason is EndReason.DECLINED else reject.text
    return Ending(reason, why, by_peer=True)
