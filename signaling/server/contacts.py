"""Which of these numbers are registered? Matched in memory; misses are neither stored nor logged."""

import asyncio

from aiohttp import web

from signaling.errors import InvalidNumber
from signaling.jid import Jid
from signaling.phone_number import parse_number
from signaling.problem import Problem
from signaling.server.context import Context
from signaling.server.problem import read_body, region_field
from signaling.server.tokens import TokenService


class ContactService:
    def __init__(self, context: Context, tokens: TokenService) -> None:
        self._context = context
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/contacts/lookup", self.lookup)]

    async def lookup(self, request: web.Request) -> web.Response:
        own = await self._tokens.bearer(request)
        body = await read_body(request)
        region = region_field(body, self._context.region)
        numbers = body.get("numbers")
        most = self._context.limits.lookup_numbers
        if (
            not isinstance(numbers, list)
            or len(numbers) > most
            or not all(isinstance(n, str) for n in numbers)
        ):
            raise Problem("bad_request", f"numbers must be a list of at most {most} texts")
        asked: dict[str, str] = {}
        unreadable: list[str] = []
        for count, text in enumerate(dict.fromkeys(numbers)):
            # A thousand numbers take a tenth of a second: the calls of others go on in between.
            if count % 20 == 19:
                await asyncio.sleep(0)
            try:
                asked[text] = parse_number(text, region)
            except InvalidNumber:
                unreadable.append(text)
        wait = self._context.budget.ask(own.number, set(asked.values()), self._context.clock())
        if wait:
            burst = round(self._context.limits.contacts.burst)
            raise Problem("too_many", f"too many new numbers; at most {burst} at once", wait)
        found = await self._context.store.devices_of(set(asked.values()))
        registered = [
            {
                "asked": text,
                "number": number,
                "jid": str(Jid(number, self._context.domain)),
                "devices": [{"device": d.device, "key": d.key} for d in found[number]],
                "list": None,
            }
            for text, number in asked.items()
            if number in found
        ]
        return web.json_response({"registered": registered, "unreadable": unreadable})
