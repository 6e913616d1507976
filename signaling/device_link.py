"""Linking a device to an account: it shows a code, a device that is registered reads it and vouches for it. Sans-IO.

The code holds the link's id, a digest of the new device's key, and a secret. By the digest whoever reads the code knows
which key to sign for, whatever the server says. The server never sees the secret: a MAC with it tells the new device
that the list of devices it is given comes from who read the code, so that it knows its siblings from them and not
from the server. Links live in memory, for ten minutes.
"""

import hashlib
import hmac
import random
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.device_list import MAX_STEP, DeviceList, verify_device_list
from signaling.errors import TokenError
from signaling.fairness import FairPlaces
from signaling.network_address import address_path
from signaling.problem import Problem
from signaling.rate_limit import KeyedBuckets, Rate
from signaling.tokens import b64url, decode_public_key, encode_public_key, unb64url

LIFE = 600.0
MAX_OPEN = 1000
MAX_OPEN_OF_ADDRESS = 50
# New links of one address.
LINK_RATE = Rate(10, 60)
_CODE = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{22})")
SECRET_BYTES = 16


def _proof_bytes(domain: str, device_key: str) -> bytes:
    return "\n".join(("ringline-link-1", domain, device_key)).encode()


def make_link_proof(key: Ed25519PrivateKey, domain: str) -> str:
    return b64url(key.sign(_proof_bytes(domain, encode_public_key(key.public_key()))))


def _digest(device_key: str) -> str:
    return b64url(hashlib.sha256(device_key.encode()).digest()[:16])


@dataclass(frozen=True, slots=True)
class LinkCode:
    """What the new device shows. `str()` is the text."""

    link: str = field(repr=False)
    digest: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls, link: str, device_key: str, secret: bytes) -> "LinkCode":
        """`secret`: SECRET_BYTES random ones."""
        return cls(link, _digest(device_key), b64url(secret))

    @classmethod
    def parse(cls, text: str) -> "LinkCode":
        """Raises TokenError."""
        match = _CODE.fullmatch(text.strip())
        if match is None:
            raise TokenError("this is not a link code", "malformed")
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"{self.link}.{self.digest}.{self.secret}"

    def names(self, device_key: str) -> bool:
        """Whether it was shown by a device with this key."""
        return _digest(device_key) == self.digest

    def seal(self, device_list: str) -> str:
        """What goes with the list to the new device (HMAC-SHA256, RFC 2104)."""
        message = f"ringline-link-list-1\n{device_list}".encode()
        return b64url(hmac.new(unb64url(self.secret), message, hashlib.sha256).digest())

    def sealed(self, device_list: str, seal: str) -> bool:
        """Whether the list comes from who read this code."""
        return hmac.compare_digest(self.seal(device_list).encode(), seal.encode(errors="replace"))


@dataclass(slots=True)
class Link:
    """`made` is the answer for the new device, once somebody has approved it."""

    id: str = field(repr=False)
    device: str
    key: str
    name: str
    expires: float
    made: dict[str, Any] | None = field(default=None, repr=False)


class Links:
    """The open links. Everything raises Problem."""

    def __init__(self, domain: str, rng: random.Random) -> None:
        self._domain = domain
        self._rng = rng
        self._open: OrderedDict[str, Link] = OrderedDict()
        self._places: FairPlaces[str] = FairPlaces(MAX_OPEN, MAX_OPEN_OF_ADDRESS)
        self._rates = KeyedBuckets(LINK_RATE)

    def begin(self, key: str, name: str, proof: str, address: str | None, now: float) -> Link:
        """Where too many are open, one of whoever has most of them ends."""
        try:
            public = decode_public_key(key)
        except TokenError:
            raise Problem("bad_key") from None
        try:
            public.verify(unb64url(proof, 64), _proof_bytes(self._domain, key))
        except (TokenError, InvalidSignature):
            raise Problem("bad_proof", "the proof does not fit the device key") from None
        self._sweep(now)
        path = address_path(address)
        if wait := self._rates.take(path[-1], now):
            raise Problem("too_many", retry_after_s=wait)
        id_ = f"{self._rng.getrandbits(128):032x}"
        link = Link(id_, f"d{self._rng.getrandbits(64):016x}", key, name, now + LIFE)
        self._open[id_] = link
        if (crowded_out := self._places.add(id_, path)) is not None:
            del self._open[crowded_out]
        return link

    def find(self, id_: str, now: float) -> Link:
        self._sweep(now)
        link = self._open.get(id_)
        if link is None:
            raise Problem("link_over")
        return link

    def _sweep(self, now: float) -> None:
        while self._open and next(iter(self._open.values())).expires <= now:
            self._places.remove(self._open.popitem(last=False)[0])


def check_list(
    token: str, number: str, domain: str, signer: tuple[str, str], devices: dict[str, str], version: int
) -> DeviceList:
    """A list that the device `signer` (device, key) hands in: it must name exactly these devices and be the next after
    `version`, or nearly. Raises Problem."""
    try:
        listed = verify_device_list(token, number, domain, {signer[0]: signer[1]})
    except TokenError as error:
        raise Problem("bad_list", str(error)) from None
    if listed.devices != devices:
        raise Problem("bad_list", "the list does not name exactly the account's devices")
    if not version < listed.version <= version + MAX_STEP:
        raise Problem("bad_list", "the version of the list does not follow the one before")
    return listed
