"""Whom an account may ask for, and whom it may address (protocol.md section 3). In memory, told the time."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from signaling.rate_limit import KeyedBuckets, KeyedQuotas, Quota, Rate

MAX_ACCOUNTS = 100_000
MAX_PEERS = 10_000
MAX_ALL_PEERS = 2_000_000


@dataclass(frozen=True, slots=True)
class ContactLimits:
    """`numbers`: those that are new to an account, looked up or addressed; an address book fits in at once.
    `strangers`: those addressed for the first time; `young_strangers` holds as well for accounts that are younger
    than `young` seconds. Sources: reference/signaling.md section 5."""

    numbers: Rate = field(default=Rate(5000, 172.8))
    strangers: Rate = field(default=Rate(10, 30))
    young_strangers: Quota = field(default=Quota(30, 86400))
    young: float = 7 * 86400


class _Account:
    __slots__ = ("peers", "since")

    def __init__(self) -> None:
        # Hash of a number -> whether it is no stranger (addressed before, or heard from). Oldest first.
        self.peers: OrderedDict[int, bool] = OrderedDict()
        self.since = 0.0


class ContactBudget:
    """Lookups and messages draw from one budget of numbers, or calling would be the free way to enumerate them.

    Whom an account has asked for, or heard from, is free from then on: ringing the same peer again and again never
    costs. That is kept in memory only, as hashes keyed with `secret`, so nobody's misses are stored. A restart
    forgets it, which costs a caller one unit for each peer.
    """

    def __init__(self, limits: ContactLimits, secret: bytes) -> None:
        self._limits = limits
        self._secret = secret
        self._numbers = KeyedBuckets(limits.numbers, MAX_ACCOUNTS)
        self._strangers = KeyedBuckets(limits.strangers, MAX_ACCOUNTS)
        self._young_strangers = KeyedQuotas(limits.young_strangers, MAX_ACCOUNTS)
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._all_peers = 0

    def _hash(self, number: str) -> int:
        digest = hashlib.blake2b(number.encode(), key=self._secret, digest_size=8).digest()
        return int.from_bytes(digest, "big")

    def _account(self, account: str) -> _Account:
        found = self._accounts.setdefault(account, _Account())
        self._accounts.move_to_end(account)
        return found

    def _note(self, account: str, numbers: set[str], met: bool) -> None:
        peers = self._account(account).peers
        before = len(peers)
        for number in numbers - {account}:
            key = self._hash(number)
            peers[key] = met or peers.get(key, False)
        while len(peers) > MAX_PEERS:
            peers.popitem(last=False)
        self._all_peers += len(peers) - before
        while self._all_peers > MAX_ALL_PEERS or len(self._accounts) > MAX_ACCOUNTS:
            self._all_peers -= len(self._accounts.popitem(last=False)[1].peers)

    def opened(self, account: str, since: float) -> None:
        """The account is here; it exists since then."""
        self._account(account).since = since
        self._note(account, set(), False)

    def ask(self, account: str, numbers: set[str], now: float) -> float:
        """0 if the account may ask for all of these (they are known from now on), else the seconds to wait."""
        peers = self._account(account).peers
        new = {number for number in numbers - {account} if self._hash(number) not in peers}
        wait = self._numbers.take(account, now, len(new)) if new else 0.0
        if not wait:
            self._note(account, new, False)
        return wait

    def address(self, account: str, number: str, now: float) -> float:
        """0 if the account may send to this number (it is no stranger from now on), else the seconds to wait."""
        own = self._account(account)
        key = self._hash(number)
        if number == account or own.peers.get(key):
            return 0.0
        buckets: list[KeyedBuckets | KeyedQuotas] = [self._strangers]
        if now - own.since < self._limits.young:
            buckets.append(self._young_strangers)
        if key not in own.peers:
            buckets.append(self._numbers)
        wait = max(bucket.wait(account, now) for bucket in buckets)
        if not wait:
            for bucket in buckets:
                bucket.take(account, now)
            self._note(account, {number}, True)
        return wait

    def know(self, account: str, numbers: set[str]) -> None:
        """These are no strangers to the account."""
        self._note(account, numbers, True)

    def knows(self, account: str, number: str) -> bool:
        """Whether the account has addressed, or heard from, this number."""
        return self._account(account).peers.get(self._hash(number), False)

    def forget(self, account: str) -> None:
        """Everybody is a stranger to the account again; what it has asked for is still free."""
        peers = self._account(account).peers
        peers.update(dict.fromkeys(peers, False))
