"""SASL PLAIN (RFC 4616): the only mechanism; the password is an access token (protocol.md section 2)."""

import base64
import binascii
from dataclasses import dataclass, field

from signaling.errors import SaslError

MAX_BYTES = 8192


@dataclass(frozen=True, slots=True)
class PlainCredentials:
    """`authcid` is the account (its number); `authzid` is nearly always empty."""

    authcid: str
    password: str = field(repr=False)
    authzid: str = ""


def encode_plain(credentials: PlainCredentials) -> str:
    """The base64 text of `<auth mechanism='PLAIN'>`."""
    parts = (credentials.authzid, credentials.authcid, credentials.password)
    if any("\0" in part for part in parts):
        raise ValueError("NUL in credentials")
    return base64.b64encode("\0".join(parts).encode()).decode()


def decode_plain(text: str) -> PlainCredentials:
    """Raises SaslError (`incorrect-encoding` or `malformed-request`, RFC 6120 6.5)."""
    if len(text) > MAX_BYTES:
        raise SaslError("PLAIN message too long", "malformed-request")
    try:
        message = base64.b64decode(text.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise SaslError("PLAIN message is not base64 of UTF-8", "incorrect-encoding") from None
    parts = message.split("\0")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise SaslError("PLAIN message has not three parts", "malformed-request")
    return PlainCredentials(authcid=parts[1], password=parts[2], authzid=parts[0])
