"""How a server proves that it is the right one: by an authority that this machine trusts, or by what the user names.

What the user names is kept in the profile as text: certificates (PEM), of which one must have signed the server's, or
`sha256:` and the fingerprint of the server's own certificate. Nothing else is accepted beside it.
"""

import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp

from signaling.errors import ProfileError

PREFIX = "sha256:"
CA_HELP = "what proves the server: a file of certificates (PEM), or the fingerprint that `serve --lan` prints"
MAX_FILE_BYTES = 256 * 1024


class Redirected(aiohttp.ClientError):
    """The server sends its clients to another address."""


def read_trust(text: str) -> str:
    """A PEM file, or `sha256:` with 64 hexadecimal digits (colons do not count), as it is kept. Raises ProfileError."""
    if text.lower().startswith(PREFIX):
        digits = text[len(PREFIX) :].replace(":", "").lower()
        trust = PREFIX + digits
    else:
        try:
            with Path(text).open("rb") as file:
                trust = file.read(MAX_FILE_BYTES).decode("ascii", "replace")
        except OSError as error:
            raise ProfileError(f"cannot read {text}: {error.strerror}") from None
    if not is_trust(trust):
        raise ProfileError(f"{text} is neither a file of certificates (PEM) nor sha256: and 64 digits")
    return trust


def is_trust(text: str) -> bool:
    """Whether `open_session` can use it."""
    try:
        _ssl_of(text)
    except (ValueError, ssl.SSLError):
        return False
    return True


def open_session(trust: str, **options: Any) -> aiohttp.ClientSession:
    """A session that speaks TLS only to the server that proves itself so; "": as every program does. It goes nowhere
    but where it is sent: a redirection may lead to what is not encrypted.

    `options` are those of aiohttp.TCPConnector.
    """
    staying = aiohttp.TraceConfig()
    staying.on_request_redirect.append(_stay)
    connector = aiohttp.TCPConnector(ssl=_ssl_of(trust), **options)
    return aiohttp.ClientSession(connector=connector, trace_configs=[staying])


async def _stay(
    session: aiohttp.ClientSession, context: SimpleNamespace, asked: aiohttp.TraceRequestRedirectParams
) -> None:
    asked.response.close()
    raise Redirected(f"{asked.url.origin()} sends its clients elsewhere")


def _ssl_of(trust: str) -> "ssl.SSLContext | aiohttp.Fingerprint | bool":
    if not trust:
        return True
    if trust.startswith(PREFIX):
        return aiohttp.Fingerprint(bytes.fromhex(trust.removeprefix(PREFIX)))
    return ssl.create_default_context(cadata=trust)
