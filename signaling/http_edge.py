"""Who sends an HTTP request, and under which name he reached us: from the connection and the headers."""

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


def websocket_url(own_url: str, headers: Mapping[str, str], behind_proxy: bool) -> str:
    """Where the caller reaches /xmpp: by the name that he used for us, unless that cannot be one."""
    scheme, _, host = own_url.partition("://")
    if HOST_HEADER.fullmatch(headers.get("Host", "")):
        host = headers["Host"]
    secure = headers.get("X-Forwarded-Proto", "https") == "https" if behind_proxy else scheme == "https"
    return f"{'wss' if secure else 'ws'}://{host}/xmpp"
