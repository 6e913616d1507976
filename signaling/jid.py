"""Jabber identifiers (RFC 7622): `+12025550100@calls.example/d3f0c1a2b4958677`."""

from dataclasses import dataclass

from signaling.errors import InvalidJid
from signaling.phone_number import is_e164

# RFC 7622 3.1: each part at most 1023 octets.
MAX_PART_BYTES = 1023
# RFC 7622 3.3.1, and what may not stand in a domain.
FORBIDDEN_LOCAL = frozenset("\"&'/:<>@")
FORBIDDEN_DOMAIN = frozenset("\"&'/<>@\\")


def _check(part: str, what: str, forbidden: frozenset[str] = frozenset(), space: bool = False) -> str:
    if not part or not part.isprintable() or (not space and " " in part) or not forbidden.isdisjoint(part):
        raise InvalidJid(f"bad {what} in a JID")
    if 4 * len(part) > MAX_PART_BYTES and len(part.encode()) > MAX_PART_BYTES:
        raise InvalidJid(f"{what} of a JID is too long")
    return part


@dataclass(frozen=True, slots=True)
class Jid:
    """A parsed JID. `local` and `resource` may be empty; `domain` never is. `str(jid)` is the text form."""

    local: str
    domain: str
    resource: str = ""

    @classmethod
    def parse(cls, text: str) -> "Jid":
        """Raises InvalidJid. Local part and domain are lower-cased; the resource keeps its case."""
        if len(text) > 3 * (MAX_PART_BYTES + 1):
            raise InvalidJid("JID too long")
        bare, slash, resource = text.partition("/")
        local, at, domain = bare.rpartition("@")
        if at:
            local = _check(local, "local part", FORBIDDEN_LOCAL).lower()
        if slash:
            _check(resource, "resource", space=True)
        domain = _check(domain.removesuffix("."), "domain", FORBIDDEN_DOMAIN).lower()
        if domain[0] == "." or domain[-1] == "." or ".." in domain:
            raise InvalidJid("bad domain in a JID")
        return cls(local, domain, resource)

    @property
    def bare(self) -> "Jid":
        return Jid(self.local, self.domain) if self.resource else self

    @property
    def is_full(self) -> bool:
        return bool(self.resource)

    @property
    def number(self) -> str | None:
        """The account's phone number, None if the local part is not E.164."""
        return self.local if is_e164(self.local) else None

    def with_resource(self, resource: str) -> "Jid":
        return Jid(self.local, self.domain, resource)

    def __str__(self) -> str:
        text = f"{self.local}@{self.domain}" if self.local else self.domain
        return f"{text}/{self.resource}" if self.resource else text
