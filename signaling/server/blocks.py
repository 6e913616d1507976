"""The block list by HTTP, for commands beside the device that is online (protocol.md section 1)."""

from typing import Any

from aiohttp import web

from signaling.phone_number import is_e164
from signaling.problem import Problem
from signaling.server.reach import Reach
from signaling.server.tokens import TokenService
from signaling.storage.store import Device, Holder

MOST = 1000  # at once


class BlockService:
    def __init__(self, tokens: TokenService, reach: Reach) -> None:
        self._tokens = tokens
        self._reach = reach

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/blocks", self.blocked, allow_head=False),
            web.patch("/v1/blocks", self.change),
        ]

    async def blocked(self, request: web.Request) -> web.Response:
        return await self._list(await self._tokens.by_key(request))

    async def change(self, request: web.Request) -> web.Response:
        device, body = await self._tokens.body_by_key(request)
        by = Holder(device.number, device.device, device.generation)
        for name in ("block", "unblock"):
            numbers = _numbers(body, name)
            if numbers:
                await self._reach.change_blocks(by, numbers, adding=name == "block")
                self._reach.push_blocks(device.number, name, numbers)
        return await self._list(device)

    async def _list(self, device: Device) -> web.Response:
        return web.json_response({"blocked": sorted(await self._reach.blocked(device.number))})


def _numbers(body: dict[str, Any], name: str) -> set[str]:
    numbers = body.get(name, [])
    if not isinstance(numbers, list) or len(numbers) > MOST:
        raise Problem("bad_request", f"{name} must be a list of at most {MOST} numbers")
    if not all(isinstance(number, str) and is_e164(number) for number in numbers):
        raise Problem("invalid_number")
    return set(numbers)
