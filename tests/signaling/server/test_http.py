"""The HTTP part: every success and every error row of protocol.md section 1."""

import asyncio
import json
import logging

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from signaling.contact_budget import ContactLimits
from signaling.policy.sms import Caller, SmsLimits
from signaling.rate_limit import Rate
from signaling.server_limits import Limits
from signaling.tokens import b64url, encode_public_key, make_proof, sign_jws

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"


@pytest.fixture
def post(server, http):
    """await post(path, body, headers) -> (status, body, headers)"""

    async def run(path, body=None, headers=None, method="POST", **options):
        if body is not None:
            options["json"] = body
        async with http.request(method, f"{server.url}/v1{path}", headers=headers, **options) as answer:
            data = await answer.read()
            if answer.status >= 400:
                assert answer.content_type == "application/problem+json"
                assert "Traceback" not in data.decode()
            return answer.status, json.loads(data) if data else None, answer.headers

    return run


@pytest.fixture
def attempt(server, post):
    """A registration in progress: await attempt(number) -> function that verifies with changed fields."""

    async def start(number=ALICE):
        status, made, _ = await post("/registrations", {"number": number})
        assert status == 201
        key = Ed25519PrivateKey.generate()

        async def verify(path=None, **changes):
            body = {
                "code": server.code_for(number),
                "device_key": encode_public_key(key.public_key()),
                "device_name": "laptop",
                "proof": make_proof(key, server.domain, made["registration"], number),
            } | changes
            return await post(f"/registrations/{path or made['registration']}/verify", body)

        verify.made = made
        verify.path = f"/registrations/{made['registration']}"
        return verify

    return start


def wrong(code):
    return f"{(int(code) + 1) % 1_000_000:06d}"


@pytest.fixture
def limits(request):
    return getattr(request, "param", Limits())


async def test_server_describes_itself(server, post):
    status, body, _ = await post("/server", method="GET")
    assert status == 200
    assert body == {
        "protocol": 1,
        "domain": "calls.example",
        "websocket": server.url.replace("http", "ws") + "/xmpp",
        "region": "US",
        "token_life_s": 900,
    }


async def test_a_forged_host_header_is_not_repeated(server, post):
    for host in ("evil.example/path", "a b", "<script>"):
        _, body, _ = await post("/server", method="GET", headers={"Host": host})
        assert body["websocket"] == server.url.replace("http", "ws") + "/xmpp"


async def test_registration_of_known_and_unknown_numbers_looks_the_same(server, post, register):
    await register(ALICE)
    answers = []
    for number in ("(202) 555-0100", "202 555 0101"):
        status, body, _ = await post("/registrations", {"number": number, "region": "US"})
        assert status == 201
        assert len(body.pop("registration")) == 22
        answers.append(body)
    assert answers[0].pop("number") == ALICE and answers[1].pop("number") == BOB
    assert answers[0] == answers[1] == {"expires_in_s": 600, "resend_in_s": 60, "tries_left": 5}
    assert "Ringline" in server.messages()[-1]["text"] and "Never" in server.messages()[-1]["text"]


async def test_verify_makes_a_device(server, attempt):
    verify = await attempt()
    status, body, _ = await verify()
    assert status == 201
    assert body["number"] == ALICE and body["jid"] == f"{ALICE}@{server.domain}" and body["generation"] == 1
    assert len(body["device"]) == 17 and len(body["device_token"]) == 43
    # The code is used up, and one answer covers all ways of being over.
    assert (await verify())[:2] == (
        410,
        {"code": "registration_over", "title": "this registration is over; start a new one"},
    )
    assert (await verify(path="A" * 22))[0] == 410
    assert (await verify(path="short"))[0] == 410


async def test_codes_are_drawn_anew_and_the_last_one_counts(server, post, attempt):
    verify = await attempt()
    first = server.code_for(ALICE)
    status, body, headers = await post(f"{verify.path}/resend")
    assert (status, body["code"]) == (429, "too_many") and 0 < int(headers["Retry-After"]) <= 60
    server.advance(61)
    status, body, _ = await post(f"{verify.path}/resend")
    assert status == 200 and body["resend_in_s"] == 120 and body["expires_in_s"] == 600
    assert body["registration"] == verify.made["registration"]
    if first != server.code_for(ALICE):
        assert (await verify(code=first))[1]["code"] == "wrong_code"
    assert (await verify())[0] == 201


async def test_five_messages_and_no_more(server, post, attempt):
    verify = await attempt()
    for wait, then in ((60, 120), (120, 300), (300, 600), (600, 600)):
        server.advance(wait - 1)
        assert (await post(f"{verify.path}/resend"))[0] == 429
        # Ten minutes after the fourth code the registration is over, just when a fifth would be allowed.
        if wait == 600:
            break
        server.advance(1)
        status, body, _ = await post(f"{verify.path}/resend")
        assert (status, body["resend_in_s"]) == (200, then)
    server.advance(1)
    assert (await post(f"{verify.path}/resend"))[0] == 410


async def test_a_code_dies_after_ten_minutes(server, attempt):
    verify = await attempt()
    server.advance(601)
    assert (await verify())[1]["code"] == "registration_over"


async def test_five_tries_with_growing_delays(server, attempt):
    verify = await attempt()
    bad = wrong(server.code_for(ALICE))
    for tries_left, delay in ((4, 0), (3, 0), (2, 60), (1, 120), (0, 0)):
        status, body, headers = await verify(code=bad)
        assert (status, body["code"], body["tries_left"]) == (403, "wrong_code", tries_left)
        assert body.get("retry_after_s", 0) == delay and headers.get("Retry-After", "0") == str(delay)
        if delay:
            # Too early does not cost a try, even with the right code.
            assert (await verify())[1]["code"] == "too_many"
            server.advance(delay)
    assert (await verify())[1]["code"] == "registration_over"


async def test_two_tries_at_once_count_as_two_or_one_is_turned_away(server, attempt):
    verify = await attempt()
    bad = wrong(server.code_for(ALICE))
    answers = await asyncio.gather(*(verify(code=bad) for _ in range(8)))
    left = [body["tries_left"] for status, body, _ in answers if status == 403]
    assert sorted(left, reverse=True) == list(range(4, 4 - len(left), -1))
    assert all(status in (403, 429) for status, _, _ in answers)


BAD_VERIFICATIONS = [
    ({"code": "12345"}, 400, "bad_request"),
    ({"code": "12345٦"}, 400, "bad_request"),
    ({"code": 123456}, 400, "bad_request"),
    ({"device_name": ""}, 400, "bad_request"),
    ({"device_name": "a\x00b"}, 400, "bad_request"),
    ({"device_name": "\ud800"}, 400, "bad_request"),
    ({"device_name": "x" * 65}, 400, "bad_request"),
    ({"device_key": "AAAA"}, 400, "bad_key"),
    ({"device_key": "!" * 43}, 400, "bad_key"),
    ({"proof": b64url(bytes(64))}, 400, "bad_proof"),
    ({"proof": "AAAA"}, 400, "bad_proof"),
    (
        {"device_key": encode_public_key(Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key())},
        400,
        "bad_proof",
    ),
]


async def test_verify_refuses_and_costs_no_try(attempt):
    verify = await attempt()
    for changes, status, code in BAD_VERIFICATIONS:
        got, body, _ = await verify(**changes)
        assert (got, body["code"]) == (status, code), changes
        assert "tries_left" not in body
    assert (await verify())[0] == 201


BAD_NUMBERS = [
    ({}, "bad_request"),
    ({"number": None}, "bad_request"),
    ({"number": ["+12025550100"]}, "bad_request"),
    ({"number": "abc"}, "invalid_number"),
    ({"number": "+15550000000"}, "invalid_number"),
    ({"number": "911"}, "invalid_number"),
    ({"number": "+12025550100 ext 5"}, "invalid_number"),
    ({"number": "1" * 65}, "bad_request"),
    ({"number": "+1202555\ud8000100"}, "bad_request"),
    ({"number": "2025550100", "region": "XX"}, "bad_request"),
    ({"number": "2025550100", "region": 1}, "bad_request"),
    ([], "bad_request"),
]


async def test_bad_numbers(server, post):
    for body, code in BAD_NUMBERS:
        status, answer, _ = await post("/registrations", body)
        assert (status, answer["code"]) == (400, code), body
    assert server.messages() == []


BAD_BODIES = [
    (b"{", {"Content-Type": "application/json"}, 400, "bad_json"),
    (b"\xff\xfe", {"Content-Type": "application/json"}, 400, "bad_json"),
    (b"[" * 60_000, {"Content-Type": "application/json"}, 400, "bad_json"),
    (b"{}", {"Content-Type": "text/plain"}, 415, "not_json"),
    (b"x" * 70_000, {"Content-Type": "application/json"}, 413, "too_large"),
]


async def test_bad_bodies(post):
    for data, headers, status, code in BAD_BODIES:
        got, body, _ = await post("/registrations", data=data, headers=headers)
        assert (got, body["code"]) == (status, code)


async def test_unknown_paths_and_methods(post):
    assert (await post("/nothing"))[:2] == (404, {"code": "not_found", "title": "there is nothing here"})
    assert (await post("/registrations", method="GET"))[1]["code"] == "bad_method"
    assert (await post("/account", {}, method="PUT"))[1]["code"] == "bad_method"


async def test_countries(make_server, http):
    server = make_server(countries=frozenset({"CA"}))
    await server.start()
    async with http.post(f"{server.url}/v1/registrations", json={"number": ALICE}) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (403, "country_not_served")
    await server.stop()


async def test_a_number_is_not_flooded_with_messages(server, post):
    for _ in range(10):
        assert (await post("/registrations", {"number": ALICE}))[0] == 201
    status, body, headers = await post("/registrations", {"number": ALICE})
    assert (status, body["code"]) == (429, "too_many") and body["retry_after_s"] == int(
        headers["Retry-After"]
    ) > 0
    assert (await post("/registrations", {"number": BOB}))[0] == 201
    server.advance(body["retry_after_s"])
    assert (await post("/registrations", {"number": ALICE}))[0] == 201


async def test_an_attacker_cannot_lock_the_owner_out(make_server, http):
    """Over HTTP, from outside: the whole table at once."""
    server = make_server(behind_proxy=True)
    await server.start()

    async def call(address, path, body):
        headers = {"X-Forwarded-For": address}
        async with http.post(f"{server.url}/v1{path}", json=body, headers=headers) as answer:
            made = await answer.json(content_type=None)
            return answer.status, made

    async def ask(address):
        return await call(address, "/registrations", {"number": ALICE})

    async def register(address):
        status, made = await ask(address)
        assert status == 201, made
        key = Ed25519PrivateKey.generate()
        proof = make_proof(key, server.domain, made["registration"], ALICE)
        body = {"code": server.code_for(ALICE), "device_key": encode_public_key(key.public_key())}
        body |= {"device_name": "x", "proof": proof}
        assert (await call(address, f"/registrations/{made['registration']}/verify", body))[0] == 201

    await register("203.0.113.5")
    server.advance(86400)
    # Somebody asks for codes all the time, from many networks.
    answers = []
    for n in range(30):
        answers.append((await ask(f"198.51.{n}.1"))[0])
        server.advance(61)
    assert answers.count(201) == 5 and answers.count(429) == 25
    # Nor does a restart renew anything; where the owner is at home is known again with the next token.
    await server.restart()
    assert (await ask("198.51.77.1"))[0] == 429
    server.server._context.sms_policy.at_home(ALICE, Caller("203.0.113.5"))
    # He gets the answer that everybody gets, and the owner his code, where he was before.
    status, body = await ask("192.0.2.1")
    assert (status, body["code"], body["title"]) == (429, "too_many", "too many requests; try again later")
    await register("203.0.113.99")
    server.advance(3600)
    # One address gets six requests at once, whatever they are.
    statuses = [(await call("192.0.2.9", "/registrations", {"number": "x"}))[0] for _ in range(8)]
    assert statuses == [400] * 6 + [429] * 2
    await server.stop()


async def test_a_failing_gateway_is_told(make_server, http):
    server = make_server(sms="webhook:http://127.0.0.1:1/sms")
    await server.start()
    async with http.post(f"{server.url}/v1/registrations", json={"number": ALICE}) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (502, "sms_failed")
    await server.stop()


async def test_token_for_an_assertion_once(server, post, register):
    alice = await register(ALICE)
    body = {"device_token": alice.device_token, "assertion": alice.assertion()}
    status, made, _ = await post("/tokens", body)
    assert status == 200 and made["token_type"] == "Bearer" and made["expires_in_s"] == 900
    assert (await post("/tokens", body))[1]["code"] == "bad_token"
    await server.restart()
    assert (await post("/tokens", body))[1]["code"] == "bad_token"
    # The token is still good after the restart: the key is kept.
    headers = {"Authorization": f"Bearer {made['access_token']}"}
    assert (await post("/account", method="GET", headers=headers))[0] == 200


async def test_tokens_refuse(server, post, register):
    alice, bob = await register(ALICE), await register(BOB)

    async def ask(token, assertion):
        status, body, headers = await post("/tokens", {"device_token": token, "assertion": assertion})
        assert status == 401 and "WWW-Authenticate" in headers and token not in str(body)
        return body["code"], headers

    assert (await ask("x" * 43, alice.assertion()))[0] == "device_revoked"
    assert (await ask(alice.device_token, bob.assertion()))[0] == "bad_token"
    assert (await ask(alice.device_token, alice.assertion(audience="other.example")))[0] == "bad_token"
    assert (await ask(alice.device_token, alice.assertion(device=bob.device)))[0] == "bad_token"
    assert (await ask(alice.device_token, alice.assertion(number=BOB)))[0] == "bad_token"
    assert (await ask(alice.device_token, alice.assertion(id="short")))[0] == "bad_token"
    assert (await ask(alice.device_token, "no.token.atall"))[0] == "bad_token"
    forged = sign_jws(Ed25519PrivateKey.generate(), {"iss": alice.device, "sub": ALICE})
    assert (await ask(alice.device_token, forged))[0] == "bad_token"
    now = int(server.clock())
    code, headers = await ask(alice.device_token, alice.assertion(issued_at=now - 400))
    assert code == "clock_skew" and "GMT" in headers["Date"]
    assert (await ask(alice.device_token, alice.assertion(issued_at=now + 400)))[0] == "clock_skew"
    assert (await post("/tokens", {"device_token": alice.device_token}))[1]["code"] == "bad_request"


async def test_the_date_header_is_the_servers_clock(server, post, register):
    alice = await register(ALICE)
    server.advance(86400 * 2)
    from email.utils import parsedate_to_datetime

    body = {"device_token": alice.device_token, "assertion": alice.assertion(issued_at=0)}
    _, _, headers = await post("/tokens", body)
    assert abs(parsedate_to_datetime(headers["Date"]).timestamp() - server.clock()) < 5


async def test_a_device_unused_for_90_days_is_gone(server, post, register):
    alice = await register(ALICE)
    server.advance(89 * 86400)
    await alice.access_token()
    server.advance(89 * 86400)
    await alice.access_token()
    server.advance(91 * 86400)
    body = {"device_token": alice.device_token, "assertion": alice.assertion()}
    assert (await post("/tokens", body))[1]["code"] == "device_revoked"


async def test_a_new_registration_is_a_new_generation(server, post, register):
    old = await register(ALICE)
    headers = await old.bearer()
    new = await register(ALICE)
    assert (old.generation, new.generation) == (1, 2)
    assert (await post("/account", method="GET", headers=headers))[1]["code"] == "device_revoked"
    body = {"device_token": old.device_token, "assertion": old.assertion()}
    assert (await post("/tokens", body))[1]["code"] == "device_revoked"
    status, body, _ = await post("/account", method="GET", headers=await new.bearer())
    assert status == 200 and [d["device"] for d in body["devices"]] == [new.device]


async def test_account_lists_and_device_is_deleted(server, post, register):
    alice, bob = await register(ALICE), await register(BOB)
    headers = await alice.bearer()
    status, body, _ = await post("/account", method="GET", headers=headers)
    (device,) = body.pop("devices")
    assert status == 200 and body == {
        "number": ALICE,
        "generation": 1,
        "findable": "everybody",
        "list": None,
        "list_version": 0,
        "pin": False,
    }
    assert device.pop("added").endswith("Z")
    assert device == {
        "device": alice.device,
        "name": "test",
        "key": encode_public_key(alice.key.public_key()),
        "current": True,
    }
    assert (await post(f"/devices/{bob.device}", method="DELETE", headers=headers))[1]["code"] == "not_found"
    assert (await post("/devices/x", method="DELETE", headers=headers))[0] == 404
    assert (await post(f"/devices/{alice.device}", method="DELETE", headers=headers))[0] == 204
    assert (await post("/account", method="GET", headers=headers))[1]["code"] == "device_revoked"


async def test_bearer_is_needed(post):
    for value in ("", "Bearer", "Bearer x", "Basic abc", "Bearer a.b.c", "Bearer " + "é" * 10):
        headers = {"Authorization": value}
        for method, path, body in (
            ("GET", "/account", None),
            ("POST", "/contacts/lookup", {"numbers": []}),
            ("DELETE", "/devices/d0123456789abcdef", None),
        ):
            status, answer, _ = await post(path, body, headers, method)
            assert (status, answer["code"]) == (401, "bad_token")


async def test_an_access_token_expires(server, post, register):
    alice = await register(ALICE)
    headers = await alice.bearer()
    server.advance(925)
    assert (await post("/account", method="GET", headers=headers))[0] == 200
    server.advance(10)
    assert (await post("/account", method="GET", headers=headers))[1]["code"] == "bad_token"


async def test_lookup(server, post, register):
    alice, bob = await register(ALICE), await register(BOB)
    asked = ["(202) 555-0101", "+1 202 555 0101", "+12025550102", "abc", "+12025550100"]
    status, body, _ = await post("/contacts/lookup", {"numbers": asked, "region": "US"}, await alice.bearer())
    assert status == 200 and body["unreadable"] == ["abc"]
    assert [(r["asked"], r["number"]) for r in body["registered"]] == [
        (asked[0], BOB),
        (asked[1], BOB),
        (asked[4], ALICE),
    ]
    assert body["registered"][0]["jid"] == f"{BOB}@{server.domain}"
    assert body["registered"][0]["devices"] == [
        {"device": bob.device, "key": encode_public_key(bob.key.public_key())}
    ]


async def test_lookup_refuses(post, register):
    headers = await (await register(ALICE)).bearer()
    for numbers in (None, "x", [1], {}, ["+12025550101"] * 1001):
        assert (await post("/contacts/lookup", {"numbers": numbers}, headers))[1]["code"] == "bad_request"
    assert (await post("/contacts/lookup", {"numbers": [], "region": "XX"}, headers))[1][
        "code"
    ] == "bad_request"


@pytest.mark.parametrize("limits", [Limits(contacts=ContactLimits(numbers=Rate(10, 30)))], indirect=True)
async def test_lookup_budget_counts_new_numbers_only(server, post, register):
    alice = await register(ALICE)
    headers = await alice.bearer()
    numbers = [f"+1202555{n:04d}" for n in range(110, 122)]
    assert (await post("/contacts/lookup", {"numbers": numbers}, headers))[1]["code"] == "too_many"
    for _ in range(3):
        assert (await post("/contacts/lookup", {"numbers": numbers[:10]}, headers))[0] == 200
    status, body, _ = await post("/contacts/lookup", {"numbers": numbers[10:11]}, headers)
    assert (status, body["code"]) == (429, "too_many") and body["retry_after_s"] <= 30
    server.advance(30)
    assert (await post("/contacts/lookup", {"numbers": numbers[10:11]}, headers))[0] == 200
    assert (await post("/contacts/lookup", {"numbers": numbers[11:]}, headers))[0] == 429


async def test_keys_and_health(server, post, http):
    status, body, _ = await post("/keys.json", method="GET")
    (key,) = body["keys"]
    assert status == 200 and key["kty"] == "OKP" and key["crv"] == "Ed25519" and "d" not in key
    for path in ("/healthz", "/readyz", "/v1/healthz", "/v1/readyz"):
        async with http.get(server.url + path) as answer:
            assert answer.status == 200


async def test_a_broken_store_is_503_without_a_traceback(server, post, http, caplog):
    await server.server._context.store.close()
    (server.server.config.data / "ringline.db").unlink()
    (server.server.config.data / "ringline.db").mkdir()
    assert (await post("/registrations", {"number": ALICE}))[1]["code"] == "unavailable"
    async with http.get(server.url + "/readyz") as answer:
        assert answer.status == 503
    async with http.get(server.url + "/healthz") as answer:
        assert answer.status == 200
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00",
        b"GET /v1/server HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: \x00\r\n\r\n",
        b"\x00" * 100_000,
    ],
)
async def test_what_is_not_http_leaves_no_traceback(server, post, caplog, data):
    caplog.set_level(logging.INFO)
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    writer.write_eof()
    try:
        assert b"Traceback" not in await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        pass
    writer.close()
    assert (await post("/server", method="GET"))[0] == 200
    assert "Traceback" not in caplog.text


JSON = some.recursive(
    some.none() | some.booleans() | some.floats() | some.integers() | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=JSON, field=some.sampled_from(["number", "region", "device_token", "assertion", "code", "proof"])
)
def test_any_json_is_answered_with_a_client_error(hostile, value, field):
    hostile(field, value)


@pytest.fixture
def hostile(tmp_path):
    """A server in a loop of its own: hypothesis calls are synchronous."""
    import aiohttp

    from signaling.server.app import Server
    from signaling.server_config import ServerConfig

    loop = asyncio.new_event_loop()
    config = ServerConfig(data=tmp_path / "data", port=0, sms=f"file:{tmp_path / 'sms'}")
    limits = Limits(sms=SmsLimits(number_local=Rate(1e9, 1)))

    async def open_all():
        return await Server.start(config, limits=limits), aiohttp.ClientSession()

    server, session = loop.run_until_complete(open_all())

    async def ask(field, value):
        body = {"number": "x", "device_token": "x", "assertion": "x", "code": "1", "device_key": "x"} | {
            field: value
        }
        for path in (
            "registrations",
            "tokens",
            "registrations/AAAAAAAAAAAAAAAAAAAAAA/verify",
            "contacts/lookup",
        ):
            async with session.post(
                f"{server.url}/v1/{path}",
                data=json.dumps(body).encode("utf-8"),
                headers={"Content-Type": "application/json"},
            ) as answer:
                assert answer.status in (201, 400, 401, 410, 429), await answer.text()

    yield lambda field, value: loop.run_until_complete(ask(field, value))

    async def close_all():
        await session.close()
        await server.stop()

    loop.run_until_complete(close_all())
    loop.close()
