"""Registering as a library, looking up, and staying connected."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from signaling import stanza as st
from signaling.client import Client
from signaling.client.api import ServerApi, require_safe
from signaling.client.registration import Progress, Registration, register
from signaling.client.websocket import StanzaError
from signaling.errors import RegistrationError, ServerUnreachable
from signaling.jid import Jid
from signaling.xml import DISCO_INFO, PING, element

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
Open = Callable[..., Awaitable[Client]]


async def test_start_wrong_code_and_right_code(server: Any, tmp_path: Path) -> None:
    asked: list[Progress] = []

    async def code(progress: Progress) -> str:
        asked.append(progress)
        right = str(server.code_for(ALICE))
        wrong = f"{(int(right) + 1) % 10**6:06d}"
        return wrong if len(asked) == 1 else right

    with await register(
        "(202) 555-0100", server.url, tmp_path / "p", code, device_name="laptop", region="US"
    ) as made:
        assert made.number == ALICE and made.jid.domain == server.domain
        assert made.data.device_name == "laptop"
    assert [p.tries_left for p in asked] == [5, 4]


async def test_resending_too_early_says_when(server: Any) -> None:
    async with aiohttp.ClientSession() as session:
        registration = Registration(ServerApi(session, server.url))
        with pytest.raises(RuntimeError):
            await registration.resend()
        await registration.start(ALICE)
        with pytest.raises(RegistrationError) as early:
            await registration.resend()
        assert early.value.code == "too_many" and early.value.retry_after_s
        server.advance(61)
        assert (await registration.resend()).number == ALICE
        with pytest.raises(RegistrationError) as wrong:
            await registration.verify("not a code", "x")
        assert wrong.value.code == "bad_request"


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1",
        "ws://example.com",
        "ftp://127.0.0.1",
        "nonsense",
        "",
        "http://",
        "http://localhost.evil.example",
    ],
)
def test_unsafe_addresses(url: str) -> None:
    with pytest.raises(ServerUnreachable):
        require_safe(url)


def test_safe_addresses() -> None:
    for url in (
        "https://calls.example",
        "http://127.0.0.1:8480",
        "http://[::1]:1",
        "ws://localhost/x",
        "https://x/",
    ):
        assert require_safe(url) == url.rstrip("/")


ANSWERS: list[Any] = [
    (200, "text/html", "<html>hello</html>"),
    (200, "application/json", "[1]"),
    (200, "application/json", '{"protocol":2}'),
    (200, "application/json", '{"protocol":1,"domain":7,"websocket":"ws://127.0.0.1/"}'),
    (200, "application/json", '{"protocol":1,"domain":"x","websocket":"ws://192.0.2.1/"}'),
    (302, "text/plain", ""),
    (502, "text/html", "<h1>Bad gateway</h1>"),
    (200, "application/json", "[" * 5000),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
async def test_what_is_no_ringline_server(answer: tuple[int, str, str]) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=answer[0], content_type=answer[1], text=answer[2])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ServerUnreachable) as error:
                await ServerApi(session, f"http://127.0.0.1:{runner.addresses[0][1]}").server()
        assert len(str(error.value).splitlines()) == 1
    finally:
        await runner.cleanup()


async def test_lookup_and_its_cache(open_client: Open, make_profile: Any, server: Any) -> None:
    alice = await open_client(ALICE)
    assert await alice.contacts.find(BOB) is None
    await make_profile(BOB)
    found = await alice.contacts.find(BOB)
    assert found is not None and found.jid == Jid(BOB, server.domain) and len(found.devices) == 1
    await server.stop()
    assert await alice.contacts.find(BOB) == found
    assert alice.contacts.cached(BOB) == found
    alice.contacts.forget(BOB)
    with pytest.raises(ServerUnreachable):
        await alice.contacts.find(BOB)


async def test_an_expired_access_token_is_renewed(open_client: Open, make_profile: Any, server: Any) -> None:
    alice = await open_client(ALICE)
    await make_profile(BOB)
    server.advance(3600)  # for the server only: our token has run out without our knowing
    tokens = alice.contacts._tokens
    tokens._wall_clock = server.clock
    tokens._expires = float("inf")
    assert await alice.contacts.find(BOB) is not None


async def test_a_revoked_device_stays_out_and_is_told(
    open_client: Open, make_profile: Any, tmp_path: Path
) -> None:
    alice = await open_client(ALICE)
    await make_profile(ALICE, name="new")  # the number registers again: every device of before is void
    async with asyncio.timeout(10):
        with pytest.raises(RegistrationError) as revoked:
            await alice.next_incoming()
        assert revoked.value.code == "device_revoked"
        with pytest.raises(RegistrationError):
            await alice.wait_online()
    assert not alice.online


async def test_no_server_is_said_in_one_line(make_profile: Any, server: Any) -> None:
    path = await make_profile(ALICE)
    await server.stop()
    async with Client.open(path) as alice:
        with pytest.raises(ServerUnreachable) as error:
            await alice.wait_online(0.3)
        assert "cannot reach" in str(error.value) and len(str(error.value).splitlines()) == 1


async def test_an_answer_counts_only_from_whom_was_asked(open_client: Open, server: Any) -> None:
    alice = await open_client(ALICE)
    connection = alice._connection
    nobody = Jid(BOB, server.domain, "d1")
    asking = asyncio.create_task(connection.ask("get", element(PING, "ping"), nobody))
    await asyncio.sleep(0)
    (id_,) = connection._answers
    for sender in (str(Jid(CAROL, server.domain, "d1")), str(nobody.bare), server.domain, None):
        forged = st.iq("result", id=id_)
        if sender:
            forged.set("from", sender)
        connection._handle(_received(forged))
        assert not asking.done()
    with pytest.raises(StanzaError) as error:  # the server's own answer: nobody is there
        await asking
    assert error.value.info.condition == "service-unavailable"
    assert not connection._answers and not len(connection._tracker)


def _received(stanza: Any) -> Any:
    from signaling.stream import StanzaReceived

    return StanzaReceived(stanza)


async def test_strangers_learn_nothing_by_asking(open_client: Open, connected: Any, server: Any) -> None:
    alice, bob, carol = await open_client(ALICE), await open_client(BOB), await open_client(CAROL)
    query = element(DISCO_INFO, "query")
    offline = Jid(BOB, server.domain, "d0000000000000000")
    conditions = []
    for jid in (bob._profile.jid, offline):
        with pytest.raises(StanzaError) as error:
            await carol._connection.ask("get", query, jid)
        conditions.append(error.value.info)
    assert conditions[0] == conditions[1]
    ours, _ = await connected(alice, bob)
    answer = await alice._connection.ask("get", query, bob._profile.jid)
    features = {f.get("var") for f in answer.iter(f"{{{DISCO_INFO}}}feature")}
    assert "urn:xmpp:jingle:apps:rtp:audio" in features
    await ours.hang_up()
