"""Whether there is room for one more kept message: upper bounds, so that the database is not asked for each."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

# Numbers; all are forgotten when there are more.
MOST = 4096


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """`id` grows with each message; it is 0 for one that is not yet in the store. `of_stranger`: the account that it is
    for has never turned to its sender; there is less room for those than for others."""

    id: int
    number: str
    sender: str
    kept: float
    stanza: str
    of_stranger: bool = False

    def most(self, limit: int) -> int:
        """How many may be kept with this one, if `limit` may be at all: strangers leave a quarter to others."""
        return limit - limit // 4 if self.of_stranger else limit


@dataclass(slots=True)
class _Held:
    """Messages of a registered number: never less than it has."""

    count: int = 0
    by_sender: Counter[str] = field(default_factory=Counter)


class Room:
    """Counts what is kept and not what is dropped: where a bound would refuse, the database is to be asked again.

    Whoever asks must be the only one that keeps messages.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._stale: set[str] = set()

    def unsure(self, batch: list[KeptMessage], limit: int, of_one: int) -> list[str]:
        """The numbers that know() is to be told of before take() can answer for all of these messages."""
        while self._stale:
            self._held.pop(self._stale.pop(), None)
        if len(self._held) > MOST:
            self._held.clear()
        more = Counter(message.number for message in batch)
        pairs = Counter((message.number, message.sender) for message in batch)
        most = {message.number: limit for message in batch}
        for message in batch:
            most[message.number] = min(most[message.number], message.most(limit))
        found = []
        for number, sender in pairs:
            held = self._held.get(number)
            if (
                held is None
                or held.count + more[number] > most[number]
                or held.by_sender[sender] + pairs[number, sender] > of_one
            ):
                found.append(number)
        return list(dict.fromkeys(found))

    def know(self, numbers: Iterable[str], rows: Iterable[tuple[str, str | None, int]]) -> None:
        """What the database says of these numbers, as (number, sender or None, messages); of one that is not
        registered it has no row."""
        for number in numbers:
            self._held.pop(number, None)
        for number, sender, count in rows:
            held = self._held.setdefault(number, _Held())
            held.count += count
            if sender is not None:
                held.by_sender[sender] = count

    def take(self, message: KeptMessage, limit: int, of_one: int) -> bool:
        """Whether it may be kept, which then counts: its number is registered, has fewer than `limit` messages (a
        stranger's: three quarters of that), and fewer than `of_one` of this sender."""
        held = self._held.get(message.number)
        if held is None or held.count >= message.most(limit) or held.by_sender[message.sender] >= of_one:
            return False
        held.count += 1
        held.by_sender[message.sender] += 1
        return True

    def forget(self, number: str) -> None:
        """Whether it is registered is to be asked again: by the next batch, whatever one is doing just now."""
        self._stale.add(number)
