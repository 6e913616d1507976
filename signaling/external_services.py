"""STUN and TURN servers that the signaling server tells its clients of (XEP-0215), both roles.

The credentials are those of the TURN REST API (draft-uberti-behave-turn-rest-00), which coturn checks with
`use-auth-secret`: user name "expiry:user", password the HMAC-SHA1 of it under the shared secret. They open
allocations until the expiry; neither server keeps anything of them.
"""

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from signaling.errors import RemoteProtocolError
from signaling.xml import Element, children, element, local_name

EXTERNAL_SERVICES = "urn:xmpp:extdisco:2"
# What leaks of them is worth little; a call that lasts longer gets new ones before it looks for a new path.
CREDENTIAL_LIFE = 4 * 3600.0
MAX_SERVICES = 8
# RFC 7064, RFC 7065: scheme to default port and transports. TURN over DTLS is not used here.
_SCHEMES: dict[str, tuple[int, tuple[str, ...]]] = {
    "stun": (3478, ("udp",)),
    "turn": (3478, ("udp", "tcp")),
    "turns": (5349, ("tcp",)),
}
_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_URL = re.compile(r"(stun|turns?):(\[[0-9A-Fa-f:.]+\]|[^:\[\]?]+)(?::([0-9]{1,5}))?(?:\?transport=(\w+))?")
_CREDENTIAL = re.compile(r"[!-~]{1,512}")  # RFC 8489 section 14.3: fewer than 509 bytes


@dataclass(frozen=True, slots=True)
class Service:
    """A server by its W3C name. `expires`: Unix seconds until which the credentials open allocations."""

    type: str
    host: str
    port: int
    transport: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    expires: float | None = None

    @property
    def is_relay(self) -> bool:
        return self.type != "stun"

    @property
    def url(self) -> str:
        """As RFC 7064 and RFC 7065 write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        address = f"{self.type}:{host}:{self.port}"
        return f"{address}?transport={self.transport}" if self.is_relay else address

    @classmethod
    def of(cls, type_: str, host: str, port: str | None, transport: str | None) -> "Service":
        """From words. Raises ValueError for a kind of server that is not used, and for what is no address."""
        if type_ not in _SCHEMES:
            raise ValueError(f"{type_!r} is not stun, turn or turns")
        default, transports = _SCHEMES[type_]
        if (transport or transports[0]) not in transports:
            raise ValueError(f"{type_} over {transport!r} is not supported")
        if port is not None and not re.fullmatch("[0-9]{1,5}", port):
            raise ValueError("not a port")
        number = default if port is None else int(port)
        if not 1 <= number <= 65535:
            raise ValueError("not a port")
        if ":" in host:
            host = str(ipaddress.IPv6Address(host))
        elif not _NAME.fullmatch(host):
            raise ValueError("not a host")
        return cls(type_, host, number, transport or transports[0])


def parse_url(url: str) -> Service:
    """`stun:host`, `turn:host:3478?transport=tcp`, `turns:host`. Raises ValueError."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"{url!r} is not a STUN or TURN URL such as turn:turn.example:3478?transport=udp")
    scheme, host, port, transport = match.groups()
    try:
        return Service.of(scheme, host.strip("[]"), port, transport)
    except ValueError as error:
        raise ValueError(f"{url!r}: {error}") from None


class ExternalServices:
    """The server's role. `secret` is what the TURN servers share with it. Raises ValueError for URLs."""

    def __init__(self, urls: Sequence[str], secret: bytes) -> None:
        self._services = tuple(parse_url(url) for url in urls)
        self._secret = secret

    def __bool__(self) -> bool:
        return bool(self._services)

    def answer(self, iq: Element, account: str, now: float) -> Element:
        """The payload of the result for an iq get of `account`; `now` is Unix seconds.

        Raises RemoteProtocolError with the condition to answer with.
        """
        body = iq[0]
        kind = body.get("type") if local_name(body) == "services" else None
        match local_name(body):
            case "services":
                chosen = [s for s in self._services if kind in (None, s.type)]
                if kind not in (None, *_SCHEMES):
                    raise RemoteProtocolError("there are no such services", "item-not-found")
            case "credentials":
                wanted = list(children(body, EXTERNAL_SERVICES, "service"))
                if len(wanted) != 1:
                    raise RemoteProtocolError("of which service?", "bad-request")
                chosen = [s for s in self._services if _is_meant(s, wanted[0])]
                if not chosen:
                    raise RemoteProtocolError("there is no such service", "item-not-found")
            case _:
                raise RemoteProtocolError("not a question of XEP-0215", "bad-request")
        name = "credentials" if local_name(body) == "credentials" else "services"
        parts = [_build(self._with_credentials(s, account, now)) for s in chosen]
        return element(EXTERNAL_SERVICES, name, {"type": kind}, *parts)

    def _with_credentials(self, service: Service, account: str, now: float) -> Service:
        if not service.is_relay:
            return service
        expires = int(now + CREDENTIAL_LIFE)
        # The relay counts what a user draws, and logs it: by a name that is no phone number.
        user = hmac.digest(self._secret, b"ringline-user:" + account.encode(), "sha256").hex()[:16]
        username = f"{expires}:{user}"
        return replace(
            service, username=username, password=password_of(username, self._secret), expires=float(expires)
        )


def password_of(username: str, secret: bytes) -> str:
    """The password of a TURN REST user name: base64 of its HMAC-SHA1."""
    return base64.b64encode(hmac.new(secret, username.encode(), hashlib.sha1).digest()).decode()


def build_services() -> Element:
    """The client's question."""
    return element(EXTERNAL_SERVICES, "services")


def parse_services(answer: Element) -> tuple[Service, ...]:
    """What an iq result tells, at most MAX_SERVICES; what is not understood or not used is left out. Never raises."""
    found: list[Service] = []
    for body in children(answer, EXTERNAL_SERVICES, "services"):
        for item in children(body, EXTERNAL_SERVICES, "service"):
            service = _parse(item)
            if service is not None and service not in found and len(found) < MAX_SERVICES:
                found.append(service)
    return tuple(found)


def _parse(item: Element) -> Service | None:
    try:
        kind, host = item.get("type") or "", item.get("host") or ""
        service = Service.of(kind, host, item.get("port"), item.get("transport"))
    except ValueError:
        return None
    username, password, expires = item.get("username"), item.get("password"), None
    if username is None or password is None:
        return None if service.is_relay else service  # RFC 8656 section 5: a relay wants credentials
    if not _CREDENTIAL.fullmatch(username) or not _CREDENTIAL.fullmatch(password):
        return None
    try:
        stamp = datetime.fromisoformat(item.get("expires") or "")
        expires = stamp.replace(tzinfo=stamp.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        pass
    return replace(service, username=username, password=password, expires=expires)


def _build(service: Service) -> Element:
    expires = service.expires
    stamp = None if expires is None else datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    attributes = {
        "type": service.type,
        "host": service.host,
        "port": str(service.port),
        "transport": service.transport,
        "username": service.username,
        "password": service.password,
        "expires": stamp,
        "restricted": "1" if service.is_relay else None,
    }
    return element(EXTERNAL_SERVICES, "service", attributes)


def _is_meant(service: Service, item: Element) -> bool:
    """XEP-0215 section 3.3: type and host name it, the port where there are several."""
    port = item.get("port")
    same = service.type == item.get("type") and service.host == item.get("host")
    return same and port in (None, str(service.port))
