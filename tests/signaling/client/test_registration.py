"""Registering as a library, looking up, and staying connected."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from signaling.client import Client
from signaling.client.api import ServerApi, require_safe
from signaling.client.registration import Progress, Registration, register
from signaling.errors import RegistrationError, ServerUnreachable

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


@pytest.mark.parametrize(
    "said",
    [
        {"number": BOB},
        {"jid": f"{BOB}@calls.example"},
        {"jid": f"{ALICE}@other.example"},
        {"jid": f"{ALICE}@calls.example/d0123456789abcdef"},
        {"jid": ALICE},
        {"device": "../x"},
        {"device": "d0123456789ABCDEF"},
        {"device": ""},
    ],
)
async def test_a_device_signs_in_no_other_name_than_it_asked_for(
    between: Any, server: Any, make_profile: Any, tmp_path: Path, said: dict[str, str]
) -> None:
    """Its passports are in the name of the address in its profile: a server must not put somebody else's there."""
    between.rewrite = lambda method, path, asked, answer: (
        answer | said if path.endswith("/verify") else answer
    )
    with pytest.raises(ServerUnreachable, match=r"another number|not understood"):
        await make_profile(ALICE, between.url)
    assert not list(tmp_path.glob("*.profile"))


async def test_a_client_goes_nowhere_but_to_its_server(
    between: Any, server: Any, make_profile: Any, tmp_path: Path
) -> None:
    """A redirection may lead out of TLS, and to whoever the server likes; neither requests nor streams follow one."""
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=404)

    async def redirecting(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(f"{other}{request.path}")

    urls, runners = [], []
    for handler in (elsewhere, redirecting):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runners[-1].addresses[0][1]}")
    other, leading = urls
    try:
        path = await make_profile(ALICE, between.url)
        websocket = {"websocket": leading.replace("http", "ws", 1) + "/xmpp"}
        between.rewrite = lambda method, route, body, answer: (
            answer | websocket if route == "/server" else answer
        )
        async with Client.open(path) as client:
            with pytest.raises(ServerUnreachable, match="sends its clients elsewhere"):
                await client.wait_online(1)
        with pytest.raises(ServerUnreachable):
            await make_profile(BOB, leading)
        assert not asked
    finally:
        for runner in runners:
            await runner.cleanup()
