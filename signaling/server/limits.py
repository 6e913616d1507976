"""Every number that bounds what one client can do to the server, and who may ask for whom."""

import hashlib
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field

from signaling.rate_limit import KeyedBuckets, Rate
from signaling.stream import DEFAULT_TIMES, StreamTimes

MAX_ACCOUNTS = 10_000
MAX_PEERS = 2_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds unless the name says otherwise. Sources: protocol.md, and reference/signaling.md section 5."""

    body_bytes: int = 64 * 1024
    # Above a stream's own 256 KiB, so that a frame between the two still gets its stream error.
    websocket_message_bytes: int = 1024 * 1024
    queue_stanzas: int = 512
    queue_bytes: int = 1024 * 1024
    times: StreamTimes = DEFAULT_TIMES
    # A client that sends faster is read slower (one unit is a stanza, or each 4 KiB of a larger one).
    stanzas: Rate = field(default=Rate(256, 1 / 64))
    contacts: Rate = field(default=Rate(10, 30))
    login_failures: Rate = field(default=Rate(3, 20))
    lookup_numbers: int = 1000
    code_life: float = 600
    code_tries: int = 5
    # The wait after the first, second, ... wrong code; after the last try the registration is over.
    check_delays: tuple[float, ...] = (0, 0, 60, 120)
    # The wait after the first, second, ... SMS; there is one SMS more than waits.
    send_delays: tuple[float, ...] = (60, 120, 300, 600)
    # Registrations and resends of one number, whoever asks; and of one address (loopback is exempt).
    number_sends: Rate = field(default=Rate(10, 1800))
    address_sends: Rate = field(default=Rate(20, 120))
    device_idle: float = 90 * 86400
    message_life: float = 7 * 86400
    messages_kept: int = 1000
    message_chars: int = 64 * 1024
    drain: float = 2.0


def address_key(address: str | None) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64 (RFC 6177: a site has at least that)."""
    try:
        ip = ipaddress.ip_address((address or "").strip("[]").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class ContactBudget:
    """One budget an account for asking after numbers new to it, by lookup or by message (protocol.md section 3).

    Whom an account has asked for, or heard from, is free from then on. That is kept in memory only, as keyed
    hashes: nobody's misses are stored. A restart forgets it, which costs a caller one unit for each peer.
    """

    rate: Rate
    secret: bytes
    _buckets: KeyedBuckets = field(init=False)
    _known: OrderedDict[str, OrderedDict[bytes, None]] = field(init=False, default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._buckets = KeyedBuckets(self.rate, MAX_ACCOUNTS)

    def _hash(self, number: str) -> bytes:
        return hashlib.blake2b(number.encode(), key=self.secret, digest_size=8).digest()

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
