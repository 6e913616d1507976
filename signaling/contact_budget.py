"""Who may ask for whom: one budget an account for numbers that are new to it (protocol.md section 3)."""

import hashlib
from collections import OrderedDict

from signaling.rate_limit import KeyedBuckets, Rate

MAX_ACCOUNTS = 10_000
MAX_PEERS = 2_000


class ContactBudget:
    """Lookups and messages draw from the same budget, or calling would be the free way to enumerate numbers.

    Whom an account has asked for, or heard from, is free from then on: ringing the same peer again and again never
    costs. That is kept in memory only, as hashes keyed with `secret`, so nobody's misses are stored. A restart
    forgets it, which costs a caller one unit for each peer.
    """

    def __init__(self, rate: Rate, secret: bytes) -> None:
        self._secret = secret
        self._buckets = KeyedBuckets(rate, MAX_ACCOUNTS)
        self._known: OrderedDict[str, OrderedDict[bytes, None]] = OrderedDict()

    def _hash(self, number: str) -> bytes:
        return hashlib.blake2b(number.encode(), key=self._secret, digest_size=8).digest()

    def ask(self, account: str, numbers: set[str], now: float) -> float:
        """0 if the account may ask for all of these (they are known from now on), else the seconds to wait."""
        known = self._known.get(account, OrderedDict())
        new = {number for number in numbers if number != account and self._hash(number) not in known}
        wait = self._buckets.take(account, now, len(new)) if new else 0.0
        if not wait:
            self.know(account, new)
        return wait

    def know(self, account: str, numbers: set[str]) -> None:
        """These are no strangers to the account."""
        known = self._known.setdefault(account, OrderedDict())
        self._known.move_to_end(account)
        for number in numbers:
            known[self._hash(number)] = None
        while len(known) > MAX_PEERS:
            known.popitem(last=False)
        while len(self._known) > MAX_ACCOUNTS:
            self._known.popitem(last=False)
