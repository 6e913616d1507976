"""Who may have a code sent to which number: the limits of reference/signaling.md section 5.

Every limit is asked before any is drawn on, so that a refusal costs nobody anything. Nothing here knows whether a
number is registered: neither answers nor times can tell.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from signaling.network_address import address_key, network_key
from signaling.policy.conversion import ConversionGuard, ConversionRules
from signaling.rate_limit import KeyedBuckets, KeyedQuotas, Quota, Rate

# A prefix is a number without its last digits: the block that fraud buys.
PREFIX_DIGITS = 4
MAX_KEYS = 100_000
NETWORKS_OF_A_NUMBER = 4


@dataclass(frozen=True, slots=True)
class SmsLimits:
    """Limits on codes and on the requests around them.

    `number`: codes to one number from anywhere. `number_of_network`: those of one network (/24, /56), so that one
    attacker cannot use up the victim's. `number_at_home`: codes asked for from a network where the number has proved
    itself; they do not count with the others, and of each prefix and country there is a budget for those alone, on
    which only registered numbers draw. `number_local`: callers on this host, of a gateway that sends nothing out of
    it; nothing else holds for them.
    """

    number: Rate = field(default=Rate(5, 288 * 60))
    number_gap: Rate = field(default=Rate(1, 60))
    number_of_network: Rate = field(default=Rate(3, 8 * 3600))
    number_at_home: Rate = field(default=Rate(5, 288 * 60))
    number_local: Rate = field(default=Rate(10, 1800))
    address_calls: Rate = field(default=Rate(6, 30))
    network_numbers: Quota = field(default=Quota(10, 3600))
    prefix: Quota = field(default=Quota(20, 3600))
    country: Quota = field(default=Quota(1000, 86400))
    conversion: ConversionRules = field(default=ConversionRules())
    # What is still sent where too few codes are entered: enough for it to recover by itself.
    suspicious_prefix: Rate = field(default=Rate(1, 600))
    suspicious_country: Rate = field(default=Rate(10, 60))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `local`: a process of this host, and no code leaves it."""

    address: str | None
    local: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """`limit` names the field of SmsLimits; `wait` is in seconds."""

    limit: str
    wait: float


@dataclass(frozen=True, slots=True)
class SentCode:
    """A code that may be sent, or was, and what it drew on: names of SmsLimits' fields and keys. `at` is when."""

    registration: str
    at: float
    drawn: tuple[tuple[str, str], ...]
    entered: bool = False


class SmsPolicy:
    """`secret` keys the hashes under which numbers and networks are kept; `country_of` a number's.

    Limits live in memory. With a log of SentCode of the last day, replay() brings them back after a restart.
    """

    def __init__(self, limits: SmsLimits, secret: bytes, country_of: Callable[[str], str | None]) -> None:
        self._limits = limits
        self._secret = secret
        self._country_of = country_of
        self._buckets: dict[str, KeyedBuckets] = {}
        self._quotas: dict[str, KeyedQuotas] = {}
        for name in limits.__dataclass_fields__:
            match getattr(limits, name):
                case Rate() as rate:
                    self._buckets[name] = KeyedBuckets(rate, MAX_KEYS)
                case Quota() as quota:
                    self._quotas[name] = KeyedQuotas(quota, MAX_KEYS)
        self._conversion = ConversionGuard(limits.conversion)
        self._homes: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def _hash(self, text: str) -> str:
        return hashlib.blake2b(text.encode(), key=self._secret, digest_size=12).hexdigest()

    def call(self, caller: Caller, now: float) -> Refusal | None:
        """A request that belongs to a registration, whatever it asks for; None if it may go on."""
        if caller.local:
            return None
        return self._take([("address_calls", address_key(caller.address))], now)

    def send(
        self, number: str, registration: str, caller: Caller, now: float, *, first: bool
    ) -> SentCode | Refusal:
        """One code to this number, `first` of its registration. A SentCode: it may be sent, and is counted."""
        limits = self._limits_for(number, caller, now, first)
        return self._take(limits, now) or SentCode(registration, now, tuple(limits))

    def sent(self, code: SentCode) -> None:
        """The gateway took the code."""
        for name, key in code.drawn:
            if name in ("prefix", "country"):
                self._conversion.sent(key, code.registration, code.at)

    def failed(self, code: SentCode) -> None:
        """The gateway did not take it: an outage of ours is not the number's fault."""
        for name, key in code.drawn:
            if name.startswith("number"):
                self._buckets[name].give_back(key)

    def replay(self, codes: Iterable[SentCode]) -> None:
        """Codes that were sent before this process began, oldest first."""
        for code in codes:
            for name, key in code.drawn:
                if (limit := self._quotas.get(name) or self._buckets.get(name)) is not None:
                    limit.take(key, code.at)
                if name in ("prefix", "country"):
                    self._conversion.sent(key, code.registration, code.at)
                    if code.entered:
                        self._conversion.entered(key, code.registration)
                if name == "number_gap" and code.entered:
                    self._buckets[name].forget(key)

    def entered(self, number: str, registration: str, caller: Caller) -> None:
        """The right code came back."""
        for key in (*self._areas(number, False), *self._areas(number, True)):
            self._conversion.entered(key, registration)
        self._buckets["number_gap"].forget(self._hash(number))
        self.at_home(number, caller)

    def at_home(self, number: str, caller: Caller) -> None:
        """The number's owner was seen in this network: nobody elsewhere can use up his codes there."""
        homes = self._homes.setdefault(self._hash(number), OrderedDict())
        self._homes.move_to_end(self._hash(number))
        network = self._hash(network_key(caller.address))
        homes[network] = None
        homes.move_to_end(network)
        while len(homes) > NETWORKS_OF_A_NUMBER:
            homes.popitem(last=False)
        while len(self._homes) > MAX_KEYS:
            self._homes.popitem(last=False)

    def _areas(self, number: str, is_at_home: bool) -> tuple[str, str]:
        home = "home " if is_at_home else ""
        return f"{home}prefix {number[:-PREFIX_DIGITS]}", f"{home}country {self._country_of(number)}"

    def _limits_for(self, number: str, caller: Caller, now: float, first: bool) -> list[tuple[str, str]]:
        who = self._hash(number)
        if caller.local:
            return [("number_local", who)]
        network = self._hash(network_key(caller.address))
        is_at_home = network in self._homes.get(who, ())
        if is_at_home:
            of_number = [("number_at_home", who)]
        else:
            of_number = [("number", who), ("number_of_network", f"{who} {network}")]
        prefix, country = self._areas(number, is_at_home)
        limits = [*of_number, ("number_gap", who), ("prefix", prefix), ("country", country)]
        if first:
            limits.append(("network_numbers", network))
        for area, name in ((prefix, "suspicious_prefix"), (country, "suspicious_country")):
            if self._conversion.is_suspicious(area, now):
                limits.append((name, area))
        return limits

    def _take(self, limits: list[tuple[str, str]], now: float) -> Refusal | None:
        asked = [(self._quotas.get(name) or self._buckets[name], name, key) for name, key in limits]
        wait, name = max((limit.wait(key, now), name) for limit, name, key in asked)
        if wait:
            return Refusal(name, wait)
        for limit, _, key in asked:
            limit.take(key, now)
        return None
