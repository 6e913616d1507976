"""The `<jingle/>` element (XEP-0166): contents, BUNDLE group (XEP-0338), reason and passport."""

import re
from dataclasses import dataclass
from enum import StrEnum

from lxml import etree

from signaling import xml
from signaling.jingle.description import (
    Attribute,
    Description,
    add_attributes,
    add_description,
    parse_attributes,
    parse_description,
)
from signaling.jingle.info import Info, add_info, parse_infos
from signaling.jingle.syntax import (
    MAX_CONTENTS,
    NS_RINGLINE,
    JingleError,
    add,
    limited,
    matching,
    q,
    token,
    unique,
)
from signaling.jingle.transport import (
    CandidatePolicy,
    Fingerprint,
    Transport,
    add_transport,
    parse_transport,
    parse_ufrag,
)

NS_JINGLE = "urn:xmpp:jingle:1"
NS_GROUPING = "urn:xmpp:jingle:apps:grouping:0"

_SENDERS = re.compile(r"both|initiator|responder|none")
_CREATOR = re.compile(r"initiator|responder")
_SEMANTICS = re.compile(r"[A-Z]{1,16}")
_PASSPORT = re.compile(r"[A-Za-z0-9_-]{1,2048}\.[A-Za-z0-9_-]{1,8192}\.[A-Za-z0-9_-]{1,512}")
_REASON = re.compile(r"[a-z-]{1,32}")
_MAX_TEXT = 200


class Action(StrEnum):
    """The actions of XEP-0166 that are spoken here."""

    SESSION_INITIATE = "session-initiate"
    SESSION_ACCEPT = "session-accept"
    SESSION_INFO = "session-info"
    SESSION_TERMINATE = "session-terminate"
    TRANSPORT_INFO = "transport-info"
    CONTENT_ADD = "content-add"
    CONTENT_ACCEPT = "content-accept"
    CONTENT_REJECT = "content-reject"
    CONTENT_MODIFY = "content-modify"
    CONTENT_REMOVE = "content-remove"


# Those that say all of a content, and those that change the session's contents.
FULL = frozenset((Action.SESSION_INITIATE, Action.SESSION_ACCEPT, Action.CONTENT_ADD, Action.CONTENT_ACCEPT))
LATER = frozenset((Action.CONTENT_ADD, Action.CONTENT_ACCEPT))
CHANGES = frozenset((Action.CONTENT_ADD, Action.CONTENT_MODIFY, Action.CONTENT_REMOVE))
ANSWERS = frozenset((Action.CONTENT_ACCEPT, Action.CONTENT_REJECT))


class Role(StrEnum):
    """The two parties of a session."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


@dataclass(frozen=True, slots=True)
class Content:
    """One media section. `name` is SDP's mid. A transport-info has no description."""

    name: str
    transport: Transport
    description: Description | None = None
    senders: str = "both"
    creator: str = "initiator"
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    semantics: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """All that an SDP offer or answer says."""

    contents: tuple[Content, ...]
    groups: tuple[Group, ...] = ()
    attributes: tuple[Attribute, ...] = ()

    def fingerprints(self) -> frozenset[Fingerprint]:
        """Of all contents, rejected ones too: an engine might read them there."""
        return frozenset(f for c in self.contents for f in c.transport.fingerprints)


@dataclass(frozen=True, slots=True)
class Jingle:
    """A `<jingle/>`. `reason` is the name of the defined condition, e.g. `success`."""

    action: Action
    sid: str
    description: SessionDescription = SessionDescription(())
    initiator: str | None = None
    responder: str | None = None
    reason: str | None = None
    text: str | None = None
    passport: str | None = None
    infos: tuple[Info, ...] = ()
    answers: str | None = None  # in a transport-info: the ufrag of the ICE restart that it answers


def printable(text: str | None) -> str | None:
    """A peer's remark, fit for a terminal: one line, no control characters, not long."""
    if not text:
        return None
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_TEXT]).strip() or None


def parse_reason(element: etree._Element | None) -> tuple[str | None, str | None]:
    """Condition and text of a `<reason/>`; a reason without a condition counts as none."""
    if element is None:
        return None, None
    condition = None
    for child in element:
        name = etree.QName(child)
        if name.namespace == NS_JINGLE and name.localname != "text" and condition is None:
            condition = name.localname
    if condition is not None and not _REASON.fullmatch(condition):
        raise JingleError("the reason is malformed")
    return condition, printable(element.findtext(q(NS_JINGLE, "text")))


def add_reason(parent: etree._Element, reason: str, text: str | None = None) -> None:
    element = add(parent, NS_JINGLE, "reason")
    add(element, NS_JINGLE, reason)
    if text:
        add(element, NS_JINGLE, "text").text = text


def parse_jingle(element: etree._Element, policy: CandidatePolicy) -> Jingle:
    """The element as data. Candidates that `policy` refuses are left out.

    Raises:
        JingleError: malformed or outside the limits. `condition` is `feature-not-implemented` when the action
            is one that is not spoken here. UnsupportedInfo: likewise the content of a session-info.
    """
    if element.tag != q(NS_JINGLE, "jingle"):
        raise JingleError("not a jingle element")
    sid = token(element.get("sid"), "sid")
    try:
        action = Action(element.get("action") or "")
    except ValueError:
        raise JingleError("the action is not understood", "feature-not-implemented") from None
    contents = limited(element.findall(q(NS_JINGLE, "content")), MAX_CONTENTS, "contents")
    unique([c.get("name") or "" for c in contents], "a content's name")
    full = action in FULL
    if not contents and (full or action in CHANGES or action in ANSWERS):
        raise JingleError(f"a {action} needs a content")
    if action is Action.CONTENT_MODIFY and any(c.get("senders") is None for c in contents):
        raise JingleError("a content-modify says who sends")
    reason, text = parse_reason(element.find(q(NS_JINGLE, "reason")))
    passport = element.find(q(NS_RINGLINE, "passport"))
    answers = element.find(q(NS_RINGLINE, "answers"))
    described = SessionDescription(
        contents=tuple(_content(c, full, policy) for c in contents),
        # In the middle of a call a group names contents of before, too.
        groups=_groups(element, None if action in LATER else {c.get("name") or "" for c in contents}),
        attributes=parse_attributes(element),
    )
    return Jingle(
        action=action,
        sid=sid,
        description=described,
        initiator=element.get("initiator"),
        responder=element.get("responder"),
        reason=reason,
        text=text,
        passport=None
        if passport is None
        else matching((passport.text or "").strip(), _PASSPORT, "the passport"),
        answers=None if answers is None else parse_ufrag(answers.get("ufrag")),
        infos=parse_infos(element) if action is Action.SESSION_INFO else (),
    )


def _content(element: etree._Element, full: bool, policy: CandidatePolicy) -> Content:
    name = token(element.get("name"), "a content's name")
    description = next((c for c in element if etree.QName(c).localname == "description"), None)
    transport = next((c for c in element if etree.QName(c).localname == "transport"), None)
    rejected = element.find(q(NS_RINGLINE, "rejected")) is not None
    if full and (description is None or transport is None):
        raise JingleError("a content has no description or no transport")
    parsed = Transport() if transport is None else parse_transport(transport, policy)
    if full and not rejected and (parsed.ufrag is None or parsed.setup is None):
        raise JingleError("a content has no ICE credentials or no DTLS fingerprint")
    return Content(
        name=name,
        transport=parsed,
        description=None if description is None else parse_description(description),
        senders=matching(element.get("senders") or "both", _SENDERS, "senders"),
        creator=matching(element.get("creator") or "initiator", _CREATOR, "creator"),
        rejected=rejected,
    )


def _groups(element: etree._Element, known: set[str] | None) -> tuple[Group, ...]:
    groups = []
    for group in limited(element.findall(q(NS_GROUPING, "group")), MAX_CONTENTS, "groups"):
        members = limited(group.findall(q(NS_GROUPING, "content")), MAX_CONTENTS, "contents in a group")
        names = [token(m.get("name"), "a grouped content") for m in members]
        unique(names, "a grouped content")
        if known is not None and not known.issuperset(names):
            raise JingleError("a group names a content that does not exist")
        groups.append(
            Group(matching(group.get("semantics"), _SEMANTICS, "a group's semantics"), tuple(names))
        )
    return tuple(groups)


def build_jingle(jingle: Jingle) -> etree._Element:
    """The element for the wire."""
    element = xml.element(NS_JINGLE, "jingle")
    element.set("action", jingle.action)
    element.set("sid", jingle.sid)
    for name, jid in (("initiator", jingle.initiator), ("responder", jingle.responder)):
        if jid is not None:
            element.set(name, jid)
    for group in jingle.description.groups:
        child = add(element, NS_GROUPING, "group", semantics=group.semantics)
        for content_name in group.names:
            add(child, NS_GROUPING, "content", name=content_name)
    add_attributes(element, jingle.description.attributes)
    for content in jingle.description.contents:
        _add_content(element, content, jingle.action)
    for info in jingle.infos:
        add_info(element, info)
    if jingle.reason is not None:
        add_reason(element, jingle.reason, jingle.text)
    if jingle.answers is not None:
        add(element, NS_RINGLINE, "answers", ufrag=jingle.answers)
    if jingle.passport is not None:
        add(element, NS_RINGLINE, "passport").text = jingle.passport
    return element


def _add_content(parent: etree._Element, content: Content, action: Action) -> None:
    described = content.description is not None or action is Action.CONTENT_MODIFY
    element = add(
        parent,
        NS_JINGLE,
        "content",
        creator=content.creator,
        name=content.name,
        senders=content.senders if described else None,
    )
    if content.description is not None:
        add_description(element, content.description)
    if action in FULL or action is Action.TRANSPORT_INFO:
        add_transport(element, content.transport)
    if content.rejected:
        add(element, NS_RINGLINE, "rejected")
