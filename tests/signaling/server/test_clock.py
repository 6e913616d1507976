"""A host whose clock jumps by a year: nothing is deleted, nobody is locked out, in any order of jumps and starts."""

import itertools
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from signaling import stanza as st
from signaling.server_limits import Limits
from signaling.storage.store import assertions, codes, devices, messages
from signaling.stream import DEFAULT_TIMES
from signaling.xml import DELAY, HINTS, PING, child, element

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
LIMITS = Limits(drain=0.1, times=replace(DEFAULT_TIMES, close=0.1))  # no time is lost at an end
DAY, YEAR = 86400.0, 365 * 86400.0


@pytest.fixture
def limits(request):
    return getattr(request, "param", LIMITS)


def note(server, id="m"):
    return st.message(f"{BOB}@{server.domain}", element("urn:x", "x"), element(HINTS, "store"), id=id)


async def sync(wire, ids=itertools.count()):  # noqa: B008
    await wire.ask(st.iq("get", element(PING, "ping"), id=f"sync{next(ids)}"))
    return [stanza.get("id") for stanza in wire.stanzas]


async def count(server, table):
    query = select(func.count()).select_from(table)
    return await server.server._context.store.database.run(lambda db: db.scalar(query))


async def is_let_in(phone):
    """Also at a time that is right for its own clock only."""
    body = {"device_token": phone.device_token, "assertion": phone.assertion()}
    async with phone.http.post(f"{phone.server.url}/v1/tokens", json=body) as answer:
        return answer.status == 200


@pytest.mark.parametrize(
    "jump",
    [YEAR, -YEAR, *(pytest.param(jump, marks=pytest.mark.long) for jump in (91 * DAY, -91 * DAY, 8 * DAY))],
)
@pytest.mark.parametrize("restarts", [True, False])
async def test_what_is_kept_and_who_is_registered_survive_a_clock_that_is_wrong(
    server, register, connect, jump, restarts
):
    alice, bob = await register(ALICE), await register(BOB)
    await (await connect(alice)).send(note(server))
    wire = await connect(alice)
    await sync(wire)
    stored = [await count(server, table) for table in (devices, messages, assertions, codes)]
    for step in (jump, -jump):
        server.advance(step)
        if restarts:
            await server.restart()
        await server.server._sweep_once()
        await server.server._sweep_once()
        now = [await count(server, table) for table in (devices, messages, assertions, codes)]
        assert now == stored
    assert await is_let_in(alice) and await is_let_in(bob)
    assert await sync(await connect(bob)) == ["m"]


@pytest.mark.parametrize("wrong", [YEAR, -YEAR, -56 * YEAR])
async def test_a_clock_that_is_wrong_at_the_first_start(make_server, http, connect, wrong):
    """A host without a battery: who registers before its clock is set is let in after it, and has his messages."""
    server = make_server(limits=LIMITS)
    server.advance(wrong)
    await server.start()
    try:
        alice, bob = [await _register(server, http, number) for number in (ALICE, BOB)]
        wire = await connect(alice)
        await wire.send(note(server))
        await sync(wire)
        server.advance(-wrong)
        await server.server._sweep_once()
        assert await is_let_in(alice) and await is_let_in(bob)
        await server.restart()
        assert await is_let_in(alice)
        bobs = await connect(bob)
        assert await sync(bobs) == ["m"]
        stamp = child(bobs.stanzas[0], DELAY, "delay").get("stamp")
        from datetime import UTC, datetime

        said = datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
        assert abs(said - server.clock()) < 60, "people are told when it was, not what the clock showed"
    finally:
        await server.stop()


async def _register(server, http, number):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from signaling.tokens import encode_public_key, make_proof
    from tests.signaling.conftest import Phone

    key = Ed25519PrivateKey.generate()
    async with http.post(f"{server.url}/v1/registrations", json={"number": number}) as answer:
        registration = (await answer.json())["registration"]
    proof = make_proof(key, server.domain, registration, number)
    body = {"code": server.code_for(number), "device_key": encode_public_key(key.public_key())}
    body |= {"device_name": "test", "proof": proof}
    async with http.post(f"{server.url}/v1/registrations/{registration}/verify", json=body) as answer:
        made = await answer.json()
    return Phone(server, http, number, made["device"], made["device_token"], key, made["generation"])


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
async def test_a_jump_in_the_middle_of_a_registration_costs_nothing(server, http, jump):
    async with http.post(f"{server.url}/v1/registrations", json={"number": ALICE}) as answer:
        registration = (await answer.json())["registration"]
    server.advance(jump)
    async with http.post(f"{server.url}/v1/registrations/{registration}/resend", json={}) as answer:
        problem = await answer.json()
        assert answer.status == 429 and problem["retry_after_s"] <= 60
    body = {"code": "0", "device_key": "x", "device_name": "x", "proof": "x"}
    async with http.post(f"{server.url}/v1/registrations/{registration}/verify", json=body) as answer:
        assert (await answer.json())["code"] != "registration_over"


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
async def test_a_pin_does_not_lapse_by_a_jump(server, http, register, jump):
    from signaling.problem import Problem

    alice = await register(ALICE)
    async with http.patch(
        f"{server.url}/v1/account", json={"findable": "everybody"}, headers=await alice.bearer()
    ):
        pass
    await server.server._accounts.set_pin(ALICE, "123456")
    for step in (jump, -jump):
        server.advance(step)
        await server.server._sweep_once()
        with pytest.raises(Problem, match="pin_needed"):
            now = server.server._context.store_clock.now()
            await server.server._accounts.check_pin(ALICE, None, now, False)


async def test_an_open_stream_and_a_resumption_do_not_notice(server, register, connect):
    """A call that rings is not an old one for the clock was set: nothing is said to be delayed that is not."""
    alice, phone = await connect(await register(ALICE)), await register(BOB)
    bob = await connect(phone)
    await bob.show(alice)
    await sync(bob)
    bob.socket._writer.transport.abort()
    await alice.send(note(server, "one"))
    await sync(alice)
    server.advance(YEAR)
    again = await connect(phone, online=False)
    again.stream._broken = bob.stream.management
    await again.online()
    await sync(again)
    got = [stanza for stanza in again.stanzas if stanza.get("id") == "one"]
    assert len(got) == 1 and child(got[0], DELAY, "delay") is None
    server.advance(-2 * YEAR)
    await alice.send(note(server, "two"))
    await sync(alice)
    assert "two" in await sync(again)
