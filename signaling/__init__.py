"""Who calls whom: phone numbers, XMPP over WebSocket and Jingle. Needs no media library."""

from signaling.errors import (
    CallBusy,
    CallError,
    CallFailed,
    CallNotRegistered,
    CallRejected,
    CallTimeout,
    CallUnreachable,
    CallUntrusted,
    InvalidNumber,
    ProfileError,
    RegistrationError,
    RemoteProtocolError,
    ServerUnreachable,
    SignalingError,
)

__all__ = [
    "CallBusy",
    "CallError",
    "CallFailed",
    "CallNotRegistered",
    "CallRejected",
    "CallTimeout",
    "CallUnreachable",
    "CallUntrusted",
    "InvalidNumber",
    "ProfileError",
    "RegistrationError",
    "RemoteProtocolError",
    "ServerUnreachable",
    "SignalingError",
]
