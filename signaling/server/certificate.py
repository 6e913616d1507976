"""A certificate of one's own, for a server in a local network: no authority vouches for a private address."""

import datetime
import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signaling.errors import ServerStartError

DAYS = 3650
# RFC 5737: an address that nobody has. Nothing is sent there; the system only says which way it would go.
NOWHERE = ("192.0.2.1", 9)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files, and the SHA-256 of the certificate as clients take it."""

    certificate: Path
    key: Path
    fingerprint: str


def own_address() -> str:
    """This machine's address in its network. Raises ServerStartError where there is none."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(NOWHERE)
            return str(probe.getsockname()[0])
    except OSError:
        raise ServerStartError(
            "this machine seems to be in no network: name its address, --lan ADDRESS"
        ) from None


def certificate_for(address: str, folder: Path) -> Certificate:
    """The one for this IP address in `folder`; made there the first time. Raises ServerStartError."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise ServerStartError(f"--lan {address}: that is not an IP address of this machine") from None
    if not _is_ours(ip):
        raise ServerStartError(f"--lan {address}: that is not an IP address of this machine")
    name = address.replace(":", "-")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (certificate.is_file() and key.is_file()):
            _make(ip, certificate, key)
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    except OSError as error:
        raise ServerStartError(f"cannot make a certificate in {folder}: {error.strerror}") from None
    except ValueError:
        raise ServerStartError(f"{certificate} is damaged: remove it, and a new one is made") from None
    return Certificate(certificate, key, f"sha256:{loaded.fingerprint(hashes.SHA256()).hex()}")


def _is_ours(ip: "ipaddress.IPv4Address | ipaddress.IPv6Address") -> bool:
    try:
        with socket.socket(
            socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_STREAM
        ) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True


def _make(ip: "ipaddress.IPv4Address | ipaddress.IPv6Address", certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Ringline at {ip}")])
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secret)
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
