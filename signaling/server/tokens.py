"""Access tokens: made for a signed assertion, checked for the stream and for /v1."""

import hashlib

from aiohttp import web

from signaling.errors import TokenError
from signaling.jid import Jid
from signaling.problem import Problem, text_field
from signaling.server.context import Context
from signaling.server.problem import read_body
from signaling.storage.store import Device
from signaling.tokens import (
    ACCESS_TOKEN_LIFE,
    ASSERTION_WINDOW,
    AccessToken,
    decode_public_key,
    make_access_token,
    verify_access_token,
    verify_assertion,
)


class TokenService:
    """`issuer` is the server's URL, known once it listens."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._public = {context.keys.key_id: context.keys.signing.public_key()}
        self.issuer = ""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/tokens", self.create),
            web.get("/v1/keys.json", self.keys, allow_head=False),
        ]

    async def create(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        token_hash = hashlib.sha256(text_field(body, "device_token", 128).encode()).hexdigest()
        assertion_text = text_field(body, "assertion", 4096)
        now = self._context.clock()
        device = await self._context.store.device_by_token(token_hash)
        if device is None:
            raise Problem("device_revoked")
        if device.used < now - self._context.limits.device_idle:
            await self._context.store.delete_device(device.number, device.device)
            raise Problem("device_revoked")
        try:
            assertion = verify_assertion(
                assertion_text,
                decode_public_key(device.key),
                device.device,
                device.number,
                self._context.domain,
                now,
            )
        except TokenError as error:
            raise Problem("clock_skew" if error.reason == "skew" else "bad_token") from None
        expires = assertion.issued_at + ASSERTION_WINDOW + 1
        if not await self._context.store.use_assertion(device.device, assertion.id, expires, now):
            raise Problem("bad_token", "this assertion has been used before")
        token = AccessToken(
            issuer=self.issuer,
            subject=Jid(device.number, self._context.domain),
            audience=self._context.domain,
            issued_at=int(now),
            expires=int(now) + ACCESS_TOKEN_LIFE,
            id=f"{self._context.rng.getrandbits(128):032x}",
            device=device.device,
            generation=device.generation,
        )
        self._context.sms_policy.at_home(device.number, self._context.caller_of(request))
        self._context.counters.count("tokens")
        text = make_access_token(self._context.keys.signing, self._context.keys.key_id, token)
        answer = {"access_token": text, "token_type": "Bearer", "expires_in_s": ACCESS_TOKEN_LIFE}
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def check(self, text: str) -> Device:
        """The device that an access token speaks for. Raises Problem: bad_token or device_revoked."""
        try:
            token = verify_access_token(text, self._public, self._context.domain, self._context.clock())
        except TokenError:
            raise Problem("bad_token") from None
        device = await self._context.store.device(token.subject.local, token.device)
        if device is None or device.generation != token.generation:
            raise Problem("device_revoked")
        self._context.budget.opened(device.number, device.since)
        return device

    async def stands(self, device: Device) -> bool:
        """Whether the device is still registered."""
        found = await self._context.store.device(device.number, device.device)
        return found is not None and found.generation == device.generation

    async def bearer(self, request: web.Request) -> Device:
        """The device that asks, by its Authorization header. Raises Problem."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Problem("bad_token")
        return await self.check(token.strip())

    async def keys(self, request: web.Request) -> web.Response:
        return web.json_response(self._context.keys.jwk_set())
