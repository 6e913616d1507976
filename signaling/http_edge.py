"""Who sends an HTTP request, and under which name he reached us: from the connection and the headers."""

import ipaddress
import re
from collections.abc import Mapping, Sequence

from signaling.network_address import is_loopback

# Who sends these is no local program, but a proxy that nobody told us of.
PROXY_HEADERS = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
HOST_HEADER = re.compile(r"[A-Za-z0-9._\-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")


def client_address(remote: str | None, forwarded_for: Sequence[str], behind_proxy: bool) -> str | None:
    """`forwarded_for`: all X-Forwarded-For headers, whose last entry is the one that our own proxy wrote."""
    if behind_proxy and forwarded_for:
        return forwarded_for[-1].rpartition(",")[2].strip() or remote
    return remote


def is_local_caller(remote: str | None, headers: Mapping[str, str], behind_proxy: bool) -> bool:
    """A program on this very host. `headers` must ignore the case of names."""
    return (
        not behind_proxy and is_loopback(remote or "") and not any(name in headers for name in PROXY_HEADERS)
    )


def is_foreign_page(headers: Mapping[str, str], allowed: frozenset[str]) -> bool:
    """Whether a browser sends this for a page that is neither ours nor of the `allowed` origins (RFC 6454).

    Such a page asks with the address, and from the host, of whoever looks at it. Programs send no Origin. A browser
    leaves it out where a page only loads something from us (an image); then Fetch Metadata tells. Who follows a link
    to us, or types our address, is welcome.

    Without TLS a name proves nothing: its owner can let it point at us for a moment (DNS rebinding), and a page from
    there would be "ours". So there only an address, or this host's own name, is.
    """
    origin = headers.get("Origin")
    if origin is not None:
        scheme, _, host = origin.partition("://")
        is_proved = scheme == "https" or (scheme == "http" and _is_no_name(host))
        own = is_proved and host.lower() == headers.get("Host", "").lower()
        return not own and origin.lower() not in allowed
    asked_by = headers.get("Sec-Fetch-Site", "none")
    return asked_by not in ("none", "same-origin") and headers.get("Sec-Fetch-Mode") != "navigate"


def _is_no_name(host: str) -> bool:
    """Whether DNS has no say in where `HOST[:PORT]` is (RFC 6761 section 6.3: nor has it for localhost)."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    if f".{name.lower()}".endswith(".localhost"):
        return True
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def cors_headers(headers: Mapping[str, str], allowed: frozenset[str]) -> dict[str, str]:
    """What lets a page of an `allowed` origin read the answer (Fetch standard, 3.2)."""
    origin = headers.get("Origin", "")
    if origin.lower() not in allowed:
        return {}
    answer = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After, Date"}
    if "Access-Control-Request-Method" in headers:
        answer |= {
            "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, DPoP",
            "Access-Control-Max-Age": "600",
        }
    return answer | {"Vary": "Origin"}


def is_origin(text: str) -> bool:
    """`https://HOST[:PORT]`, or http, in lower case as browsers write it."""
    scheme, _, host = text.partition("://")
    return scheme in ("http", "https") and bool(HOST_HEADER.fullmatch(host)) and text == text.lower()


def websocket_url(own_url: str, headers: Mapping[str, str], behind_proxy: bool) -> str:
    """Where the caller reaches /xmpp: by the name that he used for us, unless that cannot be one."""
    scheme, _, host = own_url.partition("://")
    if HOST_HEADER.fullmatch(headers.get("Host", "")):
        host = headers["Host"]
    secure = headers.get("X-Forwarded-Proto", "https") == "https" if behind_proxy else scheme == "https"
    return f"{'wss' if secure else 'ws'}://{host}/xmpp"
