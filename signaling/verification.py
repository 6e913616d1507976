"""The body of POST /registrations/R/verify (protocol.md section 1), as fields."""

from dataclasses import dataclass, field
from typing import Any

from signaling.errors import TokenError
from signaling.problem import Problem, text_field
from signaling.tokens import decode_public_key


@dataclass(frozen=True, slots=True)
class Verification:
    """`code` is six digits, `key` an Ed25519 public key (base64url), `proof` not yet verified."""

    code: str = field(repr=False)
    key: str
    name: str
    proof: str = field(repr=False)

    @classmethod
    def parse(cls, body: dict[str, Any]) -> "Verification":
        """Raises Problem: bad_request (names the field), bad_key."""
        code = text_field(body, "code", 16).replace(" ", "").replace("-", "")
        if len(code) != 6 or not (code.isascii() and code.isdigit()):
            raise Problem("bad_request", "code must be six digits")
        key = text_field(body, "device_key", 64)
        name, proof = text_field(body, "device_name", 64), text_field(body, "proof", 128)
        try:
            decode_public_key(key)
        except TokenError:
            raise Problem("bad_key") from None
        return cls(code, key, name, proof)
