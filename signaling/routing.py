"""Where a stanza goes: the table of protocol.md section 3, sans-IO.

There is no roster and no subscription; presence goes to nobody else. What needs the store is returned to the caller
(`Keep`, `Announced`), everything else is done when `route()` returns.
"""

from dataclasses import dataclass
from typing import Protocol

from signaling import stanza as st
from signaling.contact_budget import ContactBudget
from signaling.errors import InvalidJid
from signaling.jid import Jid
from signaling.xml import DELAY, DISCO_INFO, HINTS, PING, Element, child, children, copy, element, local_name


class Session(Protocol):
    """A bound stream. `available`: its own presence has come back; only then is it online."""

    available: bool

    @property
    def jid(self) -> Jid:
        """The full JID."""

    def deliver(self, stanza: Element) -> None:
        """Queues a stanza; never blocks."""

    def end(self, condition: str | None, text: str = "") -> None:
        """Ends the stream; never blocks."""


class Sessions:
    """At most one session a device, by number and device."""

    def __init__(self) -> None:
        self._by_number: dict[str, dict[str, Session]] = {}

    def add(self, session: Session) -> None:
        """The same device again replaces the old stream."""
        devices = self._by_number.setdefault(session.jid.local, {})
        old = devices.get(session.jid.resource)
        devices[session.jid.resource] = session
        if old is not None:
            old.available = False
            old.end("conflict", "replaced by a new connection")

    def remove(self, session: Session) -> None:
        devices = self._by_number.get(session.jid.local, {})
        if devices.get(session.jid.resource) is session:
            del devices[session.jid.resource]
        if not devices:
            self._by_number.pop(session.jid.local, None)

    def online(self, number: str) -> list[Session]:
        return [s for s in self._by_number.get(number, {}).values() if s.available]

    def find(self, jid: Jid) -> Session | None:
        """The session of a full JID, if it is online."""
        session = self._by_number.get(jid.local, {}).get(jid.resource)
        return session if session is not None and session.available else None

    def revoke(self, number: str, device: str | None = None) -> None:
        """Ends the streams of a number, or of one of its devices, that is registered no more."""
        for name, session in list(self._by_number.get(number, {}).items()):
            if device in (None, name):
                session.available = False
                session.end("not-authorized", "this device is not registered any more")


@dataclass(frozen=True, slots=True)
class Keep:
    """To be kept for `number`, or refused with refuse(sender, stanza, "service-unavailable")."""

    number: str
    stanza: Element


@dataclass(frozen=True, slots=True)
class Announced:
    """The session came online: what is kept for its number is to be delivered."""


def refuse(sender: Session, stanza: Element, condition: str, text: str = "") -> None:
    """Answers with an error where one is due.

    RFC 6120 8.3.1: an error never answers an error; a result needs no answer; presence gets none here.
    """
    if stanza.get("type") not in ("error", "result") and local_name(stanza) != "presence":
        sender.deliver(st.error(stanza, condition, text))


class Router:
    def __init__(self, domain: str, sessions: Sessions, budget: ContactBudget) -> None:
        self._domain = domain
        self._sessions = sessions
        self._budget = budget

    def route(self, sender: Session, stanza: Element, now: float) -> Keep | Announced | None:
        """One stanza from a bound stream. Its `from` becomes what the server knows; another one ends the stream."""
        if stanza.get("from") not in (None, str(sender.jid), str(sender.jid.bare)):
            sender.end("invalid-from", "from is not this stream's address")
            return None
        stanza.set("from", str(sender.jid))
        if local_name(stanza) == "presence":
            return self._presence(sender, stanza)
        try:
            to = st.address(stanza, "to") or sender.jid.bare
        except InvalidJid:
            refuse(sender, stanza, "jid-malformed")
            return None
        if to.domain != self._domain:
            refuse(sender, stanza, "remote-server-not-found")
            return None
        if local_name(stanza) == "iq":
            self._iq(sender, stanza, to)
            return None
        return self._message(sender, stanza, to, now)

    def _presence(self, sender: Session, stanza: Element) -> Announced | None:
        kind = stanza.get("type")
        if stanza.get("to") is not None or kind not in (None, "unavailable"):
            return None
        first = kind is None and not sender.available
        sender.available = kind is None
        stanza.set("to", str(sender.jid))
        sender.deliver(stanza)
        return Announced() if first else None

    def _iq(self, sender: Session, stanza: Element, to: Jid) -> None:
        kind = stanza.get("type")
        if kind not in st.IQ_TYPES or not stanza.get("id") or (kind in ("get", "set") and len(stanza) != 1):
            refuse(sender, stanza, "bad-request")
            return None
        if to.is_full:
            session = self._sessions.find(to)
            if session is not None:
                return session.deliver(stanza)
        elif kind == "get" and (not to.local or to == sender.jid.bare):
            if child(stanza, PING, "ping") is not None:
                return sender.deliver(st.result(stanza))
            query = child(stanza, DISCO_INFO, "query")
            if query is not None and query.get("node") is None:
                return sender.deliver(st.result(stanza, self._features(to)))
        refuse(sender, stanza, "service-unavailable")

    def _features(self, to: Jid) -> Element:
        # XEP-0030 and its registry of categories: what is built, and nothing else.
        identity = (
            {"category": "account", "type": "registered"}
            if to.local
            else {"category": "server", "type": "im"}
        )
        features = (element(DISCO_INFO, "feature", {"var": var}) for var in (DISCO_INFO, PING))
        return element(DISCO_INFO, "query", None, element(DISCO_INFO, "identity", identity), *features)

    def _message(self, sender: Session, stanza: Element, to: Jid, now: float) -> Keep | None:
        kind = stanza.get("type", "normal")
        if to.number is None or kind == "groupchat":
            refuse(sender, stanza, "service-unavailable")
            return None
        # Only this server says how old a message is.
        for delay in list(children(stanza, DELAY, "delay")):
            if delay.get("from") == self._domain:
                stanza.remove(delay)
        session = self._sessions.find(to) if to.is_full else None
        if kind == "error":
            if session is not None:
                session.deliver(stanza)
            return None
        account = sender.jid.local
        wait = self._budget.ask(account, {to.local}, now)
        if wait:
            refuse(sender, stanza, "resource-constraint", f"too many new numbers; wait {wait:.0f} s")
            return None
        reached = [session] if session is not None else self._sessions.online(to.local)
        if reached:
            self._budget.know(to.local, {account})
            for receiver in reached:
                receiver.deliver(stanza)
            return None
        # RFC 6121 8.5.2.2: a headline for nobody is dropped.
        if kind == "headline":
            return None
        if child(stanza, HINTS, "store") is None:
            refuse(sender, stanza, "service-unavailable")
            return None
        return Keep(to.local, copy(stanza))
