"""A device on the line, as the server sees it: it outlives its connection where it can be resumed. Sans-IO.

Kept messages come to it in the order of their ids; `cursor` is the last one that it was given. Until it has
`caught_up` with the store, a message that was just stored is not handed over directly, but read with the rest.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol

from signaling.jid import Jid
from signaling.store_clock import StoreClock
from signaling.stream_management import StreamManagement, Unacknowledged
from signaling.xml import CLIENT, DELAY, Element, child, element, is_named, parse, serialise
from signaling.xml_parser import ForgettingParser

# What is sent again after longer than this says how old it is: such a proposal rings no more (its caller has
# given up, protocol.md section 4).
STAMPED_AFTER = 4.0


class Link(Protocol):
    """The connection that carries a session."""

    def send(self, stanza: Element, at: float, tag: int) -> None:
        """Queues a stanza; never blocks."""

    def end(self, condition: str | None, text: str = "") -> None:
        """Ends the stream; never blocks."""

    @property
    def queued(self) -> tuple[int, int]:
        """How many stanzas wait here to be written, and their bytes."""

    async def drained(self) -> bool:
        """Waits until everything is handed to the network. False if the connection ended before."""

    def release(self) -> None:
        """The session goes on elsewhere: this connection ends without it."""


class BoundSession:
    """`available`: its own presence has come back; only then is it online. `is_over`: nothing can revive it.

    Without a link what is delivered waits in `management`, at most `max_stanzas` and `max_size` bytes; beyond
    that the session is over.
    """

    def __init__(self, jid: Jid, generation: int, link: Link, max_stanzas: int, max_size: int) -> None:
        self.jid = jid
        self.generation = generation
        self.link: Link | None = link
        self.management: StreamManagement | None = None
        self.available = False
        self.is_over = False
        self.by_key = False  # its login came with a proof by the device's key, not only with a token
        self.shown: set[str] = set()  # to whom it has shown itself, if it is a guest
        self.cursor = 0
        self.draining = False  # the store is being read for it
        self.caught_up = False
        self.again = False  # something was stored meanwhile
        self.stalled = False  # a sender has waited in vain for room
        self._max_stanzas = max_stanzas
        self._max_size = max_size

    def deliver(self, stanza: Element, at: float = 0.0, tag: int = 0) -> None:
        """`at`: the store's time, for messages; `tag`: the id of a kept message. Never blocks."""
        if self.is_over:
            return
        if self.link is not None:
            self.link.send(stanza, at, tag)
        elif self.management is not None:
            self.management.hold(stanza, at, tag)
        if self.overflows:
            self.end("resource-constraint", "too much is not acknowledged")

    @property
    def overflows(self) -> bool:
        waiting = self.management
        return waiting is not None and (
            len(waiting.unacknowledged) > self._max_stanzas or waiting.size > self._max_size
        )

    def end(self, condition: str | None, text: str = "") -> None:
        """Ends it for good, with its stream."""
        self.is_over, self.available = True, False
        if self.link is not None:
            self.link.end(condition, text)

    def lost(self, link: Link) -> bool:
        """That connection is gone. Whether the session stays, to be resumed."""
        if self.link is link:
            self.link = None
        stays = self.management is not None and self.management.id is not None and not self.is_over
        self.is_over = self.is_over or not stays
        self.available = self.available and stays
        return stays

    def broken(self, id: str, generation: int) -> StreamManagement | None:
        """What goes on when the session is resumed under this id; None: it cannot be."""
        management = self.management
        fits = not self.is_over and self.generation == generation
        return management if fits and management is not None and management.is_named(id) else None

    def _waiting(self) -> tuple[int, int]:
        if self.management is not None:
            return len(self.management.unacknowledged), self.management.size
        return (0, 0) if self.link is None else self.link.queued

    @property
    def room(self) -> int:
        """How many more bytes of kept messages may be on their way: all together half of what is allowed, so
        that they do not cut off who they are for; but always one."""
        count, size = self._waiting()
        room = self._max_size // 2 - size if count < self._max_stanzas // 2 else 0
        nothing_kept = not self.in_flight() if self.management is not None else not count
        return max(1, room) if nothing_kept else room

    def takes(self, sender: str, size: int) -> bool:
        """Whether one more stanza that nobody keeps, of so many bytes, may be on its way to this device.

        All of others together have a quarter of what is allowed, so that nobody is cut off by what others send; one of
        them has half of that. The rest is for the answers to what the device asks itself.
        """
        if self.management is None:
            shares = [(self._waiting(), 4)]
        else:
            shares = [(self.management.live(), 4), (self.management.live(sender), 8)]
        return all(
            not count or (count < self._max_stanzas // part and used + size <= self._max_size // part)
            for (count, used), part in shares
        )

    def in_flight(self) -> set[int]:
        """The kept messages that are on their way to this device."""
        return set() if self.management is None else self.management.tags()

    def settle(self, tags: Iterable[int]) -> None:
        """Another device of the account has these."""
        if self.management is not None:
            self.management.settle(set(tags))


def with_delay(stanza: Element, domain: str, at: float) -> Element:
    """Says since when the server has had the stanza (XEP-0203)."""
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    stanza.append(element(DELAY, "delay", {"from": domain, "stamp": stamp}))
    return stanza


def again(
    entry: Unacknowledged, domain: str, clock: StoreClock, parser: ForgettingParser | None = None
) -> str:
    """The frame of a stanza that is sent once more; of an old message, with its age."""
    if not entry.is_message or clock.now() - entry.at <= STAMPED_AFTER:
        return entry.frame
    stanza = parse(entry.frame, parser=parser)
    if child(stanza, DELAY, "delay") is None:
        with_delay(stanza, domain, clock.to_wall(entry.at))
    return serialise(stanza)


def lost_for_good(entry: Unacknowledged, parser: ForgettingParser | None = None) -> Element | None:
    """The stanza, if it never arrived, nobody keeps it, and its sender is to be told; else None."""
    stanza = parse(entry.frame, parser=parser)
    silent = is_named(stanza, CLIENT, "presence") or stanza.get("type") in ("error", "result", "headline")
    return None if entry.tag or silent else stanza
