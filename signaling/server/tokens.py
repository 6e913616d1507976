"""Access tokens: made for a signed assertion, checked for the stream and for /v1."""

import hashlib
import logging
from typing import Any

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from signaling.errors import TokenError
from signaling.jid import Jid
from signaling.problem import Problem, text_field
from signaling.server.context import Context
from signaling.server.problem import read_body
from signaling.storage.accounts import AccountStore
from signaling.storage.store import Device
from signaling.tokens import (
    ACCESS_TOKEN_LIFE,
    ASSERTION_WINDOW,
    AccessToken,
    decode_public_key,
    make_access_token,
    verify_access_token,
    verify_assertion,
    verify_request_proof,
)

logger = logging.getLogger(__name__)

# Seconds: streams of less are not noted when they end (the device was noted when it got its token).
NOTE_USED_AFTER = 3600.0


class TokenService:
    """`issuer` is the server's URL, known once it listens."""

    def __init__(self, context: Context, accounts: AccountStore) -> None:
        self._context = context
        self._accounts = accounts
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
        now, stored_now = self._context.clock(), self._context.store_clock.now()
        device = await self._context.store.device_by_token(token_hash)
        if device is None:
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
        # Refused, not deleted: should the clock be wrong, nothing is lost.
        if device.used < stored_now - self._context.limits.device_idle and not self.is_connected(device):
            raise Problem("device_revoked")
        expires = stored_now + assertion.issued_at - now + ASSERTION_WINDOW + 1
        if not await self._context.store.use_assertion(device.device, assertion.id, expires, stored_now):
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

    def is_connected(self, device: Device) -> bool:
        """Whether it is in use at this moment, or may come back to a stream that broke."""
        session = self._context.sessions.get(device.number, device.device)
        return session is not None and not session.is_over

    async def note_used(self, device: Device | None) -> None:
        """Its stream has ended; a short one was noted with its token."""
        now = self._context.store_clock.now()
        if device is not None and now - device.used > NOTE_USED_AFTER:
            try:
                await self._accounts.note_used([device.device], now)
            except SQLAlchemyError as error:
                self._context.counters.store_failed(error)

    async def bearer(self, request: web.Request) -> Device:
        """The device that asks, by its Authorization header. Raises Problem."""
        return await self.check(_token_of(request))

    async def by_key(self, request: web.Request) -> Device:
        """The device that asks, and has its key: for all that changes the account. Raises Problem."""
        device, proof = await self.bearer(request), request.headers.get("DPoP", "")
        await self.prove(device, _token_of(request), request.method, request.path, proof)
        return device

    async def prove(self, device: Device, token: str, method: str, path: str, proof: str) -> None:
        """Who sends this request has the device's key, not only its token. Raises Problem: proof_needed, clock_skew."""
        key, now = decode_public_key(device.key), self._context.clock()
        try:
            id_, issued_at = verify_request_proof(proof, key, method, path, token, now)
        except TokenError as error:
            raise Problem("clock_skew" if error.reason == "skew" else "proof_needed") from None
        stored_now = self._context.store_clock.now()
        expires = stored_now + issued_at - now + ASSERTION_WINDOW + 1
        if not await self._context.store.use_assertion(device.device, f"p {id_}", expires, stored_now):
            raise Problem("proof_needed", "this proof has been used before")

    async def body_by_key(self, request: web.Request) -> tuple[Device, dict[str, Any]]:
        """The same, with the body; the device still stood when that had come."""
        device, body = await self.by_key(request), await read_body(request)
        if not await self.stands(device):
            raise Problem("device_revoked")
        return device, body

    async def keys(self, request: web.Request) -> web.Response:
        return web.json_response(self._context.keys.jwk_set())


def _token_of(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Problem("bad_token")
    return token.strip()
