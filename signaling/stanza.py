"""Stanzas (RFC 6120 section 8) as lxml elements: builders, error replies, and reading an error."""

from dataclasses import dataclass

from signaling.errors import InvalidJid
from signaling.jid import Jid
from signaling.xml import (
    CLIENT,
    HINTS,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_FRAME_BYTES,
    STANZA_ERRORS,
    Element,
    byte_length,
    child,
    element,
    is_deeper,
    local_name,
    namespace_of,
    serialise,
)

# What a server may still add to a stanza that it has taken: a <delay/> (XEP-0203) with its domain.
ADDED_BYTES = 2048
ADDED_ELEMENTS = 8
MAX_STANZA_BYTES = MAX_FRAME_BYTES - ADDED_BYTES
# An answer repeats id and address; with longer ones it might be too large itself.
MAX_ID_BYTES = 1024
MAX_ADDRESS_BYTES = 3 * 1024
MAX_ERROR_TEXT = 512

# RFC 6120 8.3.3: condition -> the error type that the RFC recommends.
ERROR_TYPES = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "remote-server-not-found": "cancel",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "undefined-condition": "cancel",
    "unexpected-request": "wait",
}
IQ_TYPES = frozenset(("get", "set", "result", "error"))
STANZAS = frozenset(f"{{{CLIENT}}}{name}" for name in ("message", "iq", "presence"))


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What an `<error/>` says: `condition` (RFC 6120 8.3.3), `type` (cancel, wait, ...), `text`, and the tag
    of an application-specific condition (`{namespace}name`) or None."""

    condition: str
    type: str
    text: str = ""
    application: str | None = None


def is_stanza(node: Element) -> bool:
    """A message, iq or presence in `jabber:client`."""
    return node.tag in STANZAS


def _stanza(
    kind: str, to: object, id_: str | None, type_: str | None, content: tuple[Element, ...]
) -> Element:
    attributes = {"to": None if to is None else str(to), "id": id_, "type": type_}
    return element(CLIENT, kind, attributes, *content)


def message(to: Jid | str, *content: Element, id: str | None = None, type: str | None = "chat") -> Element:
    return _stanza("message", to, id, type, content)


def iq(type: str, *content: Element, id: str, to: Jid | str | None = None) -> Element:
    """`type` is get, set, result or error; `to` None is the own account."""
    return _stanza("iq", to, id, type, content)


def presence(*content: Element, to: Jid | str | None = None, type: str | None = None) -> Element:
    return _stanza("presence", to, None, type, content)


def result(request: Element, *content: Element) -> Element:
    """The `result` of an iq get or set, addressed back."""
    answer = _stanza("iq", request.get("from"), request.get("id"), "result", content)
    if request.get("to"):
        answer.set("from", request.get("to", ""))
    return answer


def oversize(stanza: Element, max_bytes: int = MAX_STANZA_BYTES) -> str | None:
    """Why not every client would take this stanza from a server; None if every one does.

    Written anew it can be six times as long as it came (`"` becomes `&quot;`), and a server adds to it. What is
    handed on without this question can lock its receiver out: it is sent again, and refused again, for as long as it
    is kept.
    """
    elements = sum(1 for _ in stanza.iter())
    if elements > MAX_ELEMENTS - ADDED_ELEMENTS:
        return f"{elements} elements, at most {MAX_ELEMENTS - ADDED_ELEMENTS}"
    if elements > MAX_DEPTH and is_deeper(stanza, MAX_DEPTH):
        return f"deeper than {MAX_DEPTH} elements"
    size = byte_length(serialise(stanza))
    return f"{size} bytes, at most {max_bytes}" if size > max_bytes else None


def is_answerable(stanza: Element) -> bool:
    """Whether its id and its address are short enough to be repeated."""
    id_, to = stanza.get("id") or "", stanza.get("to") or ""
    return byte_length(id_) <= MAX_ID_BYTES and byte_length(to) <= MAX_ADDRESS_BYTES


def is_to_be_kept(stanza: Element) -> bool:
    """A message that asks for it (XEP-0334) and may: not a groupchat's, no headline, no error."""
    return (
        local_name(stanza) == "message"
        and stanza.get("type") not in ("error", "groupchat", "headline")
        and child(stanza, HINTS, "store") is not None
    )


def error(request: Element, condition: str, text: str = "", *application: Element) -> Element:
    """The error reply to any stanza, addressed back; the payload is not repeated (RFC 6120 8.3.1).

    `application` are elements of an own namespace beside the condition (XEP-0166's `unknown-session`).
    """
    reason = element(STANZA_ERRORS, condition)
    texts = (element(STANZA_ERRORS, "text", text=text[:MAX_ERROR_TEXT]),) if text else ()
    body = element(CLIENT, "error", {"type": ERROR_TYPES[condition]}, reason, *texts, *application)
    answer = _stanza(local_name(request), request.get("from"), request.get("id"), "error", (body,))
    if request.get("to"):
        answer.set("from", request.get("to", ""))
    return answer


def error_of(stanza: Element) -> ErrorInfo | None:
    """The error that a stanza of type `error` carries; None for any other stanza."""
    if stanza.get("type") != "error":
        return None
    body = child(stanza, CLIENT, "error")
    condition, text, application = "undefined-condition", "", None
    if body is None:
        return ErrorInfo(condition, "cancel")
    for node in body:
        if namespace_of(node) != STANZA_ERRORS:
            application = str(node.tag)
        elif local_name(node) == "text":
            text = node.text or ""
        elif local_name(node) in ERROR_TYPES:
            condition = local_name(node)
    return ErrorInfo(condition, body.get("type") or ERROR_TYPES[condition], text, application)


def address(stanza: Element, attribute: str) -> Jid | None:
    """The JID in `to` or `from`; None where absent. Raises InvalidJid."""
    text = stanza.get(attribute)
    return None if text is None else Jid.parse(text)


def sender_of(stanza: Element) -> Jid | None:
    """The JID in `from`; None where absent or unreadable: a client has nothing better to do with those."""
    return _readable(stanza, "from")


def recipient_of(stanza: Element) -> Jid | None:
    """The JID in `to`; None where absent or unreadable."""
    return _readable(stanza, "to")


def _readable(stanza: Element, attribute: str) -> Jid | None:
    try:
        return address(stanza, attribute)
    except InvalidJid:
        return None
