"""The number that two people compare to know that nobody is between them: 60 digits, the same on both sides.

As Signal's numeric fingerprint (libsignal, "numeric fingerprints", version 0): 30 digits a side, from 5,200 rounds
of SHA-512 over the side's keys, the lower half first.
"""

import hashlib
from collections.abc import Iterable

from signaling.tokens import unb64url

ROUNDS = 5200
GROUPS = 6
DIGITS = 2 * 5 * GROUPS


def safety_number(own: tuple[str, Iterable[str]], peer: tuple[str, Iterable[str]]) -> str:
    """Each side is its number (E.164) and the keys of its devices (base64url). Twelve groups of five digits."""
    halves = sorted((_half(*own), _half(*peer)))
    digits = "".join(halves)
    return " ".join(digits[i : i + 5] for i in range(0, len(digits), 5))


def _half(number: str, keys: Iterable[str]) -> str:
    material = b"".join(sorted(unb64url(key, 32) for key in set(keys)))
    digest = b"\0\0" + material + number.encode()
    for _ in range(ROUNDS):
        digest = hashlib.sha512(digest + material).digest()
    chunks = (digest[5 * i : 5 * i + 5] for i in range(GROUPS))
    return "".join(f"{int.from_bytes(chunk) % 100_000:05d}" for chunk in chunks)
