"""What a session-info says of a call's voice and pictures (XEP-0167 section 7): mute, hold, and their ends."""

from dataclasses import dataclass
from enum import StrEnum

from lxml import etree

from signaling.jingle.syntax import MAX_CONTENTS, JingleError, add, limited, optional_token, q

NS_RTP_INFO = "urn:xmpp:jingle:apps:rtp:info:1"


class InfoKind(StrEnum):
    """The elements of XEP-0167."""

    ACTIVE = "active"
    HOLD = "hold"
    UNHOLD = "unhold"
    MUTE = "mute"
    UNMUTE = "unmute"
    RINGING = "ringing"


@dataclass(frozen=True, slots=True)
class Info:
    """`name` is the content that is meant, None: all of them."""

    kind: InfoKind
    name: str | None = None
    creator: str | None = None


class UnsupportedInfo(JingleError):
    """A session-info that nobody here understands (XEP-0166 section 6.8: `unsupported-info`)."""

    def __init__(self) -> None:
        super().__init__("the session-info is not understood", "feature-not-implemented")


def parse_infos(session_info: etree._Element) -> tuple[Info, ...]:
    """What a `<jingle action='session-info'/>` holds; nothing is a ping.

    Raises:
        UnsupportedInfo: something in it is not of XEP-0167. JingleError: malformed or too much.
    """
    children = limited(list(session_info), MAX_CONTENTS, "infos")
    return tuple(map(_info, children))


def _info(element: etree._Element) -> Info:
    kinds = {q(NS_RTP_INFO, kind): kind for kind in InfoKind}
    kind = kinds.get(str(element.tag))
    if kind is None:
        raise UnsupportedInfo
    creator = element.get("creator")
    if creator not in (None, "initiator", "responder"):
        raise JingleError("the creator is malformed")
    return Info(kind, optional_token(element.get("name"), "a content's name"), creator)


def add_info(parent: etree._Element, info: Info) -> None:
    add(parent, NS_RTP_INFO, info.kind, creator=info.creator, name=info.name)
