"""The life of a call as a table, and what its ends are called on the wire and to the user."""

from enum import StrEnum

from signaling import words
from signaling.errors import (
    CallBusy,
    CallError,
    CallFailed,
    CallNotRegistered,
    CallRejected,
    CallTimeout,
    CallUnreachable,
    CallUntrusted,
    SignalingError,
)

# Seconds (docs/protocol.md section 4).
RINGING_TIMEOUT = 4.0  # propose -> the first ringing
ANSWER_TIMEOUT = 45.0  # propose -> proceed
INITIATE_TIMEOUT = 10.0  # proceed -> session-initiate
ACCEPT_TIMEOUT = 10.0  # session-initiate -> session-accept
ROUTE_TIMEOUT = 15.0  # session-accept -> connected
RECOVERY_TIMEOUT = 25.0  # disconnected (5 s without a packet) -> connection_lost


class State(StrEnum):
    NEW = "new"
    PROPOSED = "proposed"
    RINGING = "ringing"
    PREINITIATED = "preinitiated"  # these three: the session begins while it rings
    PREACCEPTED = "preaccepted"
    PRECONNECTED = "preconnected"
    PROCEEDED = "proceeded"
    INITIATED = "initiated"
    ACCEPTED = "accepted"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ENDED = "ended"


PRECONNECTING = (State.PREINITIATED, State.PREACCEPTED, State.PRECONNECTED)
BEFORE_PROCEED = (State.PROPOSED, State.RINGING, *PRECONNECTING)


class Step(StrEnum):
    """What happens to a call, whichever side says it."""

    PROPOSE = "propose"
    RING = "ring"
    PROCEED = "proceed"
    INITIATE = "initiate"
    ACCEPT = "accept"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    END = "end"


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.NEW, Step.PROPOSE): State.PROPOSED,
    (State.NEW, Step.INITIATE): State.INITIATED,  # a foreign client without XEP-0353
    (State.PROPOSED, Step.RING): State.RINGING,
    (State.PROPOSED, Step.PROCEED): State.PROCEEDED,
    (State.RINGING, Step.RING): State.RINGING,  # one more device
    (State.RINGING, Step.PROCEED): State.PROCEEDED,
    (State.RINGING, Step.INITIATE): State.PREINITIATED,
    (State.PREINITIATED, Step.ACCEPT): State.PREACCEPTED,
    (State.PREACCEPTED, Step.CONNECT): State.PRECONNECTED,
    (State.PRECONNECTED, Step.DISCONNECT): State.PREACCEPTED,
    (State.PREINITIATED, Step.PROCEED): State.INITIATED,
    (State.PREACCEPTED, Step.PROCEED): State.ACCEPTED,
    (State.PRECONNECTED, Step.PROCEED): State.CONNECTED,
    (State.PROCEEDED, Step.INITIATE): State.INITIATED,
    (State.INITIATED, Step.ACCEPT): State.ACCEPTED,
    (State.ACCEPTED, Step.CONNECT): State.CONNECTED,
    (State.CONNECTED, Step.DISCONNECT): State.DISCONNECTED,
    (State.DISCONNECTED, Step.CONNECT): State.CONNECTED,
    **{(state, Step.END): State.ENDED for state in State if state is not State.ENDED},
}


class IllegalStep(SignalingError):
    """The table has no such step; nothing was changed."""


def advance(state: State, step: Step) -> State:
    """The next state.

    Raises:
        IllegalStep: the table has none.
    """
    following = TRANSITIONS.get((state, step))
    if following is None:
        raise IllegalStep(f"{step} is not possible while {state}")
    return following


class EndReason(StrEnum):
    """Why a call is over: what `call.end_reason` is."""

    HUNG_UP = "hung_up"
    CANCELLED = "cancelled"
    DECLINED = "declined"
    BUSY = "busy"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    NOT_REGISTERED = "not_registered"
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    REPLACED = "replaced"
    UNTRUSTED = "untrusted"
    INCOMPATIBLE = "incompatible"
    NO_ROUTE = "no_route"
    CONNECTION_LOST = "connection_lost"
    NO_SIGNALING = "no_signaling"
    FAILED = "failed"


# Our reason -> the condition of XEP-0166 section 7.4 that tells it to the peer.
CONDITIONS: dict[EndReason, str] = {
    EndReason.HUNG_UP: "success",
    EndReason.CANCELLED: "cancel",
    EndReason.DECLINED: "decline",
    EndReason.BUSY: "busy",
    EndReason.TIMEOUT: "timeout",
    EndReason.UNREACHABLE: "cancel",
    EndReason.ANSWERED_ELSEWHERE: "cancel",
    EndReason.REPLACED: "expired",
    EndReason.UNTRUSTED: "security-error",
    EndReason.INCOMPATIBLE: "incompatible-parameters",
    EndReason.NO_ROUTE: "failed-transport",
    EndReason.CONNECTION_LOST: "connectivity-error",
    EndReason.NO_SIGNALING: "timeout",
    EndReason.FAILED: "general-error",
}
# The other way round, with what foreign clients say.
REASONS: dict[str, EndReason] = {
    "success": EndReason.HUNG_UP,
    "gone": EndReason.HUNG_UP,
    "cancel": EndReason.CANCELLED,
    "decline": EndReason.DECLINED,
    "busy": EndReason.BUSY,
    "timeout": EndReason.TIMEOUT,
    "expired": EndReason.REPLACED,
    "alternative-session": EndReason.REPLACED,
    "security-error": EndReason.UNTRUSTED,
    "incompatible-parameters": EndReason.INCOMPATIBLE,
    "unsupported-applications": EndReason.INCOMPATIBLE,
    "unsupported-transports": EndReason.INCOMPATIBLE,
    "failed-application": EndReason.INCOMPATIBLE,
    "failed-transport": EndReason.NO_ROUTE,
    "connectivity-error": EndReason.CONNECTION_LOST,
}


def reason_of(condition: str | None) -> EndReason:
    """What a peer's condition means; FAILED for one that nobody knows."""
    return REASONS.get(condition or "", EndReason.FAILED)


def error_for(
    reason: EndReason, number: str, why: str | None, *, by_peer: bool = False, hint: str = ""
) -> CallError:
    """What `Client.call` and `IncomingCall.accept` raise when a call ends before media flows."""
    match reason:
        case EndReason.NOT_REGISTERED:
            return CallNotRegistered(number)
        case EndReason.UNREACHABLE:
            return CallUnreachable(number)
        case EndReason.BUSY:
            return CallBusy(number)
        case EndReason.DECLINED:
            return CallRejected(number, why or "decline")
        case EndReason.TIMEOUT:
            return CallTimeout(number, why)
        case EndReason.UNTRUSTED:
            return CallUntrusted(number, why or "no reason was given", by_peer=by_peer, hint=hint)
    return CallFailed(reason, words.call_end(reason, number, by_peer=by_peer, why=why))
