"""What answers need not be a Ringline server: it is survived, whatever it says."""

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as some

from signaling.client.api import ServerApi, _problem, member
from signaling.errors import RegistrationError, ServerUnreachable

ANYTHING = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=30)
HUGE = some.sampled_from([10**400, -(10**400), 2**53, float("nan"), float("inf")])


@given(
    some.integers(400, 599),
    some.dictionaries(
        some.sampled_from(["code", "title", "retry_after_s", "tries_left", "x"]),
        ANYTHING | HUGE | some.lists(ANYTHING, max_size=2),
    ),
)
def test_any_problem_is_an_error_of_one_line(status: int, answer: dict[str, Any]) -> None:
    error = _problem(status, answer)
    assert isinstance(error, RegistrationError) and str(error).isprintable()
    for number in (error.retry_after_s, error.tries_left):
        assert number is None or number + 1.0 > number


@given(ANYTHING | HUGE)
def test_a_number_is_one_that_can_be_reckoned_with(value: object) -> None:
    try:
        found = member({"n": value}, "n", int)
    except ServerUnreachable:
        return
    assert found == value and found + 1.0 != found


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"{" * 100_000,
        b'{"a":' + b"1" * 5000 + b"}",
        b"<html>",
    ],
)
async def test_what_is_no_object_is_no_server(status: int, body: bytes) -> None:
    async def reply(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/server", reply)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ServerUnreachable):
                await ServerApi(session, f"http://127.0.0.1:{runner.addresses[0][1]}").server()
    finally:
        await runner.cleanup()


def test_the_numbers_of_a_good_problem() -> None:
    error = _problem(
        429, json.loads('{"code": "too_many", "title": "wait", "retry_after_s": 7, "tries_left": 2}')
    )
    assert (error.code, error.title, error.retry_after_s, error.tries_left) == ("too_many", "wait", 7.0, 2)
