"""Which of these numbers are registered, and may be found? Misses are neither stored nor logged."""

import asyncio
import logging
from typing import Any

from aiohttp import web

from signaling.errors import InvalidNumber
from signaling.jid import Jid
from signaling.logs import event, pseudonym
from signaling.phone_number import parse_number
from signaling.problem import Problem, region_field, text_field
from signaling.rate_limit import KeyedBuckets
from signaling.reachability import Findable
from signaling.server.context import Context
from signaling.server.problem import read_body
from signaling.server.reach import Reach
from signaling.server.tokens import TokenService
from signaling.storage.accounts import AccountStore
from signaling.storage.store import Device, listings

logger = logging.getLogger(__name__)


class ContactService:
    def __init__(self, context: Context, tokens: TokenService, accounts: AccountStore, reach: Reach) -> None:
        self._context = context
        self._tokens = tokens
        self._accounts = accounts
        self._reach = reach
        self._read = KeyedBuckets(context.limits.numbers_read)

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/contacts/lookup", self.lookup), web.patch("/v1/account", self.change_account)]

    async def lookup(self, request: web.Request) -> web.Response:
        own = await self._tokens.bearer(request)
        context = self._context
        body = await read_body(request)
        if body.get("book") is True:  # it decides who finds the account
            await self._tokens.by_key(request)
        elif not await self._tokens.stands(own):
            raise Problem("device_revoked")
        region = region_field(body, context.region)
        texts = self._texts(body, "numbers"), self._texts(body, "removed")
        wait = self._read.take(own.number, context.store_clock.now(), len(texts[0]) + len(texts[1]))
        if wait:
            raise Problem("too_many", "too many lookups", wait)
        asked, unreadable = await self._numbers(texts[0], region)
        removed, _ = await self._numbers(texts[1], region)
        numbers = set(asked.values())
        wait = context.budget.ask(own.number, numbers, context.store_clock.now())
        if wait:
            context.counters.count("lookups", "refused", len(numbers))
            who = pseudonym(own.number, context.keys.pepper)
            event(logger, logging.WARNING, "lookup refused", number=who, numbers=len(numbers))
            burst = round(context.limits.contacts.numbers.burst)
            raise Problem("too_many", f"too many new numbers; at most {burst} at once", wait)
        standings = await context.store.standings(own.number, numbers | {own.number})
        me = standings.get(own.number)
        if body.get("book") is True and me is not None and me.findable is Findable.MUTUAL:
            await self._list(own, numbers & standings.keys(), set(removed.values()))
        visible = {
            number
            for number in numbers & standings.keys()
            if number == own.number or standings[number].admits(context.budget.sees(own.number, number))
        }
        found = await context.store.devices_of(visible)
        lists = await self._accounts.lists(visible)
        context.counters.count("lookups", "found", len(found))
        context.counters.count("lookups", "absent", len(numbers) - len(found))
        registered = [
            {
                "asked": text,
                "number": number,
                "jid": str(Jid(number, context.domain)),
                "devices": [{"device": d.device, "key": d.key} for d in found[number]],
                "list": lists.get(number),
            }
            for text, number in asked.items()
            if number in found
        ]
        return web.json_response({"registered": registered, "unreadable": unreadable})

    async def _list(self, own: Device, numbers: set[str], removed: set[str]) -> None:
        """Who is in the address book of somebody that is found by those only."""
        listed = set(await self._context.store.pairs(listings, own.number))
        if len(listed | numbers) > self._context.limits.listed_numbers:
            raise Problem("bad_request", "the address book is too large")
        await self._context.store.change_pairs(listings, own.number, numbers - listed, removed - numbers, own)
        self._reach.changed()

    def _texts(self, body: dict[str, Any], name: str) -> list[str]:
        texts = body.get(name, [] if name == "removed" else None)
        most = self._context.limits.lookup_numbers
        if not isinstance(texts, list) or len(texts) > most or not all(isinstance(n, str) for n in texts):
            raise Problem("bad_request", f"{name} must be a list of at most {most} texts")
        return texts

    async def _numbers(self, texts: list[str], region: str) -> tuple[dict[str, str], list[str]]:
        """Text -> number, and what cannot be read as a number."""
        read: dict[str, str] = {}
        unreadable: list[str] = []
        for count, text in enumerate(dict.fromkeys(texts)):
            # A thousand numbers take a tenth of a second: the calls of others go on in between.
            if count % 20 == 19:
                await asyncio.sleep(0)
            try:
                read[text] = parse_number(text, region)
            except InvalidNumber:
                unreadable.append(text)
        return read, unreadable

    async def change_account(self, request: web.Request) -> web.Response:
        own, body = await self._tokens.body_by_key(request)
        if "pin" in body:
            await self._accounts.set_pin(own.number, body["pin"], own)
        if "findable" in body or "pin" not in body:
            await self._set_findable(own, body)
        return web.json_response(await self._accounts.view(own))

    async def _set_findable(self, own: Device, body: dict[str, Any]) -> None:
        try:
            findable = Findable(text_field(body, "findable", 16))
        except ValueError:
            raise Problem("bad_request", "findable must be everybody, mutual or nobody") from None
        await self._context.store.set_findable(own.number, findable, own)
        # Who wrote to this account before it hid does not stay admitted; whom it calls from now on does.
        self._context.budget.forget(own.number)
        self._reach.changed()
