"""What the peer, and the own other devices, are told when a call ends here: by the state that it ended in."""

from typing import TYPE_CHECKING

from signaling.client.line import Ending
from signaling.jingle.content import Action, Jingle, Role
from signaling.jingle.initiation import Initiation, Kind
from signaling.jingle.session import CONDITIONS, PRECONNECTING, EndReason, State

if TYPE_CHECKING:
    from signaling.client.live_call import LiveCall


def tell_peer(call: "LiveCall", ending: Ending, before: State) -> None:
    """Without waiting for anything."""
    if before is State.NEW:
        return
    condition = CONDITIONS[ending.reason]
    line, peer, own = call.line, call.peer, call.line.own.bare
    bye = Jingle(Action.SESSION_TERMINATE, call.sid, reason=condition, text=ending.why)
    refused = ending.reason in (EndReason.DECLINED, EndReason.BUSY) and not ending.by_peer
    if before in (State.INITIATED, State.ACCEPTED, State.CONNECTED, State.DISCONNECTED):
        call.send_jingle(bye)
        finish = Initiation(Kind.FINISH, call.sid, reason=condition, migrated_to=ending.migrated_to)
        line.say(finish, peer.bare, own)
    elif call.role is Role.INITIATOR:
        if before in PRECONNECTING:
            call.send_jingle(bye)
        reason = "expired" if ending.tie_break else "cancel"
        line.say(Initiation(Kind.RETRACT, call.sid, reason=reason, tie_break=ending.tie_break), peer.bare)
    elif before is State.PROCEEDED:
        line.say(Initiation(Kind.FINISH, call.sid, reason=condition), peer.bare, own)
    elif refused:
        line.say(Initiation(Kind.REJECT, call.sid, reason=condition), peer.bare, own)
    elif before in PRECONNECTING:
        call.send_jingle(bye)
