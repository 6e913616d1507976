"""Whom an account may ask for, whom it may address, and to whom it has shown itself (protocol.md section 3). In memory,
told the time."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntFlag

from signaling.rate_limit import KeyedBuckets, KeyedQuotas, Quota, Rate

MAX_ACCOUNTS = 100_000
MAX_PEERS = 10_000
MAX_ALL_PEERS = 2_000_000


@dataclass(frozen=True, slots=True)
class ContactLimits:
    """`numbers`: those that are new to an account, looked up or addressed; an address book fits in at once.
    `strangers`: those addressed for the first time; `young_strangers` holds as well for accounts that are younger
    than `young` seconds. Sources: reference/signaling.md section 5. `kept_of_stranger`: messages to be kept for an
    account that has never addressed their sender; in a week as many as are kept of one sender (server_limits.py), so
    that the first one for which there is no room does not tell that nobody has been online."""

    numbers: Rate = field(default=Rate(5000, 172.8))
    strangers: Rate = field(default=Rate(10, 30))
    young_strangers: Quota = field(default=Quota(30, 86400))
    young: float = 7 * 86400
    kept_of_stranger: Rate = field(default=Rate(250, 7 * 86400))


class Met(IntFlag):
    """How an account has to do with a number."""

    NOT = 0
    ASKED = 1  # looked up
    HEARD = 2  # had a message from
    ADDRESSED = 4  # sent to
    SHOWN = 8  # sent presence to
    BY_GUEST = 16  # sent to, but only by who has shown no key of a device

    @property
    def is_counted(self) -> bool:
        """It draws on `numbers` no more."""
        return bool(self & (Met.ASKED | Met.HEARD | Met.ADDRESSED | Met.BY_GUEST))

    @property
    def is_no_stranger(self) -> bool:
        return bool(self & (Met.HEARD | Met.ADDRESSED | Met.BY_GUEST))

    @property
    def sees(self) -> bool:
        """The number may see what the account's devices see and when: it was shown by the account itself."""
        return bool(self & (Met.ADDRESSED | Met.SHOWN))


class _Account:
    __slots__ = ("peers", "since")

    def __init__(self) -> None:
        # By the hash of a number, oldest first.
        self.peers: OrderedDict[int, Met] = OrderedDict()
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
        self._kept = KeyedBuckets(limits.kept_of_stranger, MAX_ACCOUNTS)
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._all_peers = 0

    def _hash(self, number: str) -> int:
        digest = hashlib.blake2b(number.encode(), key=self._secret, digest_size=8).digest()
        return int.from_bytes(digest, "big")

    def _account(self, account: str) -> _Account:
        found = self._accounts.setdefault(account, _Account())
        self._accounts.move_to_end(account)
        return found

    def _met(self, account: str, number: str) -> Met:
        return self._account(account).peers.get(self._hash(number), Met.NOT)

    def _note(self, account: str, numbers: set[str], met: Met) -> None:
        peers = self._account(account).peers
        before = len(peers)
        for number in numbers - {account}:
            key = self._hash(number)
            peers[key] = met | peers.get(key, Met.NOT)
            if met is not Met.ASKED:
                peers.move_to_end(key)
        while len(peers) > MAX_PEERS:
            peers.popitem(last=False)
        self._all_peers += len(peers) - before
        while self._all_peers > MAX_ALL_PEERS or len(self._accounts) > MAX_ACCOUNTS:
            self._all_peers -= len(self._accounts.popitem(last=False)[1].peers)

    def opened(self, account: str, since: float) -> None:
        """The account is here; it exists since then."""
        self._account(account).since = since
        self._note(account, set(), Met.NOT)

    def ask(self, account: str, numbers: set[str], now: float) -> float:
        """0 if the account may ask for all of these (they are known from now on), else the seconds to wait."""
        new = {number for number in numbers - {account} if not self._met(account, number).is_counted}
        wait = self._numbers.take(account, now, len(new)) if new else 0.0
        if not wait:
            self._note(account, new, Met.ASKED)
        return wait

    def address(self, account: str, number: str, now: float, *, by_key: bool = True) -> float:
        """0 if the account may send to this number (it is no stranger from now on), else the seconds to wait.
        `by_key` is False for a guest, who shows the account to nobody."""
        if number == account:
            return 0.0
        own, met = self._account(account), self._met(account, number)
        buckets: list[KeyedBuckets | KeyedQuotas] = [] if met.is_no_stranger else [self._strangers]
        # A date in the future is that of a clock that was wrong.
        if buckets and 0 <= now - own.since < self._limits.young:
            buckets.append(self._young_strangers)
        if not met.is_counted:
            buckets.append(self._numbers)
        wait = max((bucket.wait(account, now) for bucket in buckets), default=0.0)
        if not wait:
            for bucket in buckets:
                bucket.take(account, now)
            self._note(account, {number}, Met.ADDRESSED if by_key else Met.BY_GUEST)
        return wait

    def keep(self, account: str, number: str, now: float) -> float:
        """0 if one more message of the account may be kept for this number, else the seconds to wait."""
        return 0.0 if self.sees(account, number) else self._kept.take(f"{account} {number}", now)

    def heard(self, account: str, number: str) -> None:
        """The account had a message from this number, which is no stranger to it from now on."""
        self._note(account, {number}, Met.HEARD)

    def show(self, account: str, number: str, shown: bool = True) -> None:
        """The account has sent presence to this number, or taken it back (RFC 6121 section 4.6). It costs nothing, and
        makes nobody less of a stranger."""
        if shown:
            self._note(account, {number}, Met.SHOWN)
        elif (met := self._met(account, number)) is not Met.NOT:
            self._account(account).peers[self._hash(number)] = met & ~Met.SHOWN

    def sees(self, asker: str, account: str) -> bool:
        """Whether the account has shown itself to the asker, by a message, a question or presence. To all others its
        devices look as if they were not there, whether they are or not."""
        return asker == account or self._met(account, asker).sees

    def forget(self, account: str) -> None:
        """Everybody is a stranger to the account again; what it has asked for is still free."""
        peers = self._account(account).peers
        peers.update(dict.fromkeys(peers, Met.ASKED))
