"""What client and server both build and verify: keys, proof of possession, assertion, access token.

All signatures are Ed25519 (RFC 8032); JWS is compact with `alg` EdDSA (RFC 8037), fixed by the verifier, not
taken from the header. `now` here is the wall clock, seconds since 1970.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard, TypeVar

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from signaling.errors import InvalidJid, TokenError
from signaling.jid import Jid

T = TypeVar("T")

ACCESS_TOKEN_LIFE = 900
ASSERTION_WINDOW = 300
LEEWAY = 30
MAX_TOKEN_LENGTH = 4096
MAX_TIME = 253_402_300_799  # the end of the year 9999, beyond which there is no date to write


def b64url(data: bytes) -> str:
    """RFC 7515 base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str, length: int | None = None) -> bytes:
    """Strict inverse of b64url. Raises TokenError (`malformed`), also if not `length` bytes come out."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise TokenError("not base64url", "malformed") from None
    if b64url(data) != text or (length is not None and len(data) != length):
        raise TokenError("not base64url of the right length", "malformed")
    return data


def encode_public_key(key: Ed25519PublicKey) -> str:
    """The 32 raw bytes as base64url: `device_key` on the wire and `x` of a JWK."""
    return b64url(key.public_bytes_raw())


def decode_public_key(text: str) -> Ed25519PublicKey:
    """Raises TokenError (`malformed`)."""
    try:
        return Ed25519PublicKey.from_public_bytes(unb64url(text, 32))
    except ValueError:
        raise TokenError("not an Ed25519 key", "malformed") from None


def _proof_bytes(domain: str, registration: str, number: str, device_key: str) -> bytes:
    return "\n".join(("ringline-register-1", domain, registration, number, device_key)).encode()


def make_proof(key: Ed25519PrivateKey, domain: str, registration: str, number: str) -> str:
    """The signature that shows possession of a device key while registering (protocol.md section 1)."""
    device_key = encode_public_key(key.public_key())
    return b64url(key.sign(_proof_bytes(domain, registration, number, device_key)))


def verify_proof(proof: str, domain: str, registration: str, number: str, device_key: str) -> None:
    """Raises TokenError."""
    public = decode_public_key(device_key)
    try:
        public.verify(unb64url(proof, 64), _proof_bytes(domain, registration, number, device_key))
    except InvalidSignature:
        raise TokenError("the proof is not signed by the device key", "signature") from None


def sign_jws(
    key: Ed25519PrivateKey, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None
) -> str:
    """A compact JWS of the claims, `typ` JWT unless `header` says otherwise."""
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return jwt.PyJWS().encode(payload, key, algorithm="EdDSA", headers=dict(header or {}))


def read_jws(token: str, find_key: Callable[[dict[str, Any]], Ed25519PublicKey]) -> dict[str, Any]:
    """The verified claims of a compact JWS.

    `find_key` gets the header, not yet verified, and returns the key (or raises TokenError). Raises
    TokenError: `malformed` or `signature`.
    """
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        raise TokenError("not a token", "malformed")
    jws = jwt.PyJWS(algorithms=["EdDSA"])
    try:
        header = jws.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenError("not a token", "malformed") from None
    key = find_key(header)
    try:
        claims = json.loads(jws.decode(token, key, algorithms=["EdDSA"]))
    except jwt.InvalidSignatureError:
        raise TokenError("the signature is wrong", "signature") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenError("not a token", "malformed") from None
    if not isinstance(claims, dict):
        raise TokenError("not a token", "malformed")
    return claims


def is_time(value: object) -> TypeGuard[int]:
    """Whole seconds since 1970 that are a date: neither a float (nan, 1e400) nor a number of a thousand digits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TIME


def _claim(claims: dict[str, Any], name: str, kind: type[T]) -> T:
    value = claims.get(name)
    # bool is an int to isinstance, and never meant by these claims; all numbers are times, or smaller.
    if not isinstance(value, kind) or (kind is int and not is_time(value)):
        raise TokenError(f"claim {name} is missing or of the wrong type", "claims")
    return value


@dataclass(frozen=True, slots=True)
class Assertion:
    """A device's signed request for an access token; `audience` is the domain, `issued_at` Unix seconds."""

    device: str
    number: str
    audience: str
    issued_at: int
    id: str


def make_assertion(key: Ed25519PrivateKey, assertion: Assertion) -> str:
    return sign_jws(
        key,
        {
            "iss": assertion.device,
            "sub": assertion.number,
            "aud": assertion.audience,
            "iat": assertion.issued_at,
            "jti": assertion.id,
        },
    )


def verify_assertion(
    token: str, key: Ed25519PublicKey, device: str, number: str, domain: str, now: float
) -> Assertion:
    """All checks but that `id` is used once. Raises TokenError; `skew` if only the time is wrong."""
    claims = read_jws(token, lambda header: key)
    assertion = Assertion(
        _claim(claims, "iss", str),
        _claim(claims, "sub", str),
        _claim(claims, "aud", str),
        _claim(claims, "iat", int),
        _claim(claims, "jti", str),
    )
    if (assertion.device, assertion.number, assertion.audience) != (device, number, domain):
        raise TokenError("the assertion is for another device, number or domain", "claims")
    _check_id_and_time(assertion.id, assertion.issued_at, now)
    return assertion


def make_request_proof(
    key: Ed25519PrivateKey, method: str, url: str, token: str, id_: str, now: float
) -> str:
    """That who sends this request with the access token `token` has the device key (RFC 9449 section 4.2)."""
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": encode_public_key(key.public_key())}
    claims = {"htm": method, "htu": url, "iat": int(now), "jti": id_, "ath": _token_hash(token)}
    return sign_jws(key, claims, {"typ": "dpop+jwt", "jwk": jwk})


def verify_request_proof(
    text: str, key: Ed25519PublicKey, method: str, path: str, token: str, now: float
) -> tuple[str, int]:
    """`jti`, which the caller lets pass once, and `iat`. Raises TokenError; `skew` if only the time is wrong.

    As RFC 9449 section 4.3, but that `jwk` in the header is not asked for: `key` is known, and the only one. Of `htu`
    the path counts, since a proxy may have other names for the host; `ath` ties the proof to a token of this server.
    """

    def find(header: dict[str, Any]) -> Ed25519PublicKey:
        if header.get("typ") != "dpop+jwt":
            raise TokenError("not a proof", "malformed")
        return key

    claims = read_jws(text, find)
    method_, url, hash_, id_ = (_claim(claims, name, str) for name in ("htm", "htu", "ath", "jti"))
    if method_ != method or not url.partition("?")[0].endswith(path) or hash_ != _token_hash(token):
        raise TokenError("the proof is for another request or token", "claims")
    issued_at = _claim(claims, "iat", int)
    _check_id_and_time(id_, issued_at, now)
    return id_, issued_at


def _token_hash(token: str) -> str:
    return b64url(hashlib.sha256(token.encode()).digest())


def _check_id_and_time(id_: str, issued_at: int, now: float) -> None:
    if not 8 <= len(id_) <= 64 or not id_.isprintable():
        raise TokenError("jti must have 8 to 64 characters", "claims")
    if abs(issued_at - now) > ASSERTION_WINDOW:
        raise TokenError(f"iat is more than {ASSERTION_WINDOW} s from the server's time", "skew")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Claims of an access token (protocol.md section 2); `subject` is the bare JID; times: Unix seconds."""

    issuer: str
    subject: Jid
    audience: str
    issued_at: int
    expires: int
    id: str = field(repr=False)
    device: str
    generation: int


def make_access_token(key: Ed25519PrivateKey, key_id: str, token: AccessToken) -> str:
    claims = {
        "iss": token.issuer,
        "sub": str(token.subject),
        "aud": token.audience,
        "iat": token.issued_at,
        "exp": token.expires,
        "jti": token.id,
        "dev": token.device,
        "gen": token.generation,
    }
    return sign_jws(key, claims, {"kid": key_id})


def verify_access_token(
    text: str, keys: Mapping[str, Ed25519PublicKey], domain: str, now: float
) -> AccessToken:
    """Signature, `exp` (compulsory, 30 s leeway), `aud` and the domain of `sub`. Raises TokenError.

    `keys` is by `kid`. Whether device and generation still stand is the store's to say.
    """

    def find(header: dict[str, Any]) -> Ed25519PublicKey:
        key = keys.get(str(header.get("kid")))
        if key is None:
            raise TokenError("signed by an unknown key", "signature")
        return key

    claims = read_jws(text, find)
    try:
        subject = Jid.parse(_claim(claims, "sub", str))
    except InvalidJid:
        raise TokenError("sub is not a JID", "claims") from None
    token = AccessToken(
        issuer=_claim(claims, "iss", str),
        subject=subject,
        audience=_claim(claims, "aud", str),
        issued_at=_claim(claims, "iat", int),
        expires=_claim(claims, "exp", int),
        id=_claim(claims, "jti", str),
        device=_claim(claims, "dev", str),
        generation=_claim(claims, "gen", int),
    )
    if token.audience != domain or subject.domain != domain or subject.number is None or subject.is_full:
        raise TokenError("the token is for another domain", "claims")
    if token.expires + LEEWAY < now:
        raise TokenError("the token has expired", "expired")
    if token.issued_at - LEEWAY > now:
        raise TokenError("the token is from the future", "claims")
    return token
