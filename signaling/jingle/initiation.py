"""Jingle Message Initiation (XEP-0353): ringing every device of an account before a session exists.

    caller                                   callee's devices
    propose  -> (bare JID)
                                   (bare) <- ringing
                                   (bare) <- proceed | reject          accept -> own devices
    retract  -> (bare JID)
    finish   -> (bare JID and own devices), both sides, when the session is over

Every message asks the server to store it (XEP-0334), so that a missed call is still listed.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lxml import etree

from signaling import stanza as st
from signaling.jid import Jid
from signaling.jingle.content import add_reason, parse_reason
from signaling.jingle.description import NS_RTP
from signaling.jingle.syntax import NS_RINGLINE, JingleError, add, limited, matching, q, token
from signaling.tokens import MAX_TIME
from signaling.xml import DELAY, HINTS, Element, child, element

NS_JMI = "urn:xmpp:jingle-message:0"
NS_JINGLE = "urn:xmpp:jingle:1"

_MEDIA = re.compile(r"audio|video")


class Kind(StrEnum):
    PROPOSE = "propose"
    RINGING = "ringing"
    PROCEED = "proceed"
    ACCEPT = "accept"
    REJECT = "reject"
    RETRACT = "retract"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Initiation:
    """One message. `reason` is a Jingle condition (XEP-0166 section 7.4)."""

    kind: Kind
    sid: str
    media: tuple[str, ...] = ()
    reason: str | None = None
    text: str | None = None
    tie_break: bool = False
    migrated_to: str | None = None
    preconnect: bool = False  # the sender would connect while it rings


def parse_initiation(message: Element) -> Initiation | None:
    """The initiation in a `<message/>`, None if there is none.

    Raises:
        JingleError: there is one, but malformed.
    """
    found = next((c for c in message if etree.QName(c).namespace == NS_JMI), None)
    if found is None:
        return None
    try:
        kind = Kind(etree.QName(found).localname)
    except ValueError:
        return None
    descriptions = limited(found.findall(q(NS_RTP, "description")), 2, "media")
    reason, text = parse_reason(found.find(q(NS_JINGLE, "reason")))
    migrated = found.find(q(NS_JMI, "migrated"))
    media = tuple(matching(d.get("media"), _MEDIA, "media") for d in descriptions)
    if kind is Kind.PROPOSE and not media:
        raise JingleError("a proposal without media that are understood")
    return Initiation(
        kind=kind,
        sid=token(found.get("id"), "id"),
        media=media,
        reason=reason,
        text=text,
        tie_break=found.find(q(NS_JMI, "tie-break")) is not None,
        migrated_to=None if migrated is None else token(migrated.get("to"), "to"),
        preconnect=found.find(q(NS_RINGLINE, "preconnect")) is not None,
    )


def is_delayed(message: Element) -> bool:
    """Whether the message lay in a store (XEP-0203): such a one never rings."""
    return child(message, DELAY, "delay") is not None


def stored_at(message: Element, domain: str) -> float | None:
    """When the server of this domain took the message into its store (Unix time); nobody else is believed."""
    for delay in message.iterchildren(q(DELAY, "delay")):
        if delay.get("from") == domain:
            try:
                stamp = datetime.fromisoformat(delay.get("stamp") or "")
                at = stamp.timestamp()
                return at if stamp.tzinfo and 0 <= at <= MAX_TIME else None
            except (ValueError, OverflowError):
                return None
    return None


def build_initiation(initiation: Initiation, to: Jid, id: str) -> Element:
    """The whole `<message/>`."""
    body = element(NS_JMI, initiation.kind, {"id": initiation.sid})
    for media in initiation.media:
        add(body, NS_RTP, "description", media=media)
    if initiation.reason is not None:
        add_reason(body, initiation.reason, initiation.text)
    if initiation.tie_break:
        add(body, NS_JMI, "tie-break")
    if initiation.migrated_to is not None:
        add(body, NS_JMI, "migrated", to=initiation.migrated_to)
    if initiation.preconnect:
        add(body, NS_RINGLINE, "preconnect")
    return st.message(to, body, element(HINTS, "store"), id=id)
