"""Outstanding iq questions (RFC 6120 8.2.3): an answer counts only if its `id` AND its `from` match."""

import random
from dataclasses import dataclass

from signaling.errors import SignalingError
from signaling.jid import Jid
from signaling.stanza import sender_of
from signaling.xml import CLIENT, Element, is_named

# protocol.md section 4.
TIMEOUT = 10.0
MAX_OUTSTANDING = 256


@dataclass(frozen=True, slots=True)
class _Question:
    to: Jid
    deadline: float


class IqTracker:
    """Which questions of this client are open, and until when.

    `own` is the client's full JID: an answer without `from` comes from the own
    account (RFC 6120 8.1.2.1).
    """

    def __init__(self, own: Jid, rng: random.Random) -> None:
        self._own = own
        self._rng = rng
        self._open: dict[str, _Question] = {}

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, to: Jid | None, now: float, timeout: float = TIMEOUT) -> str:
        """A fresh id for a question to `to` (None: own account). SignalingError at 256 open ones."""
        if len(self._open) >= MAX_OUTSTANDING:
            raise SignalingError("too many questions wait for the server's answer: try again in a moment")
        id_ = f"{self._rng.getrandbits(64):016x}"
        self._open[id_] = _Question(to or self._own.bare, now + timeout)
        return id_

    def receive(self, stanza: Element) -> str | None:
        """The id of the question that this stanza answers, which is then closed; None for everything else."""
        if not is_named(stanza, CLIENT, "iq") or stanza.get("type") not in ("result", "error"):
            return None
        id_ = stanza.get("id") or ""
        question = self._open.get(id_)
        if question is None:
            return None
        sender = self._own.bare if stanza.get("from") is None else sender_of(stanza)
        if sender != question.to:
            return None
        del self._open[id_]
        return id_

    def forget(self, id_: str) -> None:
        self._open.pop(id_, None)

    def get_timer(self) -> float | None:
        return min((q.deadline for q in self._open.values()), default=None)

    def handle_timer(self, now: float) -> list[str]:
        """The ids whose time is over; they are closed."""
        expired = [id_ for id_, question in self._open.items() if question.deadline <= now]
        for id_ in expired:
            del self._open[id_]
        return expired
