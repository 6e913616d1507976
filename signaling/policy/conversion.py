"""SMS pumping shows in codes that nobody enters: where too few come back, few more are sent.

Fraud earns by messages to numbers of a carrier that shares its income; nobody ever types those codes. The
thresholds are reference/signaling.md section 5: fewer than 30 % of the last 100 codes of a prefix or country.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import islice


@dataclass(frozen=True, slots=True)
class ConversionRules:
    """`least` of the last `window` codes must have been entered. A code counts after `settled` seconds, or once
    it is entered, and for `memory` seconds: so an attack is over a day after it ended."""

    window: int = 100
    least: float = 0.3
    settled: float = 600
    memory: float = 86400
    kept: int = 2000


@dataclass(slots=True)
class _Code:
    registration: str
    sent: float
    entered: bool = field(default=False)


class ConversionGuard:
    """Codes by key (a prefix, a country); at `max_keys` the one least recently sent to is forgotten."""

    def __init__(self, rules: ConversionRules, max_keys: int = 10_000) -> None:
        self._rules = rules
        self._max_keys = max_keys
        self._codes: OrderedDict[str, deque[_Code]] = OrderedDict()

    def sent(self, key: str, registration: str, now: float) -> None:
        """A code went out for this registration."""
        codes = self._codes.setdefault(key, deque(maxlen=self._rules.kept))
        self._codes.move_to_end(key)
        codes.append(_Code(registration, now))
        if len(self._codes) > self._max_keys:
            self._codes.popitem(last=False)

    def entered(self, key: str, registration: str) -> None:
        """The registration is done: all the codes that it took count as entered."""
        for code in self._codes.get(key, ()):
            if code.registration == registration:
                code.entered = True

    def is_suspicious(self, key: str, now: float) -> bool:
        """Whether so many of the last codes were ignored that `least` of the window cannot be reached.

        Codes that were never sent count as entered: a prefix is not judged by its first few codes.
        """
        rules = self._rules
        settled = (
            code
            for code in reversed(self._codes.get(key, ()))
            if now - code.sent < rules.memory and (code.entered or now - code.sent >= rules.settled)
        )
        ignored = sum(not code.entered for code in islice(settled, rules.window))
        return ignored > rules.window * (1 - rules.least)
