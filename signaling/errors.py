"""All errors of the signaling package, one tree.

SignalingError
|- CallError                what became of a call that was asked for
|  |- CallNotRegistered     the number is not registered, or may not be found
|  |- CallUnreachable       registered, but no device rang in time
|  |- CallBusy              a device of the account is in a call
|  |- CallRejected          declined; .reason
|  |- CallTimeout           rang, nobody answered
|  |- CallUntrusted         the peer's identity could not be verified; .number, .why
|  `- CallFailed            anything else that ends a call; .reason
|- ChangeRefused            a change in the middle of a call did not come about, the call goes on; .why
|- RegistrationError        the server's problem+json answer; .code, .title, .retry_after_s, .tries_left
|- ProfileError             the profile cannot be read, written or locked
|- ServerUnreachable        no answer from the server
|- StanzaTooLarge           what was to be sent is more than goes through a server
|- ServerStartError         the server cannot start
|- DataError              a server's data cannot be read, backed up or restored
|- InvalidNumber            not a phone number (also a ValueError)
`- RemoteProtocolError      the remote sent what the protocol does not allow; .condition
   |- XmlError              a frame that is not acceptable XML
   |- InvalidJid            not a Jabber identifier
   |- SaslError             a SASL exchange that cannot be read; .condition is the RFC 6120 6.5 name
   `- TokenError            a proof, assertion or token that does not verify

Each error's `str()` is a sentence for a person (signaling/words.py); what programs look at are its class and fields.
"""

from signaling import words

__all__ = [
    "DataError",
    "CallBusy",
    "CallError",
    "CallFailed",
    "CallNotRegistered",
    "CallRejected",
    "CallTimeout",
    "CallUnreachable",
    "CallUntrusted",
    "ChangeRefused",
    "InvalidJid",
    "InvalidNumber",
    "ProfileError",
    "RegistrationError",
    "RemoteProtocolError",
    "SaslError",
    "ServerStartError",
    "ServerUnreachable",
    "SignalingError",
    "StanzaTooLarge",
    "TokenError",
    "XmlError",
]


class SignalingError(Exception):
    """Root of the tree. `str()` is one line that can be shown to a user."""


class CallError(SignalingError):
    """A call that did not come about, or ended otherwise than by hanging up."""


class CallNotRegistered(CallError):
    """The number is not registered, or its owner does not want to be found (the two look alike)."""

    def __init__(self, number: str) -> None:
        super().__init__(words.call_end("not_registered", number))
        self.number = number


class CallUnreachable(CallError):
    """The number is registered, but none of its devices rang: offline, or not for this caller."""

    def __init__(self, number: str) -> None:
        super().__init__(words.call_end("unreachable", number))
        self.number = number


class CallBusy(CallError):
    """A device of the account is in a call."""

    def __init__(self, number: str) -> None:
        super().__init__(words.call_end("busy", number, by_peer=True))
        self.number = number


class CallRejected(CallError):
    """The callee said no. `reason` is the Jingle reason (XEP-0166 7.4), usually `decline`, or what else it said."""

    def __init__(self, number: str, reason: str = "decline") -> None:
        why = None if reason == "decline" else reason
        super().__init__(words.call_end("declined", number, by_peer=True, why=why))
        self.number = number
        self.reason = reason


class CallTimeout(CallError):
    """A device rang, nobody answered in time; or it took the call and then fell silent (`why`)."""

    def __init__(self, number: str, why: str | None = None) -> None:
        super().__init__(words.call_end("timeout", number, why=why))
        self.number = number


class CallUntrusted(CallError):
    """The peer's signed identity is missing, wrong, or signed by another key than the known one; or, `by_peer`, the
    other side says so of ours. `hint`: what somebody can do about it."""

    def __init__(self, number: str, why: str, *, by_peer: bool = False, hint: str = "") -> None:
        what = words.call_end("untrusted", number, by_peer=by_peer, why=why)
        super().__init__(what + (f". {hint}" if hint else ""))
        self.number = number
        self.why = why
        self.by_peer = by_peer


class CallFailed(CallError):
    """Any other end of a call; `reason` is an end_reason of protocol.md section 4, `text` the sentence."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class ChangeRefused(SignalingError):
    """What `Call.renegotiate` asked for was not, or not wholly, agreed. The call goes on as it was.

    `media` are the kinds (audio, video, application) that were refused, if it was for single ones.
    """

    def __init__(self, why: str, media: tuple[str, ...] = ()) -> None:
        super().__init__(f"the call goes on as it was, the change was refused: {why}")
        self.why = why
        self.media = media


class RegistrationError(SignalingError):
    """The server refused an HTTP request (protocol.md section 1): its problem+json, as an error.

    `code` is the stable name from the table, `title` what the server says. `retry_after_s` and `tries_left` are
    None where the server did not say.
    """

    def __init__(
        self, code: str, title: str, retry_after_s: float | None = None, tries_left: int | None = None
    ) -> None:
        super().__init__(words.problem(code, title, retry_after_s, tries_left))
        self.code = code
        self.title = title
        self.retry_after_s = retry_after_s
        self.tries_left = tries_left


class ProfileError(SignalingError):
    """The profile file cannot be read, written or locked, or holds something else than a profile."""


class ServerUnreachable(SignalingError):
    """The server cannot be reached, or what answers is not a Ringline server."""


class StanzaTooLarge(SignalingError):
    """What was to be sent is larger, or deeper, than goes through a server. Nothing was sent."""


class ServerStartError(SignalingError):
    """The server cannot start: an option that is not allowed, a port that is taken, a folder in use."""


class DataError(SignalingError):
    """A server's data cannot be read, written or restored; what was there before still is."""


class InvalidNumber(SignalingError, ValueError):
    """Not a valid phone number in any usual spelling."""


class RemoteProtocolError(SignalingError):
    """The remote sent what the protocol does not allow: count it, drop or close; never a traceback.

    `condition` is the defined condition to answer with (RFC 6120 4.9.3 for streams).
    """

    def __init__(self, message: str, condition: str = "bad-format") -> None:
        super().__init__(message)
        self.condition = condition


class XmlError(RemoteProtocolError):
    """Not well-formed (`not-well-formed`), or forbidden or too large (`policy-violation`)."""


class InvalidJid(RemoteProtocolError):
    """Not a JID (RFC 7622)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "improper-addressing")


class SaslError(RemoteProtocolError):
    """A SASL message that cannot be read."""


class TokenError(RemoteProtocolError):
    """A proof, assertion or access token that does not verify.

    `reason` is one of `malformed`, `signature`, `claims`, `expired`, `skew`.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, "not-authorized")
        self.reason = reason
