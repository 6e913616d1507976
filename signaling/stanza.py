"""Stanzas (RFC 6120 section 8) as lxml elements: builders, error replies, and reading an error."""

from dataclasses import dataclass

from signaling.errors import InvalidJid
from signaling.jid import Jid
from signaling.xml import CLIENT, STANZA_ERRORS, Element, child, element, local_name, namespace_of

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


def error(request: Element, condition: str, text: str = "", *application: Element) -> Element:
    """The error reply to any stanza, addressed back; the payload is not repeated (RFC 6120 8.3.1).

    `application` are elements of an own namespace beside the condition (XEP-0166's `unknown-session`).
    """
    reason = element(STANZA_ERRORS, condition)
    texts = (element(STANZA_ERRORS, "text", text=text),) if text else ()
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
    try:
        return address(stanza, "from")
    except InvalidJid:
        return None
