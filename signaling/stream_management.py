"""Stream management (XEP-0198), sans-IO: what was handled, what was sent and is not acknowledged yet.

One object for each direction pair of a session; it outlives the connection, so that another connection can resume
where the last one broke. Both roles use it; `Stream` (stream.py) feeds it.
"""

import hashlib
import hmac
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, replace

from signaling.errors import RemoteProtocolError
from signaling.xml import CLIENT, DELAY, Element, byte_length, is_named, serialise

WRAP = 2**32  # XEP-0198 section 4: `h` is an unsignedInt that wraps
# Without a message among them, this many stanzas are sent before an acknowledgement is asked for.
ASK_AFTER = 16
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """A stanza on its way, of `size` bytes, from the account `sender` (a number). `at` is the time it was handed in,
    `tag` what the application knows it by (0: nothing)."""

    frame: str
    size: int
    sender: str
    at: float
    tag: int
    is_message: bool


class StreamManagement:
    """`id` is None when the session cannot be resumed. `handled` counts the peer's stanzas that were dealt with."""

    def __init__(self, id: str | None = None) -> None:
        self.id = id
        self.handled = 0
        self.unacknowledged: deque[Unacknowledged] = deque()
        self.size = 0  # bytes of all unacknowledged frames
        self._messages = 0  # among them
        self._live: Counter[str] = Counter()  # bytes that nobody keeps, by their sender
        self._live_count: Counter[str] = Counter()
        self._acknowledged = 0

    def is_named(self, id: str) -> bool:
        """In constant time: the id is a secret of the session."""
        return self.id is not None and hmac.compare_digest(self.id.encode(), id.encode())

    def sent(self, stanza: Element, frame: str, at: float = 0.0, tag: int = 0) -> None:
        """To be called for every stanza, also for one that waits for a connection."""
        sender = stanza.get("from", "").partition("@")[0]
        is_message = is_named(stanza, CLIENT, "message")
        entry = Unacknowledged(frame, byte_length(frame), sender, at, tag, is_message)
        self.unacknowledged.append(entry)
        self.size += entry.size
        self._messages += entry.is_message
        if not tag:
            self._live[sender] += entry.size
            self._live_count[sender] += 1

    def _gone(self, entry: Unacknowledged) -> None:
        self.size -= entry.size
        self._messages -= entry.is_message
        if not entry.tag:
            self._live[entry.sender] -= entry.size
            self._live_count[entry.sender] -= 1
            if not self._live_count[entry.sender]:
                del self._live[entry.sender], self._live_count[entry.sender]

    def live(self, sender: str | None = None) -> tuple[int, int]:
        """How many stanzas that nobody keeps are on their way, and their bytes; of all, or of one sender."""
        if sender is not None:
            return self._live_count[sender], self._live[sender]
        return self._live_count.total(), self._live.total()

    def hold(self, stanza: Element, at: float = 0.0, tag: int = 0) -> None:
        """A stanza that there is no connection for: it goes out when the session is resumed."""
        self.sent(stanza, serialise(stanza), at, tag)

    @property
    def wants_answer(self) -> bool:
        """Whether it is time to ask the peer how much it has handled."""
        return self._messages > 0 or len(self.unacknowledged) >= ASK_AFTER

    def acknowledge(self, h: str | None) -> list[int]:
        """The peer has handled `h` stanzas: the tags of those that are done with it.

        Raises:
            RemoteProtocolError: not a number, or more than were sent.
        """
        if h is None or not (h.isascii() and h.isdigit() and len(h) <= 10) or int(h) >= WRAP:
            raise RemoteProtocolError("h is not a number", "undefined-condition")
        count = (int(h) - self._acknowledged) % WRAP
        if count > len(self.unacknowledged):
            raise RemoteProtocolError("more stanzas acknowledged than sent", "undefined-condition")
        done = [self.unacknowledged.popleft() for _ in range(count)]
        for entry in done:
            self._gone(entry)
        self._acknowledged = int(h)
        return [entry.tag for entry in done if entry.tag > 0]

    def give_up_first(self) -> None:
        """The oldest unacknowledged stanza is why the peer ended the stream: it must not be sent again."""
        if self.unacknowledged:
            self._gone(self.unacknowledged.popleft())

    def tags(self) -> set[int]:
        return {entry.tag for entry in self.unacknowledged if entry.tag > 0}

    def settle(self, tags: set[int]) -> None:
        """These are done with, though they are not acknowledged here: their tag becomes -1."""
        if not tags.isdisjoint(self.tags()):
            self.unacknowledged = deque(
                replace(entry, tag=-1) if entry.tag in tags else entry for entry in self.unacknowledged
            )


class SeenMessages:
    """Tells a message that comes twice: its acknowledgement was lost, so it was sent again. Bounded.

    Known by sender, id and content (not by the server's <delay/>); a message without an id is always new.
    """

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def is_new(self, message: Element) -> bool:
        if message.get("id") is None:
            return True
        digest = hashlib.sha256(f"{message.get('from')}\n{message.get('id')}\n{message.get('type')}".encode())
        for node in message:
            if not is_named(node, DELAY, "delay"):
                digest.update(serialise(node).encode())
        key = digest.digest()[:16]
        if key in self._seen:
            self._seen.move_to_end(key)
            return False
        self._seen[key] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return True
