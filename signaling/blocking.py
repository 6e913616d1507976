"""The blocking command (XEP-0191), server's side: what is asked for, and what is answered."""

from collections.abc import Iterable
from dataclasses import dataclass

from signaling.errors import InvalidJid, RemoteProtocolError
from signaling.jid import Jid
from signaling.xml import Element, children, element, local_name

BLOCKING = "urn:xmpp:blocking"
# XEP-0191 section 3.5: the condition beside not-acceptable.
BLOCKING_ERRORS = "urn:xmpp:blocking:errors"


@dataclass(frozen=True, slots=True)
class BlockingRequest:
    """`name` is blocklist, block or unblock; unblock without numbers: all."""

    name: str
    numbers: frozenset[str]


def parse_blocking(iq: Element, domain: str) -> BlockingRequest:
    """The request in an iq get or set. Raises RemoteProtocolError with the condition to answer with."""
    body = iq[0]
    name = local_name(body)
    if (iq.get("type"), name) not in (("get", "blocklist"), ("set", "block"), ("set", "unblock")):
        raise RemoteProtocolError("not a blocking command", "bad-request")
    numbers = set()
    for item in children(body, BLOCKING, "item"):
        try:
            jid = Jid.parse(item.get("jid") or "")
        except InvalidJid:
            raise RemoteProtocolError("not a JID", "jid-malformed") from None
        if jid.domain != domain or jid.number is None or jid.is_full:
            raise RemoteProtocolError("only numbers of this domain can be blocked", "not-acceptable")
        numbers.add(jid.number)
    if name == "block" and not numbers:
        raise RemoteProtocolError("whom to block?", "bad-request")
    return BlockingRequest(name, frozenset(numbers))


def build_blocking(name: str, numbers: Iterable[str], domain: str) -> Element:
    """A blocklist, block or unblock with these numbers."""
    items = (element(BLOCKING, "item", {"jid": str(Jid(number, domain))}) for number in sorted(numbers))
    return element(BLOCKING, name, None, *items)
