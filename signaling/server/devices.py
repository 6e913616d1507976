"""The devices of an account: listed, linked by one another, removed (protocol.md section 1)."""

import hashlib
from typing import Any

from aiohttp import web

from signaling.device_link import Links, check_list
from signaling.device_list import MAX_DEVICES
from signaling.jid import Jid
from signaling.problem import Problem, text_field
from signaling.server.context import Context
from signaling.server.problem import read_body
from signaling.server.tokens import TokenService
from signaling.storage.accounts import AccountStore
from signaling.storage.store import Device
from signaling.tokens import b64url

NO_STORE = {"Cache-Control": "no-store"}


class DeviceService:
    def __init__(self, context: Context, tokens: TokenService, accounts: AccountStore) -> None:
        self._context = context
        self._tokens = tokens
        self._accounts = accounts
        self._links = Links(context.domain, context.rng)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/account", self.account, allow_head=False),
            web.put("/v1/devices", self.set_list),
            web.delete("/v1/devices/{device}", self.delete_device),
            web.post("/v1/links", self.begin_link),
            web.get("/v1/links/{link}", self.link, allow_head=False),
            web.post("/v1/links/{link}/approve", self.approve_link),
        ]

    async def account(self, request: web.Request) -> web.Response:
        return web.json_response(await self._accounts.view(await self._tokens.bearer(request)))

    async def delete_device(self, request: web.Request) -> web.Response:
        own, device = await self._tokens.by_key(request), request.match_info["device"]
        if len(device) != 17 or not await self._context.store.delete_device(own.number, device, own):
            raise Problem("not_found")
        self._context.sessions.revoke(own.number, device)
        return web.Response(status=204)

    async def set_list(self, request: web.Request) -> web.Response:
        await self._take_list(*await self._tokens.body_by_key(request))
        return web.Response(status=204)

    async def _take_list(self, own: Device, body: dict[str, Any], **linked: Any) -> None:
        found = (await self._context.store.devices_of([own.number])).get(own.number, [])
        devices = {device.device: device.key for device in found}
        if link := linked.get("link"):
            devices[link.device] = link.key
            if len(devices) > MAX_DEVICES:
                raise Problem("bad_request", f"an account has at most {MAX_DEVICES} devices")
        text, signer = text_field(body, "list", 4096), (own.device, own.key)
        version = await self._accounts.version(own.number)
        listed = check_list(text, own.number, self._context.domain, signer, devices, version)
        if not await self._accounts.set_list(own, listed, text, **linked):
            raise Problem("bad_list", "the devices have changed meanwhile")

    async def begin_link(self, request: web.Request) -> web.Response:
        body, now = await read_body(request), self._context.clock()
        key, name, proof = (text_field(body, f, 128) for f in ("device_key", "device_name", "proof"))
        address = self._context.caller_of(request).address
        link = self._links.begin(key, name[:64], proof, address, now)
        made = {"link": link.id, "expires_in_s": round(link.expires - now)}
        return web.json_response(made, status=201, headers=NO_STORE)

    async def link(self, request: web.Request) -> web.Response:
        """To the new device what became of it; to a registered one whom it would vouch for."""
        link = self._links.find(request.match_info["link"], self._context.clock())
        if "Authorization" in request.headers:
            await self._tokens.bearer(request)
            return web.json_response(
                {"device": link.device, "device_key": link.key, "device_name": link.name}
            )
        return web.json_response(link.made or {}, status=201 if link.made else 202, headers=NO_STORE)

    async def approve_link(self, request: web.Request) -> web.Response:
        own, body = await self._tokens.body_by_key(request)
        link = self._links.find(request.match_info["link"], self._context.clock())
        if link.made is not None:
            raise Problem("link_over")
        text, seal = text_field(body, "list", 4096), text_field(body, "seal", 64) if "seal" in body else ""
        token = b64url(self._context.rng.randbytes(32))
        token_hash = hashlib.sha256(token.encode()).hexdigest()
        await self._take_list(
            own, body, link=link, token_hash=token_hash, now=self._context.store_clock.now()
        )
        jid = str(Jid(own.number, self._context.domain))
        made = {"number": own.number, "jid": jid, "device": link.device, "device_token": token}
        link.made = made | {"generation": own.generation, "list": text, "seal": seal}
        self._context.counters.count("links")
        return web.Response(status=204)
