"""The server's secrets in DATA/keys: made at first start, folder 0700, files 0600."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.errors import ServerStartError
from signaling.tokens import encode_public_key


@dataclass(frozen=True, slots=True)
class Keys:
    """`signing` makes access tokens (its `key_id` is the RFC 7638 thumbprint), `pepper` hides the SMS codes."""

    signing: Ed25519PrivateKey = field(repr=False)
    key_id: str
    pepper: bytes = field(repr=False)

    def jwk_set(self) -> dict[str, list[dict[str, str]]]:
        """The public key (RFC 8037 section 2)."""
        x = encode_public_key(self.signing.public_key())
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.key_id, "alg": "EdDSA", "use": "sig"}
        return {"keys": [jwk]}


def load_keys(folder: Path) -> Keys:
    """Reads the keys, making those that are missing. Raises ServerStartError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        fresh = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem = _read_or_make(folder / "signing.pem", fresh)
        pepper = _read_or_make(folder / "sms-pepper", os.urandom(32))
        signing = serialization.load_pem_private_key(pem, None)
    except OSError as error:
        raise ServerStartError(f"cannot use {folder}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ServerStartError(f"{folder / 'signing.pem'} is damaged") from None
    if not isinstance(signing, Ed25519PrivateKey) or len(pepper) != 32:
        raise ServerStartError(f"the keys in {folder} are damaged")
    x = encode_public_key(signing.public_key())
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).hexdigest()[:16]
    return Keys(signing, thumbprint, pepper)


def _read_or_make(path: Path, fresh: bytes) -> bytes:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    return fresh
