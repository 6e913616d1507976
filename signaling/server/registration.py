"""Registering a number with a code sent by SMS (protocol.md section 1).

Nothing here looks at whether the number is known already: so answers and times cannot tell.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace

from aiohttp import web

from signaling.errors import InvalidNumber, TokenError
from signaling.jid import Jid
from signaling.phone_number import is_region, parse_number, region_of
from signaling.rate_limit import KeyedBuckets
from signaling.server.context import Context
from signaling.server.limits import address_key, is_loopback
from signaling.server.problem import Problem, read_body, text_field
from signaling.server.sms import SmsFailed
from signaling.server.store import Registration
from signaling.tokens import b64url, decode_public_key, verify_proof

TEXT = "Ringline code: {code}. Never pass it on to anybody: who has it can make calls in your name."


class RegistrationService:
    def __init__(self, context: Context, address_of: Callable[[web.Request], str | None]) -> None:
        self._context = context
        self._address_of = address_of
        limits = context.limits
        self._per_number = KeyedBuckets(limits.number_sends)
        self._per_address = KeyedBuckets(limits.address_sends)
        # Reading a registration and writing it back must not be interleaved: a try would be counted once for two.
        self._lock = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/registrations", self.start),
            web.post("/v1/registrations/{registration}/resend", self.resend),
            web.post("/v1/registrations/{registration}/verify", self.verify),
        ]

    async def start(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        region = text_field(body, "region", 2, optional=True) or self._context.region
        if not is_region(region):
            raise Problem("bad_request", "region must be an ISO 3166 country code such as US")
        try:
            number = parse_number(text_field(body, "number", 64), region)
        except InvalidNumber:
            raise Problem("invalid_number") from None
        if self._context.countries and region_of(number) not in self._context.countries:
            raise Problem("country_not_served")
        self._spend(request, number)
        now = self._context.clock()
        registration = Registration(
            id=b64url(self._context.rng.randbytes(16)),
            number=number,
            code_hash="",
            expires=now,
            sent=0,
            next_send=now,
            tries_left=self._context.limits.code_tries,
            next_try=now,
        )
        return await self._send_code(registration, 201)

    async def resend(self, request: web.Request) -> web.Response:
        async with self._lock:
            registration = await self._find(request)
            now = self._context.clock()
            if registration.sent > len(self._context.limits.send_delays):
                raise Problem(
                    "too_many", "no more codes for this registration", max(1.0, registration.expires - now)
                )
            if now < registration.next_send:
                raise Problem(
                    "too_many", "the last code is on its way; wait a little", registration.next_send - now
                )
            self._spend(request, registration.number)
            return await self._send_code(registration, 200)

    def _spend(self, request: web.Request, number: str) -> None:
        address = self._address_of(request)
        now = self._context.clock()
        wait = self._per_number.wait(number, now)
        # Whoever calls from this very machine could as well read the SMS file.
        if not wait and not is_loopback(address or ""):
            wait = self._per_address.take(address_key(address), now)
        wait = wait or self._per_number.take(number, now)
        if wait:
            raise Problem("too_many", retry_after_s=wait)

    async def _send_code(self, registration: Registration, status: int) -> web.Response:
        code = f"{self._context.rng.randrange(1_000_000):06d}"
        try:
            await self._context.sms.send(registration.number, TEXT.format(code=code))
        except SmsFailed:
            raise Problem("sms_failed") from None
        now = self._context.clock()
        delays = self._context.limits.send_delays
        left = (
            delays[registration.sent] if registration.sent < len(delays) else self._context.limits.code_life
        )
        registration = replace(
            registration,
            code_hash=self._code_hash(registration.id, registration.number, code),
            expires=now + self._context.limits.code_life,
            sent=registration.sent + 1,
            next_send=now + left,
        )
        await self._context.store.save_registration(registration)
        body = {
            "registration": registration.id,
            "number": registration.number,
            "expires_in_s": round(self._context.limits.code_life),
            "resend_in_s": round(left),
            "tries_left": registration.tries_left,
        }
        return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})

    def _code_hash(self, id_: str, number: str, code: str) -> str:
        return hmac.new(
            self._context.keys.pepper, f"{id_}|{number}|{code}".encode(), hashlib.sha256
        ).hexdigest()

    async def _find(self, request: web.Request) -> Registration:
        id_ = request.match_info["registration"]
        registration = (
            await self._context.store.registration(id_) if len(id_) == 22 and id_.isascii() else None
        )
        if (
            registration is None
            or registration.expires <= self._context.clock()
            or not registration.tries_left
        ):
            raise Problem("registration_over")
        return registration

    async def verify(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        code = text_field(body, "code", 16).replace(" ", "").replace("-", "")
        if len(code) != 6 or not (code.isascii() and code.isdigit()):
            raise Problem("bad_request", "code must be six digits")
        key = text_field(body, "device_key", 64)
        name = text_field(body, "device_name", 64)
        proof = text_field(body, "proof", 128)
        try:
            decode_public_key(key)
        except TokenError:
            raise Problem("bad_key") from None
        async with self._lock:
            registration = await self._find(request)
            now = self._context.clock()
            if now < registration.next_try:
                raise Problem("too_many", "wait before the next try", registration.next_try - now)
            try:
                verify_proof(proof, self._context.domain, registration.id, registration.number, key)
            except TokenError:
                raise Problem("bad_proof") from None
            await self._check_code(registration, code, now)
            device = f"d{self._context.rng.getrandbits(64):016x}"
            token = b64url(self._context.rng.randbytes(32))
            token_hash = hashlib.sha256(token.encode()).hexdigest()
            number = registration.number
            generation = await self._context.store.register_device(
                registration.id, number, device, key, name, token_hash, now
            )
        self._context.sessions.revoke(number)
        body = {
            "number": number,
            "jid": str(Jid(number, self._context.domain)),
            "device": device,
            "device_token": token,
            "generation": generation,
        }
        return web.json_response(body, status=201, headers={"Cache-Control": "no-store"})

    async def _check_code(self, registration: Registration, code: str, now: float) -> None:
        """Raises Problem(wrong_code) and counts the try."""
        given = self._code_hash(registration.id, registration.number, code)
        if hmac.compare_digest(given, registration.code_hash):
            return
        tries_left = registration.tries_left - 1
        done = self._context.limits.code_tries - tries_left
        delay = (
            self._context.limits.check_delays[done - 1]
            if done <= len(self._context.limits.check_delays)
            else 0.0
        )
        await self._context.store.save_registration(
            replace(registration, tries_left=tries_left, next_try=now + delay)
        )
        raise Problem(
            "wrong_code", retry_after_s=delay if tries_left and delay else None, tries_left=tries_left
        )
