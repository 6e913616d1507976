"""Where a stanza goes: the table of protocol.md section 3, sans-IO. Who may reach whom was asked before (reach.py).

There is no roster and no subscription; presence goes to nobody else. What needs the store is returned to the caller
(`Keep`, `Announced`, `Asked`), everything else is done when `route()` returns. A message that asks to be stored is
stored before it is delivered, so that no acknowledged one is lost with the server.
"""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from signaling import stanza as st
from signaling.blocking import BLOCKING
from signaling.contact_budget import ContactBudget
from signaling.errors import InvalidJid, RemoteProtocolError
from signaling.external_services import EXTERNAL_SERVICES, ExternalServices
from signaling.jid import Jid
from signaling.xml import (
    DELAY,
    DISCO_INFO,
    PING,
    Element,
    byte_length,
    child,
    children,
    element,
    local_name,
    namespace_of,
    serialise,
)

MAX_SHOWN = 1000  # by one guest, in its fifteen minutes


class Session(Protocol):
    """A bound stream. `available`: its own presence has come back; only then is it online. `by_key`: its login came
    with a proof by the device's key. Without one it is a guest's, and `shown` are those that may ask it."""

    available: bool
    by_key: bool
    generation: int
    shown: set[str]

    @property
    def jid(self) -> Jid:
        """The full JID."""

    def takes(self, sender: str, size: int) -> bool:
        """Whether one more stanza of this number that nobody keeps may be on its way to it."""

    def deliver(self, stanza: Element, at: float = 0.0, tag: int = 0) -> None:
        """Queues a stanza that was sent at `at`; `tag` is the id of a kept message. Never blocks."""

    def end(self, condition: str | None, text: str = "") -> None:
        """Ends the stream; never blocks."""


S = TypeVar("S", bound=Session)


class Sessions(Generic[S]):
    """At most one session a device, by number and device."""

    def __init__(self) -> None:
        self._by_number: dict[str, dict[str, S]] = {}

    def add(self, session: S) -> None:
        """The same device again replaces the old stream."""
        devices = self._by_number.setdefault(session.jid.local, {})
        old = devices.get(session.jid.resource)
        devices[session.jid.resource] = session
        if old is not None:
            old.available = False
            old.end("conflict", "replaced by a new connection")

    def remove(self, session: S) -> bool:
        """False if it was not the session of its device any more."""
        devices = self._by_number.get(session.jid.local, {})
        current = devices.get(session.jid.resource) is session
        if current:
            del devices[session.jid.resource]
        if not devices:
            self._by_number.pop(session.jid.local, None)
        return current

    def of(self, number: str) -> list[S]:
        """All of a number, online or not."""
        return list(self._by_number.get(number, {}).values())

    def devices(self) -> list[str]:
        """All that have a session, of whatever number."""
        return [device for devices in self._by_number.values() for device in devices]

    def get(self, number: str, device: str) -> S | None:
        """The session of a device, online or not."""
        return self._by_number.get(number, {}).get(device)

    def online(self, number: str) -> list[S]:
        """Who gets what is for the account. Guests do not while there is a device that has shown its key: whoever has
        only a token could take calls away from it."""
        there = [s for s in self._by_number.get(number, {}).values() if s.available]
        return [s for s in there if s.by_key] or there

    def find(self, jid: Jid) -> S | None:
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
    """To be kept for `to.local`, or refused with refuse(sender, stanza, "service-unavailable"); once kept, to be
    delivered to `receivers()`."""

    to: Jid
    stanza: Element

    @property
    def sender(self) -> str:
        """The number that it is from."""
        return self.stanza.get("from", "").partition("@")[0]


@dataclass(frozen=True, slots=True)
class Announced:
    """The session came online: what is kept for its number is to be delivered."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An iq to the own account that needs the store (XEP-0191)."""

    stanza: Element


def show_guest(guest: Session, number: str, shown: bool = True) -> None:
    """This number may ask the guest, and nobody else of the account: who sees that, and finds it, is for its devices to
    say."""
    if not shown:
        guest.shown.discard(number)
    elif len(guest.shown) < MAX_SHOWN:
        guest.shown.add(number)


def refuse(sender: Session, stanza: Element, condition: str, text: str = "") -> None:
    """Answers with an error where one is due.

    RFC 6120 8.3.1: an error never answers an error; a result needs no answer; presence gets none here.
    """
    if stanza.get("type") not in ("error", "result") and local_name(stanza) != "presence":
        sender.deliver(st.error(stanza, condition, text))


def receivers(sessions: Sessions[S], to: Jid) -> list[S]:
    """Who gets a message: the device of a full JID if it is online, else every device that is."""
    session = sessions.find(to) if to.is_full else None
    return sessions.online(to.local) if session is None else [session]


class Router:
    def __init__(
        self,
        domain: str,
        sessions: Sessions[Any],
        budget: ContactBudget,
        services: ExternalServices,
        max_kept_bytes: int = st.MAX_STANZA_BYTES,
    ) -> None:
        self._domain = domain
        self._sessions = sessions
        self._budget = budget
        self._services = services
        self._max_kept_bytes = max_kept_bytes

    def accept(self, sender: Session, stanza: Element) -> bool:
        """To be asked first, of every stanza from a bound stream: whether it may be looked at and handed on.

        Its `from` becomes what the server knows; another one ends the stream, and so does what could not be answered.
        What its receiver could not take is answered, whoever that is.
        """
        if stanza.get("from") not in (None, str(sender.jid), str(sender.jid.bare)):
            sender.end("invalid-from", "from is not this stream's address")
            return False
        if not st.is_answerable(stanza):
            sender.end(
                "policy-violation", f"id above {st.MAX_ID_BYTES} bytes, or to above {st.MAX_ADDRESS_BYTES}"
            )
            return False
        stanza.set("from", str(sender.jid))
        most = self._max_kept_bytes if st.is_to_be_kept(stanza) else st.MAX_STANZA_BYTES
        why = st.oversize(stanza, min(most, st.MAX_STANZA_BYTES))
        if why is not None:
            refuse(sender, stanza, "policy-violation", f"too large to be delivered: {why}")
        return why is None

    def route(
        self, sender: Session, stanza: Element, now: float, wall: float = 0.0
    ) -> Keep | Announced | Asked | None:
        """One stanza that accept() has let pass. `now` is the store's time, `wall` that of the host (Unix seconds)."""
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
            return self._iq(sender, stanza, to, wall)
        return self._message(sender, stanza, to, now)

    def _presence(self, sender: Session, stanza: Element) -> Announced | None:
        kind = stanza.get("type")
        if kind not in (None, "unavailable"):
            return None
        if stanza.get("to") is not None:
            # It goes nowhere, but from now on whom it is for may ask the account's devices.
            to = st.recipient_of(stanza)
            if to is not None and to.number is not None and to.domain == self._domain:
                if sender.by_key:
                    self._budget.show(sender.jid.local, to.number, kind is None)
                else:
                    show_guest(sender, to.number, kind is None)
            return None
        first = kind is None and not sender.available
        sender.available = kind is None
        stanza.set("to", str(sender.jid))
        sender.deliver(stanza)
        return Announced() if first else None

    def _iq(self, sender: Session, stanza: Element, to: Jid, wall: float) -> Asked | None:
        kind = stanza.get("type")
        if kind not in st.IQ_TYPES or not stanza.get("id") or (kind in ("get", "set") and len(stanza) != 1):
            refuse(sender, stanza, "bad-request")
            return None
        if to.is_full:
            session = self._sessions.find(to)
            if session is not None:
                if self._takers(sender, stanza, [session]):
                    session.deliver(stanza)
                return None
        elif kind in ("get", "set") and to == sender.jid.bare and namespace_of(stanza[0]) == BLOCKING:
            return Asked(stanza)
        elif kind == "get" and (not to.local or to == sender.jid.bare):
            query = child(stanza, DISCO_INFO, "query")
            if child(stanza, PING, "ping") is not None:
                sender.deliver(st.result(stanza))
                return None
            if query is not None and query.get("node") is None:
                sender.deliver(st.result(stanza, self._features(to)))
                return None
            if self._services and namespace_of(stanza[0]) == EXTERNAL_SERVICES:
                try:
                    payload = self._services.answer(stanza, sender.jid.local, wall)
                except RemoteProtocolError as error:
                    refuse(sender, stanza, error.condition, str(error))
                else:
                    sender.deliver(st.result(stanza, payload))
                return None
        refuse(sender, stanza, "service-unavailable")
        return None

    def _takers(self, sender: Session, stanza: Element, sessions: list[Any]) -> list[Any]:
        """Those that have room for it. If that is nobody, its sender is told to wait: who sends faster than a device
        reads must not be who cuts it off."""
        size = byte_length(serialise(stanza))
        taking = [session for session in sessions if session.takes(sender.jid.local, size)]
        if not taking:
            refuse(sender, stanza, "resource-constraint", "more than this device reads; wait a little")
        return taking

    def _features(self, to: Jid) -> Element:
        # XEP-0030 and its registry of categories: what is built, and nothing else.
        identity = (
            {"category": "account", "type": "registered"}
            if to.local
            else {"category": "server", "type": "im"}
        )
        names = (DISCO_INFO, PING, BLOCKING, *((EXTERNAL_SERVICES,) if self._services else ()))
        features = (element(DISCO_INFO, "feature", {"var": var}) for var in names)
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
        if kind == "error":
            session = self._sessions.find(to) if to.is_full else None
            if session is not None and self._takers(sender, stanza, [session]):
                session.deliver(stanza, now)
            return None
        if st.is_to_be_kept(stanza):
            return Keep(to, stanza)
        reached = receivers(self._sessions, to)
        if reached:
            self._budget.heard(to.local, sender.jid.local)
            for receiver in self._takers(sender, stanza, reached):
                receiver.deliver(stanza, now)
        elif kind != "headline":  # RFC 6121 8.5.2.2: a headline for nobody is dropped
            refuse(sender, stanza, "service-unavailable")
        return None
