"""Who is calling: device keys, signed fingerprints (PASSporT, RFC 8225) and trust on first use.

A passport is a JWS by the device's Ed25519 key over the numbers, the session and the DTLS fingerprints
(`mky`, RFC 8225 section 5.2.2), so that a signaling server cannot put itself between two peers. RFC 8225
makes ES256 mandatory; this system signs with EdDSA (RFC 8037). `now` here is Unix time in seconds.
"""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from signaling.device_list import DeviceList, list_claims, read_list_claims
from signaling.errors import SignalingError, TokenError
from signaling.jingle.transport import Fingerprint
from signaling.phone_number import digits
from signaling.tokens import b64url, decode_public_key, encode_public_key, is_time, read_jws, sign_jws

MAX_AGE = 300  # seconds between `iat` and now, in both directions
USED_SIDS = 4096  # remembered; a sid older than MAX_AGE cannot come back with a good passport

_DIGEST = re.compile(r"[0-9A-F]{64}")


class Trust(StrEnum):
    """What a call says about its peer."""

    VERIFIED = "verified"  # the pinned key, which a person has compared (safety_number.py)
    SAME_KEY = "same key as before"  # the pinned key
    NOT_VERIFIED = "not verified"  # first contact: pinned now
    NEW_DEVICE = "new device"  # a pinned key vouches for it: pinned now
    UNSIGNED = "unsigned"  # a foreign client, admitted by allow_unsigned


class IdentityError(SignalingError):
    """The peer's identity does not hold. `str()` is the reason in a few words.

    `key` is the peer's key when everything but the pin was right: the one that `trust` may acknowledge.
    """

    def __init__(self, why: str, key: str | None = None) -> None:
        super().__init__(why)
        self.key = key


@dataclass(frozen=True, slots=True)
class Party:
    """A device of a number: `number` E.164, `device` its XMPP resource."""

    number: str
    device: str


@dataclass(frozen=True, slots=True)
class Binding:
    """The session that a passport is for. `signer` vouches to `peer`; `offer` is the offer's token in an answer."""

    signer: Party
    peer: Party
    domain: str
    sid: str
    offer: str | None = None


def new_device_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def key_fingerprint(public_key: str) -> str:
    """A key (base64url, as on the wire) for reading aloud: 30 digits in groups of five, from its SHA-256."""
    digest = int.from_bytes(hashlib.sha256(public_key.encode()).digest())
    text = f"{digest % 10**30:030d}"
    return " ".join(text[i : i + 5] for i in range(0, 30, 5))


def _mky(fingerprints: Iterable[Fingerprint]) -> list[dict[str, str]]:
    unique = {(f.algorithm, f.digest.replace(":", "").upper()) for f in fingerprints}
    return [{"alg": algorithm, "dig": digest} for algorithm, digest in sorted(unique)]


def _response_to(offer: str | None) -> str | None:
    return None if offer is None else b64url(hashlib.sha256(offer.encode()).digest())


def sign_passport(
    key: Ed25519PrivateKey,
    binding: Binding,
    fingerprints: Iterable[Fingerprint],
    now: float,
    devices: DeviceList | None = None,
) -> str:
    """The compact JWS. Members are in lexical order without white space (RFC 8225 section 9).

    `devices`: the list of the own account that the signer believes; it vouches for those on it.
    """
    claims: dict[str, Any] = {
        "dest": {"tn": [digits(binding.peer.number)]},
        "dev": binding.signer.device,
        "dom": binding.domain,
        "iat": int(now),
        "mky": _mky(fingerprints),
        "orig": {"tn": digits(binding.signer.number)},
        "peer": binding.peer.device,
        "sid": binding.sid,
    }
    if binding.offer is not None:
        claims["rsp"] = _response_to(binding.offer)
    if devices is not None:
        claims |= list_claims(devices)
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": encode_public_key(key.public_key())}
    ordered = json.loads(json.dumps(claims, sort_keys=True))
    return sign_jws(key, ordered, {"typ": "passport", "jwk": jwk})


class UsedSids:
    """Which sessions already had an offer: a second one with the same sid is a replay. Bounded."""

    def __init__(self, limit: int = USED_SIDS) -> None:
        self._limit = limit
        self._sids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, sid: object) -> bool:
        return sid in self._sids

    def add(self, sid: str) -> None:
        self._sids[sid] = None
        while len(self._sids) > self._limit:
            self._sids.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Passport:
    """What a passport says that holds: the signer's public key (base64url), and whom the signer vouches for."""

    key: str
    devices: DeviceList | None = None


def verify_passport(
    token: str,
    binding: Binding,
    fingerprints: frozenset[Fingerprint],
    now: float,
    used: UsedSids | None = None,
) -> str:
    """The signer's public key; see `read_passport`."""
    return read_passport(token, binding, fingerprints, now, used).key


def read_passport(
    token: str,
    binding: Binding,
    fingerprints: frozenset[Fingerprint],
    now: float,
    used: UsedSids | None = None,
) -> Passport:
    """The passport when it holds for this session and these fingerprints.

    The order is that of docs/protocol.md section 5: form and signature, parties, sid, answer, time,
    fingerprints, devices. Whether the key is the right one is `judge`'s to say. `used` is given for an offer, whose
    sid must be new.

    Raises:
        IdentityError: with the first thing that does not hold.
    """
    keys: list[str] = []

    def own_key(header: dict[str, Any]) -> Ed25519PublicKey:
        jwk = header.get("jwk")
        if header.get("typ") != "passport" or header.get("alg") != "EdDSA" or not isinstance(jwk, dict):
            raise TokenError("not a passport", "malformed")
        if jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519" or not isinstance(jwk.get("x"), str):
            raise TokenError("not an Ed25519 key", "malformed")
        key = decode_public_key(jwk["x"])
        keys.append(jwk["x"])
        return key

    try:
        claims = read_jws(token, own_key)
    except TokenError as error:
        wrong = error.reason == "signature"
        raise IdentityError("the signature is wrong" if wrong else "the passport is malformed") from None
    _check_parties(claims, binding)
    if claims.get("sid") != binding.sid:
        raise IdentityError("the passport was signed for another call")
    if used is not None and binding.sid in used:
        raise IdentityError("the offer was used before")
    if claims.get("rsp") != _response_to(binding.offer):
        raise IdentityError("the passport does not answer our offer")
    issued = claims.get("iat")
    if not is_time(issued) or abs(issued - now) > MAX_AGE:
        raise IdentityError("the passport is too old, or a clock is wrong")
    _check_fingerprints(claims.get("mky"), fingerprints)
    if "devices" not in claims:
        return Passport(keys[0])
    signer = binding.signer
    try:
        devices = read_list_claims(claims, signer.number, binding.domain, signer.device, keys[0])
    except TokenError:
        raise IdentityError("the passport's list of devices is malformed") from None
    return Passport(keys[0], devices)


def _check_parties(claims: dict[str, Any], binding: Binding) -> None:
    expected = (
        ("orig", {"tn": digits(binding.signer.number)}, "signed for another number"),
        ("dest", {"tn": [digits(binding.peer.number)]}, "addressed to another number"),
        ("dom", binding.domain, "from another domain"),
        ("dev", binding.signer.device, "signed for another device"),
        ("peer", binding.peer.device, "addressed to another device"),
    )
    for name, value, why in expected:
        if claims.get(name) != value:
            raise IdentityError(f"the passport is {why}")


def _check_fingerprints(mky: Any, fingerprints: frozenset[Fingerprint]) -> None:
    if not isinstance(mky, list) or not 1 <= len(mky) <= 16:
        raise IdentityError("the passport has no fingerprints")
    signed = set()
    for entry in mky:
        digest = entry.get("dig") if isinstance(entry, dict) else None
        if not isinstance(digest, str) or entry.get("alg") != "sha-256" or not _DIGEST.fullmatch(digest):
            raise IdentityError("the passport has a fingerprint that is not sha-256")
        signed.add(digest)
    present = {f.digest.replace(":", "") for f in fingerprints}
    if any(f.algorithm != "sha-256" for f in fingerprints) or signed != present:
        raise IdentityError("the fingerprints are not those that were signed")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for a peer that may be spoken to. `pin` is the key to remember, None when nothing changes."""

    trust: Trust
    pin: str | None = None


def judge(
    pinned: Mapping[str, str],
    device: str,
    key: str | None,
    *,
    registered: str | None,
    allow_unsigned: bool,
    listed: Mapping[str, str] | None = None,
    verified: Mapping[str, str] | None = None,
) -> Verdict:
    """The table of docs/protocol.md section 5: what is known about a number and what came.

    Args:
        pinned: device -> key of this number.
        device: the device that the call is with.
        key: what its good passport was signed with; None when there was no passport.
        registered: the key that the server's directory names for the device. It is no authority; but who has only
            got into the account's stream cannot make it name another key.
        allow_unsigned: admit a number that never had a key.
        listed: device -> key of the newest list to which the pinned keys lead (device_list.py), if there is one.
        verified: device -> key as a person has compared them.

    Raises:
        IdentityError: the call is refused.
    """
    if key is None:
        if pinned:
            raise IdentityError("the passport is missing, although this number's key is known")
        if not allow_unsigned:
            raise IdentityError("the passport is missing")
        return Verdict(Trust.UNSIGNED)
    known = pinned.get(device)
    contradicted = listed is not None and bool(pinned) and listed.get(device) != key
    if known == key:
        if contradicted:
            raise IdentityError("this device was removed from its number")
        is_verified = verified is not None and verified.get(device) == key
        return Verdict(Trust.VERIFIED if is_verified else Trust.SAME_KEY)
    if contradicted:
        raise IdentityError("this device is not on its number's list of devices")
    if pinned and listed is not None:
        return Verdict(Trust.NEW_DEVICE, pin=key)
    if known is not None:
        raise IdentityError("the key of this number has changed", key)
    if pinned:
        raise IdentityError("this number has a new device with another key", key)
    if registered is None:
        raise IdentityError("the server names no key for this device")
    if registered != key:
        raise IdentityError("the passport is not signed with the key registered for this device")
    return Verdict(Trust.NOT_VERIFIED, pin=key)
