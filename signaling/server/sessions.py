"""Which device has a stream open, and which of them are online."""

from typing import Protocol

from signaling.jid import Jid
from signaling.xml import Element


class Session(Protocol):
    """A bound stream, as router and registrar see it."""

    @property
    def jid(self) -> Jid:
        """The full JID."""

    available: bool

    def deliver(self, stanza: Element) -> None:
        """Queues a stanza; never blocks."""

    async def drained(self) -> bool:
        """Waits until the queue is empty. False if the session ended before."""

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
