"""What a value from a peer may look like before it is believed (docs/protocol.md, limits).

Everything that later stands in a line of SDP goes through one of these, so that no XML text can start
a line of its own.
"""

import re

from lxml import etree

from signaling.errors import RemoteProtocolError

NS_RINGLINE = "urn:ringline:0"
NS_JINGLE_ERRORS = "urn:xmpp:jingle:errors:1"

MAX_CONTENTS = 32  # of a session, with those that were stopped
MAX_PAYLOAD_TYPES = 32
MAX_EXTENSIONS = 16
MAX_CANDIDATES = 64
MAX_SOURCES = 64
MAX_PARAMETERS = 32
MAX_ATTRIBUTES = 32

_TOKEN = re.compile(r"[!-~]{1,256}")
_TOKENS = re.compile(r"(?=.{1,256}\Z)[!-~]+(?: [!-~]+)*")


class JingleError(RemoteProtocolError, ValueError):
    """A Jingle stanza or session description is malformed or outside the limits."""


def token(value: str | None, what: str) -> str:
    """One word of visible ASCII, 1 to 256 characters."""
    if value is None or not _TOKEN.fullmatch(value):
        raise JingleError(f"{what} is missing or has characters that are not allowed")
    return value


def tokens(value: str | None, what: str) -> str:
    """Words with single spaces between them, 1 to 256 characters together."""
    if value is None or not _TOKENS.fullmatch(value):
        raise JingleError(f"{what} is missing or has characters that are not allowed")
    return value


def optional_token(value: str | None, what: str) -> str | None:
    return None if value is None else token(value, what)


def integer(value: str | None, what: str, low: int, high: int) -> int:
    """A decimal number in ASCII digits without sign, from low to high."""
    if value is None or not re.fullmatch(r"[0-9]{1,10}", value) or not low <= int(value) <= high:
        raise JingleError(f"{what} is not a number from {low} to {high}")
    return int(value)


def optional_integer(value: str | None, what: str, low: int, high: int) -> int | None:
    return None if value is None else integer(value, what, low, high)


def matching(value: str | None, pattern: re.Pattern[str], what: str) -> str:
    if value is None or not pattern.fullmatch(value):
        raise JingleError(f"{what} is missing or malformed")
    return value


def limited(items: list[etree._Element], limit: int, what: str) -> list[etree._Element]:
    if len(items) > limit:
        raise JingleError(f"more than {limit} {what}")
    return items


def unique(values: list[str], what: str) -> None:
    if len(set(values)) != len(values):
        raise JingleError(f"{what} appears twice")


def q(namespace: str, name: str) -> str:
    """lxml's spelling of a qualified name."""
    return f"{{{namespace}}}{name}"


def add(parent: etree._Element, namespace: str, name: str, /, **attributes: str | None) -> etree._Element:
    """A child element in its own default namespace; attributes that are None are left out.

    `_` in a keyword is `-` in the attribute (`rel_addr`).
    """
    prefix: str | None = None
    child = etree.SubElement(parent, q(namespace, name), nsmap={prefix: namespace})  # type: ignore[dict-item]
    for key, value in attributes.items():
        if value is not None:
            child.set(key.replace("_", "-"), value)
    return child
