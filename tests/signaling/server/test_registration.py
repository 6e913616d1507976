"""What is counted and kept of a code, whatever the gateway and the store do meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import OperationalError

from signaling.storage.codes import CodeLog
from signaling.storage.store import Store
from signaling.tokens import encode_public_key, make_proof

VICTIM = "+12025550100"
Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gateway:
    """A webhook: `taken` are the messages that it was given; `behave` answers."""

    def __init__(self) -> None:
        self.taken: list[dict[str, str]] = []
        self.behave: Behaviour = self.accept
        self.url, self.over = "", asyncio.Event()

    async def accept(self, request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def status(self, request: web.Request, status: int = 500) -> web.StreamResponse:
        return web.Response(status=status)

    async def hang(self, request: web.Request) -> web.StreamResponse:
        await self.over.wait()
        return web.Response()

    async def hang_up(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.taken.append(await request.json())
        return await self.behave(request)


@pytest.fixture
async def gateway(monkeypatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr("signaling.gateways.sms.WEBHOOK_TIMEOUT", 0.2)
    made, app = Gateway(), web.Application()
    app.router.add_post("/sms", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/sms"
    yield made
    made.over.set()
    await runner.cleanup()


@pytest.fixture
async def ask(make_server, http, gateway):
    """await ask(): one code for the victim, each from another network. `ask.server`."""
    server = make_server(behind_proxy=True, sms=f"webhook:{gateway.url}")
    await server.start()

    class Ask:
        def __init__(self) -> None:
            self.server, self.count = server, 0

        async def __call__(self, path: str = "/registrations", body: dict | None = None):
            self.count += 1
            headers = {"X-Forwarded-For": f"198.51.{self.count}.7"}
            body = {"number": VICTIM} if body is None else body
            async with http.post(f"{server.url}/v1{path}", json=body, headers=headers) as answer:
                return answer.status, json.loads(await answer.text())

    yield Ask()
    await server.stop()


@pytest.mark.parametrize("behaviour", ["hang", "hang_up"])
async def test_a_code_whose_fate_is_unknown_counts_and_can_be_entered(ask, gateway, behaviour):
    gateway.behave = getattr(gateway, behaviour)
    status, made = await ask()
    assert status == 201 and made["resend_in_s"] in (59, 60)
    # Never two within a minute, from nowhere; and no more than of those that surely arrived.
    assert [(await ask())[0] for _ in range(3)] == [429] * 3 and len(gateway.taken) == 1
    key = Ed25519PrivateKey.generate()
    code = next(word.strip(".") for word in gateway.taken[0]["text"].split() if word.strip(".").isdecimal())
    proof = make_proof(key, ask.server.domain, made["registration"], VICTIM)
    body = {
        "code": code,
        "device_key": encode_public_key(key.public_key()),
        "device_name": "x",
        "proof": proof,
    }
    assert (await ask(f"/registrations/{made['registration']}/verify", body))[0] == 201


@pytest.mark.parametrize("behaviour", ["hang", "hang_up", "status"])
async def test_codes_that_may_have_been_sent_are_as_many_as_those_that_were(ask, gateway, behaviour):
    gateway.behave = getattr(gateway, behaviour)
    for n in range(30):
        await ask()
        if n == 15:
            await ask.server.restart()  # renews nothing either
        ask.server.advance(61)
    assert len(gateway.taken) == 5


async def test_a_code_that_the_gateway_refuses_costs_the_number_nothing(ask, gateway):
    async def refuse(request: web.Request) -> web.StreamResponse:
        return await gateway.status(request, 403)

    gateway.behave = refuse
    for _ in range(8):
        assert (await ask())[0] == 502
    await ask.server.restart()
    gateway.behave = gateway.accept
    assert (await ask())[0] == 201 and (await ask())[0] == 429


@pytest.mark.parametrize(
    ("where", "method"),
    [(CodeLog, "note"), (Store, "save_registration")],
    ids=["log of codes", "registration"],
)
async def test_a_code_is_sent_only_after_the_store_took_it(ask, gateway, monkeypatch, where, method):
    async def full(*arguments: object) -> None:
        raise OperationalError("INSERT", {}, Exception("disk full"))

    with monkeypatch.context() as broken:
        broken.setattr(where, method, full)
        for _ in range(3):
            status, problem = await ask()
            assert (status, problem["code"]) == (503, "unavailable")
    assert gateway.taken == []
    assert (await ask())[0] == 201 and len(gateway.taken) == 1  # and none was counted


async def test_a_resend_that_is_refused_leaves_the_code_of_before(ask, gateway):
    _, made = await ask()
    ask.server.advance(61)

    async def refuse(request: web.Request) -> web.StreamResponse:
        return await gateway.status(request, 400)

    gateway.behave = refuse
    assert (await ask(f"/registrations/{made['registration']}/resend", {}))[0] == 502
    key = Ed25519PrivateKey.generate()
    code = next(word.strip(".") for word in gateway.taken[0]["text"].split() if word.strip(".").isdecimal())
    proof = make_proof(key, ask.server.domain, made["registration"], VICTIM)
    body = {
        "code": code,
        "device_key": encode_public_key(key.public_key()),
        "device_name": "x",
        "proof": proof,
    }
    assert (await ask(f"/registrations/{made['registration']}/verify", body))[0] == 201


async def test_a_console_that_is_closed_is_a_failed_sms(make_server, http, monkeypatch):
    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    server = make_server(sms="console")
    await server.start()
    with monkeypatch.context() as console:
        console.setattr("sys.stdout", Closed())
        async with http.post(f"{server.url}/v1/registrations", json={"number": VICTIM}) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (502, "sms_failed")
    await server.stop()
