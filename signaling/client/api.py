"""The server's HTTP interface (docs/protocol.md section 1), as seen from a device."""

import asyncio
import ipaddress
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

import aiohttp
from yarl import URL

from signaling.client.profile import Profile
from signaling.client.server_trust import Redirected
from signaling.errors import RegistrationError, ServerUnreachable
from signaling.tokens import Assertion, make_assertion, make_request_proof

REQUEST_TIMEOUT = 10.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
# Renewed this long before its end, so that no request is made with a token that expires on the way.
TOKEN_MARGIN = 60.0
NOT_UNDERSTOOD = "the server's answer is not understood: is it a Ringline server of this version?"

T = TypeVar("T")


def no_answer(url: str) -> str:
    return f"{url} does not answer: is the server running, and the network up?"


def cannot_reach(url: str, error: Exception) -> str:
    """Why no connection to a server came about, and what to do."""
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return f"{url} shows another certificate than the one that was named: ask whoever runs the server"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return f"{url} has no certificate that this machine trusts: name it with --ca (docs/two-machines.md)"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"there is no {URL(url).host} in the network: check the address of the server"
    if isinstance(error, Redirected):
        return f"{url} sends its clients elsewhere, where they do not go: check the address of the server"
    number = getattr(error, "errno", None)
    why = f" ({os.strerror(number).lower()})" if isinstance(number, int) and number > 0 else ""
    return f"no server answers at {url}{why}: is it running? `ringline serve` starts one"


def cannot_reach_yet(url: str) -> str:
    return f"no server answers at {url} yet: trying again for some seconds ..."


def is_loopback(url: str) -> bool:
    """Whether the address can only be this machine: `localhost` or a loopback literal."""
    host = URL(url).host or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_safe(url: str) -> str:
    """The URL without a slash at its end.

    Raises:
        ServerUnreachable: neither encrypted nor on this machine, or no URL at all.
    """
    try:
        parsed = URL(url)
        scheme, host = parsed.scheme, parsed.host
    except ValueError:
        scheme, host = "", None
    if scheme not in ("http", "https", "ws", "wss") or not host:
        raise ServerUnreachable(f"{url} is not the address of a server: write it as https://HOST:PORT")
    if scheme in ("http", "ws") and not is_loopback(url):
        raise ServerUnreachable(
            f"{url} is not encrypted: only https is allowed to other machines (`ringline serve --lan` serves it)"
        )
    return url.rstrip("/")


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """GET /v1/server. The domain and the WebSocket address are taken from here and from nowhere else."""

    domain: str
    websocket: str
    region: str | None


def member(answer: dict[str, Any], name: str, kind: type[T]) -> T:
    """A member of a JSON answer.

    Raises:
        ServerUnreachable: it is missing or of another type: what answers is no Ringline server.
    """
    value = answer.get(name)
    if not isinstance(value, kind) or isinstance(value, bool) or (kind is int and not _is_sane(value)):
        raise ServerUnreachable(NOT_UNDERSTOOD)
    return value


class ServerApi:
    """Requests to one server. Everything raises ServerUnreachable, or RegistrationError for a refusal."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.url = require_safe(url)
        self._session = session

    async def request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        token: str | None = None,
        proof: str | None = None,
    ) -> dict[str, Any]:
        """One request; the JSON object of a success."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"DPoP": proof} if proof else {}
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
        try:
            async with self._session.request(
                method,
                f"{self.url}/v1{path}",
                json=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                answer = await _json(response)
        except TimeoutError:
            raise ServerUnreachable(no_answer(self.url)) from None
        except aiohttp.ClientError as error:
            raise ServerUnreachable(cannot_reach(self.url, error)) from None
        if response.status >= 400:
            raise _problem(response.status, answer)
        return answer

    async def server(self) -> ServerInfo:
        answer = await self.request("GET", "/server")
        if answer.get("protocol") != 1:
            raise ServerUnreachable(
                f"{self.url} is no Ringline server, or one of another version: check the address"
            )
        region = answer.get("region")
        return ServerInfo(
            domain=member(answer, "domain", str),
            websocket=require_safe(member(answer, "websocket", str)),
            region=region if isinstance(region, str) else None,
        )


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    data = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        data += chunk
        if len(data) > MAX_ANSWER_BYTES:
            raise ServerUnreachable("the server's answer is too large")
    if not data and response.status == 204:
        return {}
    try:
        answer = json.loads(bytes(data))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ServerUnreachable(
            f"{response.url.origin()} is no Ringline server, or a proxy answers for it: check the address"
        )
    return answer


def _problem(status: int, answer: dict[str, Any]) -> RegistrationError:
    code, title = answer.get("code"), answer.get("title")
    retry, tries = answer.get("retry_after_s"), answer.get("tries_left")
    return RegistrationError(
        code if isinstance(code, str) else "unknown",
        title if isinstance(title, str) and title.isprintable() else f"the server refused ({status})",
        float(retry) if _is_sane(retry) else None,
        int(tries) if _is_sane(tries) else None,
    )


def _is_sane(value: object) -> TypeGuard[int | float]:
    """A number that can be reckoned with: neither nan nor inf, nor an integer that is none as a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


class AccessTokens:
    """Short-lived access tokens, bought with the device token and an assertion by the device key."""

    def __init__(self, api: ServerApi, profile: Profile, wall_clock: Callable[[], float] = time.time) -> None:
        self._api = api
        self._profile = profile
        self._wall_clock = wall_clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._expires = 0.0

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request as this device: with a token, and the proof that its key is here."""
        try:
            return await self._request(method, path, body, await self.get())
        except RegistrationError as error:
            if error.code != "bad_token":
                raise
        return await self._request(method, path, body, await self.get(fresh=True))

    async def password(self, websocket: str) -> str:
        """What a stream at this address logs in with: a token, and the proof for it."""
        token = await self.get(fresh=True)
        return f"{token} {self._proof('GET', websocket, token)}"

    def _proof(self, method: str, url: str, token: str) -> str:
        id_, now = secrets.token_urlsafe(16), self._wall_clock()
        return make_request_proof(self._profile.key, method, url, token, id_, now)

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None, token: str
    ) -> dict[str, Any]:
        proof = self._proof(method, f"{self._api.url}/v1{path}", token)
        return await self._api.request(method, path, body, token, proof)

    async def get(self, *, fresh: bool = False) -> str:
        """A token with at least a minute of life; a new one if `fresh`."""
        async with self._lock:
            now = self._wall_clock()
            if fresh or now > self._expires - TOKEN_MARGIN:
                data = self._profile.data
                assertion = make_assertion(
                    self._profile.key,
                    Assertion(
                        data.device,
                        data.number,
                        self._profile.jid.domain,
                        int(now),
                        secrets.token_urlsafe(16),
                    ),
                )
                body = {"device_token": data.device_token, "assertion": assertion}
                answer = await self._api.request("POST", "/tokens", body)
                self._token = member(answer, "access_token", str)
                self._expires = now + member(answer, "expires_in_s", int)
            return self._token
