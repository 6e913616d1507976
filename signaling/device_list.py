"""The signed list of an account's devices: a key that is known vouches for those that are new (protocol.md section 5).

A compact JWS like the others of this system (tokens.py); `version` grows with every list of an account, so that an
old one, with a device that was removed since, is worth nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from signaling.errors import TokenError
from signaling.tokens import decode_public_key, read_jws, sign_jws

TYPE = "ringline-devices"
MAX_DEVICES = 10


@dataclass(frozen=True, slots=True)
class DeviceList:
    """`devices`: device -> key (base64url); `signer` is one of them."""

    number: str
    domain: str
    version: int
    devices: dict[str, str]
    signer: str


def sign_device_list(key: Ed25519PrivateKey, listed: DeviceList) -> str:
    devices = [{"device": device, "key": text} for device, text in sorted(listed.devices.items())]
    claims = {"sub": listed.number, "aud": listed.domain, "ver": listed.version, "devices": devices}
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
    version, entries = claims.get("ver"), claims.get("devices")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version < 2**53:
        raise TokenError("the list has no version", "claims")
    if (claims.get("sub"), claims.get("aud")) != (number, domain):
        raise TokenError("the list is of another account", "claims")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_DEVICES:
        raise TokenError(f"a list has 1 to {MAX_DEVICES} devices", "claims")
    devices: dict[str, str] = {}
    for entry in entries:
        device, key = (entry.get("device"), entry.get("key")) if isinstance(entry, dict) else (None, None)
        if not isinstance(device, str) or not isinstance(key, str) or not 0 < len(device) <= 64:
            raise TokenError("an entry of the list is malformed", "claims")
        decode_public_key(key)
        devices[device] = key
    if len(devices) != len(entries) or devices.get(found[0]) != signers[found[0]]:
        raise TokenError("the signer is not on the list", "claims")
    return DeviceList(number, domain, version, devices, found[0])


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
    return listed if listed.version >= version else None
