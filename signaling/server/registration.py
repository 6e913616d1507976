"""Registering a number with a code sent by SMS (protocol.md section 1).

Nothing here looks at whether the number is known already: so answers and times cannot tell.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from signaling.errors import InvalidNumber, TokenError
from signaling.gateways.sms import SmsFailed, SmsUnconfirmed
from signaling.jid import Jid
from signaling.logs import event, pseudonym
from signaling.one_time_code import Registration
from signaling.phone_number import is_mobile, parse_number, region_of
from signaling.policy.sms import Caller, Refusal
from signaling.problem import Problem, region_field, text_field
from signaling.server.context import Context
from signaling.server.problem import read_body
from signaling.storage.accounts import AccountStore
from signaling.storage.codes import CodeLog
from signaling.tokens import b64url, verify_proof
from signaling.verification import Verification

logger = logging.getLogger(__name__)

TEXT = "Ringline code: {code}. Never pass it on to anybody: who has it can make calls in your name."
NO_STORE = {"Cache-Control": "no-store"}


class RegistrationService:
    def __init__(self, context: Context, accounts: AccountStore, on_registered: Callable[[], None]) -> None:
        self._context = context
        self._accounts = accounts
        self._rules = context.limits.codes
        self._policy = context.sms_policy
        self._codes = CodeLog(context.store)
        self._on_registered = on_registered
        self._in_hand: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/registrations", self.start),
            web.post("/v1/registrations/{registration}/resend", self.resend),
            web.post("/v1/registrations/{registration}/verify", self.verify),
        ]

    async def start(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        body = await read_body(request)
        region = region_field(body, self._context.region)
        try:
            number = parse_number(text_field(body, "number", 64), region)
        except InvalidNumber:
            raise Problem("invalid_number") from None
        if self._context.countries and region_of(number) not in self._context.countries:
            raise Problem("country_not_served")
        if not is_mobile(number):
            raise Problem("not_mobile")
        id_ = b64url(self._context.rng.randbytes(16))
        registration = Registration.begin(id_, number, self._rules, self._context.store_clock.now())
        return await self._send_code(registration, caller, 201)

    async def resend(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        with self._taken_in_hand(request):
            registration = await self._find(request)
            now = self._context.store_clock.now()
            if not registration.sends_left(self._rules):
                raise Problem("too_many", "no more codes for this registration", registration.expires - now)
            if now < registration.next_send:
                raise Problem("too_many", "a code is on its way; wait a little", registration.next_send - now)
            return await self._send_code(registration, caller, 200)

    async def verify(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        body = await read_body(request)
        given = Verification.parse(body)
        context = self._context
        with self._taken_in_hand(request):
            registration = await self._find(request)
            number = registration.number
            now = context.store_clock.now()
            if now < registration.next_try:
                raise Problem("too_many", "wait before the next try", registration.next_try - now)
            try:
                verify_proof(given.proof, context.domain, registration.id, number, given.key)
            except TokenError:
                raise Problem("bad_proof") from None
            if not registration.matches(given.code, context.keys.pepper):
                left = registration.after_wrong_code(self._rules, now)
                await context.store.save_registration(left)
                wait = left.next_try - now if left.tries_left else 0.0
                self._note("wrong", number, tries_left=left.tries_left)
                raise Problem("wrong_code", retry_after_s=wait or None, tries_left=left.tries_left)
            in_use = bool(context.sessions.of(number))
            await self._accounts.check_pin(number, body.get("pin"), now, in_use)
            device = f"d{context.rng.getrandbits(64):016x}"
            token = b64url(context.rng.randbytes(32))
            token_hash = hashlib.sha256(token.encode()).hexdigest()
            generation = await context.store.register_device(
                registration.id, number, device, given.key, given.name, token_hash, now
            )
        context.sessions.revoke(number)
        self._on_registered()
        self._policy.entered(number, registration.id, caller)
        await self._codes.entered(registration.id)
        self._note("entered", number, generation=generation)
        context.counters.count("registrations")
        made = {"number": number, "jid": str(Jid(number, context.domain)), "generation": generation}
        made |= {"device": device, "device_token": token}
        return web.json_response(made, status=201, headers=NO_STORE)

    def _caller(self, request: web.Request) -> Caller:
        """Who asks; raises Problem(too_many) if he does so too often."""
        caller = self._context.caller_of(request)
        if (refusal := self._policy.call(caller, self._context.store_clock.now())) is not None:
            raise self._refused(refusal)
        return caller

    def _refused(self, refusal: Refusal, number: str = "") -> Problem:
        self._context.counters.count("sms_refused", refusal.limit)
        who = pseudonym(number, self._context.keys.pepper) if number else None
        event(logger, logging.WARNING, "no code sent", limit=refusal.limit, number=who)
        return Problem("too_many", retry_after_s=refusal.wait)

    def _note(self, result: str, number: str, **fields: object) -> None:
        self._context.counters.count("sms_codes", result)
        who = pseudonym(number, self._context.keys.pepper)
        event(logger, logging.INFO, f"code {result}", number=who, **fields)

    async def _send_code(self, registration: Registration, caller: Caller, status: int) -> web.Response:
        code = f"{self._context.rng.randrange(1_000_000):06d}"
        number, now = registration.number, self._context.store_clock.now()
        sent = self._policy.send(number, registration.id, caller, now, first=status == 201)
        if isinstance(sent, Refusal):
            raise self._refused(sent, number)
        # Written down first: a code that nobody can enter, or that nothing counts, must not go out, whatever fails.
        after = registration.after_sending(code, self._context.keys.pepper, self._rules, now)
        try:
            await self._codes.note(sent)
            await self._context.store.save_registration(after)
        except SQLAlchemyError:
            self._policy.failed(sent)
            raise
        result = "sent"
        try:
            await self._context.sms.send(number, TEXT.format(code=code))
        except SmsUnconfirmed as error:
            result = "unconfirmed"
            logger.warning("%s", error)
        except SmsFailed as error:
            self._note("failed", number, why=str(error))
            if not error.may_be_sent:
                self._policy.failed(sent)
                await self._codes.take_back(sent)
                await self._context.store.save_registration(registration)
            raise Problem("sms_failed") from None
        self._policy.sent(sent)
        self._note(result, number, country=region_of(number))
        return web.json_response(
            after.answer(self._context.store_clock.now()), status=status, headers=NO_STORE
        )

    async def _find(self, request: web.Request) -> Registration:
        id_ = request.match_info["registration"]
        found = await self._context.store.registration(id_) if len(id_) == 22 and id_.isascii() else None
        if found is None or found.is_over(self._context.store_clock.now()):
            raise Problem("registration_over")
        return found

    @contextmanager
    def _taken_in_hand(self, request: web.Request) -> Iterator[None]:
        """One request at a time for a registration: two at once must not count as one try."""
        id_ = request.match_info["registration"]
        if id_ in self._in_hand:
            raise Problem("too_many", "one request at a time", retry_after_s=1)
        self._in_hand.add(id_)
        try:
            yield
        finally:
            self._in_hand.discard(id_)
