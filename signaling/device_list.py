"""The signed list of an account's devices: a key that is known vouches for those that are new (protocol.md section 5).

A compact JWS like the others of this system (tokens.py); `version` grows with every list of an account, so that an
old one, with a device that was removed since, is worth nothing. Nobody believes a list because its own signer is
on it: the chain to each key begins at one that was known before.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from signaling.errors import TokenError
from signaling.tokens import decode_public_key, read_jws, sign_jws, unb64url

TYPE = "ringline-devices"
MAX_DEVICES = 10
MAX_VERSION = 2**53 - 1  # JSON's numbers are exact up to here (RFC 8259 section 6)
# How far the version may grow in one step. A list with the last version there is would be the last of its account.
MAX_STEP = 1000

_DEVICE = re.compile(r"d[0-9a-f]{16}")


def is_device(text: str) -> bool:
    """Whether it is a device's name, as servers give them (protocol.md section 0)."""
    return _DEVICE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class DeviceList:
    """`devices`: device -> key (base64url); `signer` is one of them."""

    number: str
    domain: str
    version: int
    devices: dict[str, str]
    signer: str


def list_claims(listed: DeviceList) -> dict[str, Any]:
    """`ver` and `devices`, as in a list and in a passport."""
    devices = [{"device": device, "key": text} for device, text in sorted(listed.devices.items())]
    return {"ver": listed.version, "devices": devices}


def read_list_claims(
    claims: Mapping[str, Any], number: str, domain: str, signer: str, key: str
) -> DeviceList:
    """The list that `signer` states, who must be on it with `key`; the signature was verified before.

    Raises:
        TokenError: it is not a list.
    """
    version, entries = claims.get("ver"), claims.get("devices")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= MAX_VERSION:
        raise TokenError("the list has no version", "claims")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_DEVICES:
        raise TokenError(f"a list has 1 to {MAX_DEVICES} devices", "claims")
    devices: dict[str, str] = {}
    for entry in entries:
        device, text = (entry.get("device"), entry.get("key")) if isinstance(entry, dict) else (None, None)
        if not isinstance(device, str) or not isinstance(text, str) or not 0 < len(device) <= 64:
            raise TokenError("an entry of the list is malformed", "claims")
        decode_public_key(text)
        devices[device] = text
    if len(devices) != len(entries) or len(set(devices.values())) != len(devices):
        raise TokenError("a device is on the list twice", "claims")
    if devices.get(signer) != key:
        raise TokenError("the signer is not on the list", "claims")
    return DeviceList(number, domain, version, devices, signer)


def sign_device_list(key: Ed25519PrivateKey, listed: DeviceList) -> str:
    claims = {"sub": listed.number, "aud": listed.domain} | list_claims(listed)
    return sign_jws(key, claims, {"typ": TYPE, "kid": listed.signer})


def verify_device_list(token: str, number: str, domain: str, signers: Mapping[str, str]) -> DeviceList:
    """The list, if one of `signers` (device -> key) signed it and is on it with that key. Raises TokenError."""
    found: list[str] = []

    def key_of(header: dict[str, Any]) -> Ed25519PublicKey:
        signer = header.get("kid")
        if header.get("typ") != TYPE or not isinstance(signer, str) or signer not in signers:
            raise TokenError("signed by a device that is not known", "signature")
        found.append(signer)
        return decode_public_key(signers[signer])

    claims = read_jws(token, key_of)
    if (claims.get("sub"), claims.get("aud")) != (number, domain):
        raise TokenError("the list is of another account", "claims")
    return read_list_claims(claims, number, domain, found[0], signers[found[0]])


def read_handed_list(token: str, number: str, domain: str) -> DeviceList:
    """A list that came from its signer in person, so that nothing else need vouch for him (device_link.py).

    Raises:
        TokenError: it does not hold by the keys that it names itself.
    """
    try:
        claims = json.loads(unb64url(token.split(".")[1]))
        signers = {entry["device"]: entry["key"] for entry in claims["devices"]}
        return verify_device_list(token, number, domain, signers)
    except (ValueError, LookupError, TypeError, RecursionError):
        raise TokenError("the list is malformed", "malformed") from None


def newer_list(
    token: str | None, number: str, domain: str, signers: Mapping[str, str], version: int
) -> DeviceList | None:
    """The list if it holds and is not older than `version`; None for any other: it changes nothing then."""
    if token is None:
        return None
    try:
        listed = verify_device_list(token, number, domain, signers)
    except TokenError:
        return None
    return listed if version <= listed.version <= version + MAX_STEP else None


def newest_known(
    known: Mapping[str, str],
    version: int,
    number: str,
    domain: str,
    token: str | None,
    stated: DeviceList | None = None,
) -> DeviceList | None:
    """Where the chain from the known keys leads: None if to nothing newer than `version`.

    Args:
        known: device -> key: the pinned ones.
        token: the list that the server hands out.
        stated: what a device says in its passport, already verified to be by the key that it names for itself.
    """
    newest = None
    for _ in range(2):  # each of the two may vouch for the signer of the other
        for listed in (newer_list(token, number, domain, known, version), stated):
            if (
                listed is not None
                and version < listed.version <= version + MAX_STEP
                and known.get(listed.signer) == listed.devices[listed.signer]
            ):
                newest, known, version = listed, listed.devices, listed.version
    return newest
