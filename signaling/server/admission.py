"""Who gets a socket. Most are reserved for those who are logged in; strangers have a share of their own, and among them
whoever has most gives way first (fairness.py)."""

import logging
import resource
from typing import Protocol

from signaling.fairness import FairPlaces, Path
from signaling.logs import event
from signaling.server.turns import Turns
from signaling.server_limits import Limits

logger = logging.getLogger(__name__)

# Files of the server itself: database, log, the SMS gateway's connections, listening sockets.
OWN_FILES = 64
# Of all sockets; and of these one address.
SHARE_OF_STRANGERS = 1 / 4
SHARE_OF_ADDRESS = 1 / 2


class Holder(Protocol):
    """Who holds a socket."""

    def drop(self) -> None:
        """Its place is needed: the connection ends now."""


class Admission:
    """`members` are logged in. `turns`: what is done for strangers waits for them."""

    def __init__(self, limits: Limits) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = limits.connections + limits.strangers
        sockets = wanted if files == resource.RLIM_INFINITY else min(wanted, max(8, files - OWN_FILES))
        if sockets < wanted:
            event(logger, logging.WARNING, "few open files", open_files=files, wanted=wanted + OWN_FILES)
        strangers = min(limits.strangers, max(4, int(sockets * SHARE_OF_STRANGERS)))
        of_address = min(limits.strangers_of_address, max(2, int(strangers * SHARE_OF_ADDRESS)))
        self._strangers: FairPlaces[Holder] = FairPlaces(strangers, of_address)
        self._members: set[Holder] = set()
        self.most_members = min(limits.connections, max(4, sockets - strangers))
        self.turns = Turns()
        self.dropped = 0

    @property
    def strangers(self) -> int:
        return len(self._strangers)

    @property
    def is_full(self) -> bool:
        """Nobody else can log in."""
        return len(self._members) >= self.most_members

    def enter(self, holder: Holder, path: Path) -> None:
        """A new connection; or one of which it has turned out whose it is."""
        if holder in self._members:
            return
        self._strangers.remove(holder)
        if (gone := self._strangers.add(holder, path)) is not None:
            self.dropped += 1
            gone.drop()

    def drop_one(self) -> None:
        """There is no file left, whoever has them all."""
        if (gone := self._strangers.most_crowded()) is not None:
            self.dropped += 1
            self.leave(gone)
            gone.drop()

    def touch(self, holder: Holder) -> None:
        """It got on: others of its address go before it."""
        self._strangers.touch(holder)

    def promote(self, holder: Holder) -> bool:
        """It has logged in. False: there is no place for it."""
        if self.is_full:
            return False
        self._strangers.remove(holder)
        self._members.add(holder)
        return True

    def leave(self, holder: Holder) -> None:
        self._strangers.remove(holder)
        self._members.discard(holder)
