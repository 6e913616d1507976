"""Which numbers are registered, and with which devices."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from signaling.client.api import NOT_UNDERSTOOD, AccessTokens, member
from signaling.errors import InvalidJid, ServerUnreachable
from signaling.jid import Jid
from signaling.phone_number import is_e164

CACHE_LIFE = 24 * 3600.0
MAX_CACHED = 10_000
MAX_NUMBERS = 1000  # in one request


@dataclass(frozen=True, slots=True)
class Contact:
    """A registered number. `devices` are device -> key (base64url) as the server names them, `device_list` is the
    list that one of them has signed, not verified."""

    number: str
    jid: Jid
    devices: dict[str, str] = field(default_factory=dict)
    device_list: str | None = None


class Contacts:
    """Lookups with a cache of 24 hours. Only hits are cached: who registers can be called at once."""

    def __init__(self, tokens: AccessTokens, domain: str, clock: Callable[[], float]) -> None:
        self._tokens = tokens
        self._domain = domain
        self._clock = clock
        self._cache: OrderedDict[str, tuple[float, Contact]] = OrderedDict()

    async def find(self, number: str) -> Contact | None:
        """None: not registered, or not to be found."""
        return (await self.lookup([number])).get(number)

    async def lookup(self, numbers: list[str]) -> dict[str, Contact]:
        """The registered ones of up to 1,000 E.164 numbers.

        Raises:
            ServerUnreachable, RegistrationError: `too_many` when the budget for new numbers is used up.
        """
        now = self._clock()
        found = {n: c for n in numbers if (c := self._cached(n, now)) is not None}
        unknown = [n for n in numbers if n not in found]
        if len(unknown) > MAX_NUMBERS:
            raise ValueError(f"at most {MAX_NUMBERS} numbers at once")
        if unknown:
            answer = await self._tokens.request("POST", "/contacts/lookup", {"numbers": unknown})
            for entry in member(answer, "registered", list):
                contact = self._contact(entry)
                if contact.number in unknown:
                    found[contact.number] = contact
                    self._cache[contact.number] = (now, contact)
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        return found

    def cached(self, number: str) -> Contact | None:
        """What is known without asking."""
        return self._cached(number, self._clock())

    def forget(self, number: str) -> None:
        """Ask the server again next time: what it said did not fit."""
        self._cache.pop(number, None)

    def _cached(self, number: str, now: float) -> Contact | None:
        since, contact = self._cache.get(number, (0.0, None))
        return contact if contact is not None and now - since < CACHE_LIFE else None

    def _contact(self, entry: Any) -> Contact:
        if not isinstance(entry, dict):
            raise ServerUnreachable(NOT_UNDERSTOOD)
        number = member(entry, "number", str)
        try:
            jid = Jid.parse(member(entry, "jid", str))
        except InvalidJid:
            raise ServerUnreachable(NOT_UNDERSTOOD) from None
        # The address must be the number's own: else a directory could send a call to somebody else.
        if not is_e164(number) or jid != Jid(number, self._domain):
            raise ServerUnreachable("the server's directory contradicts itself")
        devices = {}
        for device in member(entry, "devices", list):
            if isinstance(device, dict):
                devices[member(device, "device", str)] = member(device, "key", str)
        listed = entry.get("list")
        return Contact(number, jid, devices, listed if isinstance(listed, str) else None)
