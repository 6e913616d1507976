"""Who calls whom: phone numbers, XMPP over WebSocket and Jingle. Needs no media library."""

from typing import TYPE_CHECKING, Any

from signaling.engine import IceServer, IceServerConfig, IceTransportPolicy, MediaEngine
from signaling.errors import (
    CallBusy,
    CallError,
    CallFailed,
    CallNotRegistered,
    CallRejected,
    CallTimeout,
    CallUnreachable,
    CallUntrusted,
    ChangeRefused,
    InvalidNumber,
    ProfileError,
    RegistrationError,
    RemoteProtocolError,
    ServerUnreachable,
    SignalingError,
)

if TYPE_CHECKING:
    from signaling.client import Call, CallEvent, Client, IncomingCall, MissedCall, Profile

__all__ = [
    "Call",
    "CallBusy",
    "CallError",
    "CallEvent",
    "CallFailed",
    "CallNotRegistered",
    "CallRejected",
    "CallTimeout",
    "CallUnreachable",
    "CallUntrusted",
    "ChangeRefused",
    "Client",
    "IceServer",
    "IceServerConfig",
    "IceTransportPolicy",
    "IncomingCall",
    "InvalidNumber",
    "MediaEngine",
    "MissedCall",
    "Profile",
    "ProfileError",
    "RegistrationError",
    "RemoteProtocolError",
    "ServerUnreachable",
    "SignalingError",
]

_CLIENT = frozenset(("Call", "CallEvent", "Client", "IncomingCall", "MissedCall", "Profile"))


def __getattr__(name: str) -> Any:
    # The client is loaded when it is first used: the server and the parsers start without it.
    if name in _CLIENT:
        import signaling.client

        return getattr(signaling.client, name)
    raise AttributeError(f"module 'signaling' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
