"""The registration PIN: who has stolen a number's SMS cannot register it while its owner is around. Sans-IO.

As Signal's registration lock and WhatsApp's two-step verification: after seven days in which no device of the account
was used, the code by SMS is enough again, for a number may have got another owner.
"""

import hashlib
import hmac

from signaling.problem import Problem
from signaling.rate_limit import Rate

LAPSES_AFTER = 7 * 86400.0
# Tries with a right code and a wrong PIN, for one number (reference/signaling.md section 5: 10 a day).
TRIES = Rate(10, 8640)


def pin_hash(pin: str, number: str, pepper: bytes) -> str:
    """Takes 50 ms and 16 MB: a stolen database without the pepper is worth nothing, with it six digits cost a day."""
    salt = hmac.new(pepper, f"pin|{number}".encode(), hashlib.sha256).digest()
    return hashlib.scrypt(pin.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32).hex()


def read_pin(value: object) -> str:
    """Raises Problem(bad_request)."""
    if not isinstance(value, str) or not (value.isascii() and value.isdigit() and 6 <= len(value) <= 20):
        raise Problem("bad_request", "pin must be 6 to 20 digits")
    return value


def is_locked(last_used: float, now: float) -> bool:
    return now - last_used < LAPSES_AFTER
