"""Who may find and reach an account: its own choice, its block list (XEP-0191), and whom it knows."""

from dataclasses import dataclass
from enum import StrEnum


class Findable(StrEnum):
    """Who finds an account by its number. Whom it has addressed itself can answer it, whatever this says."""

    EVERYBODY = "everybody"
    MUTUAL = "mutual"  # who is in its address book
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a registered account stands to the one that asks for it."""

    findable: Findable
    lists_asker: bool
    blocks_asker: bool

    def admits(self, has_shown_itself: bool) -> bool:
        """False: to the asker the account must look as if it were not registered."""
        if self.blocks_asker:
            return False
        if self.findable is Findable.EVERYBODY or has_shown_itself:
            return True
        return self.findable is Findable.MUTUAL and self.lists_asker
