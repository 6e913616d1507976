"""What an operator sees: health, metrics, the log; and what must not be seen there."""

import asyncio
import io
import json
import logging
import re
import socket
from dataclasses import replace

import pytest

from signaling import stanza as st
from signaling.blocking import BLOCKING
from signaling.logs import LogFormatter, redact
from signaling.policy.sms import SmsLimits
from signaling.rate_limit import Rate
from signaling.server_limits import Limits
from signaling.storage.database import Database
from signaling.tokens import b64url, encode_public_key
from signaling.xml import HINTS, element

ALICE, BOB, CAROL, NOBODY = "+12025550100", "+12025550101", "+12025550102", "+12025550177"


@pytest.fixture
def log():
    """All that any logger writes, at the most talkative level, as the server writes it: JSON, and text."""
    streams = [io.StringIO(), io.StringIO()]
    handlers = [logging.StreamHandler(stream) for stream in streams]
    root, level = logging.getLogger(), logging.getLogger().level
    for handler in handlers:
        handler.setFormatter(LogFormatter(as_json=handler is handlers[0]))
        root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield streams
    for handler in handlers:
        root.removeHandler(handler)
    root.setLevel(level)


async def test_no_secret_in_the_log_of_a_whole_life(server, register, connect, http, log, monkeypatch):
    alice, bob = await register(ALICE), await register(BOB)
    access = await alice.access_token()
    wires = [await connect(alice, token=access), await connect(bob)]
    secrets = {ALICE, BOB, CAROL, NOBODY, alice.device_token, bob.device_token, access, alice.assertion()}
    secrets |= {encode_public_key(p.key.public_key()) for p in (alice, bob)}
    secrets |= {b64url(p.key.private_bytes_raw()) for p in (alice, bob)}

    async def post(path, body, phone=None):
        headers = await phone.bearer() if phone else {}
        secrets.add(headers.get("Authorization", ALICE).removeprefix("Bearer "))
        async with http.post(f"{server.url}/v1{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    # A wrong code, many of them, and limits; a token that is none; a login that fails.
    _, made = await post("/registrations", {"number": CAROL})
    secrets.add(server.code_for(CAROL))
    attempt = {
        "device_key": encode_public_key(bob.key.public_key()),
        "device_name": "x",
        "proof": b64url(bytes(64)),
    }
    await post(f"/registrations/{made['registration']}/verify", attempt | {"code": server.code_for(CAROL)})
    for _ in range(12):
        await post("/registrations", {"number": NOBODY})
    secrets |= {re.search(r"\d{6}", message["text"])[0] for message in server.messages()}
    await post("/tokens", {"device_token": alice.device_token, "assertion": bob.assertion()})
    await post("/contacts/lookup", {"numbers": [BOB, NOBODY, "mum"]}, alice)
    stranger = await connect(bob, online=False, token=access)
    await stranger.flush()
    await stranger.ended()
    # Messages that arrive, that are kept, that are refused; blocking; what is not XML.
    for to in (BOB, NOBODY, ALICE):
        await wires[0].send(st.message(f"{to}@{server.domain}", element(HINTS, "store"), id="m"))
    item = element(BLOCKING, "item", {"jid": f"{NOBODY}@{server.domain}"})
    await wires[0].ask(st.iq("set", element(BLOCKING, "block", None, item), id="b"))
    await wires[1].socket.send_str(f"<broken {ALICE} {access}")
    await wires[1].ended()
    # Bugs of ours, whose tracebacks hold what they should not: of the database, of a request, of a stream.
    store = server.server._context.store

    async def fail(*_):
        raise RuntimeError(f"{ALICE} {alice.device_token} {access} 123456 {'0123456789abcdef' * 2}")

    secrets |= {"123456", "0123456789abcdef"}
    monkeypatch.setattr(store, "devices_of", fail)
    assert (await post("/contacts/lookup", {"numbers": [BOB]}, alice))[0] == 500
    monkeypatch.undo()
    from sqlalchemy.exc import SQLAlchemyError

    with pytest.raises(SQLAlchemyError) as failed:
        await store.change_pairs(replace_table(), ALICE, {NOBODY}, set())
    logging.getLogger("signaling").error("the store failed: %s", failed.value, exc_info=failed.value)
    for wire in (*wires, stranger):
        await wire.socket.close()
    await server.restart()
    as_json, as_text = (stream.getvalue() for stream in log)
    lines = [json.loads(line) for line in as_json.splitlines()]
    assert {"serving", "code sent", "code entered", "no code sent", "login refused"} <= {
        n["event"] for n in lines
    }
    assert all(set(line) >= {"time", "level", "logger", "event"} for line in lines)
    # The same number has the same name.
    (names,) = [{n["number"] for n in lines if n["event"] == "code sent" and n.get("country") == "US"}]
    assert len(names) == 4 and all(re.fullmatch(r"n-[a-p]{10}", name) for name in names)
    assert as_json.count("Traceback") == as_text.count("Traceback") > 1 and len(as_text) > 2000
    written = as_json + as_text
    found = [secret for secret in secrets if holds(written, secret.removeprefix("+"))]
    assert found == []
    # Nor in the database: what is not registered, codes, tokens.
    stored = b"".join(path.read_bytes() for path in server._config.data.glob("ringline.db*"))
    codes = {message["text"].split(": ")[1][:6] for message in server.messages()}
    for secret in {alice.device_token, access, *codes}:
        assert not holds(stored.decode("latin-1"), secret)


def holds(text, secret):
    """Whether it stands there by itself: six digits also happen to be in a hash or an address."""
    return re.search(rf"(?<![0-9A-Za-z]){re.escape(secret)}(?![0-9A-Za-z])", text) is not None


def replace_table():
    """A table that the database does not have."""
    import sqlalchemy as sa

    return sa.Table("none", sa.MetaData(), sa.Column("owner", sa.String), sa.Column("number", sa.String))


def test_redact_leaves_what_is_no_secret():
    plain = "cannot listen on 127.0.0.1:48480: Address already in use, 12345 B at 2026-11-23T21:05:51.123 in /v1/tokens"
    assert redact(plain) == plain
    assert redact("+12025550100 12025550100 123456 eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl") == (
        "[number] [number] [code] [token]"
    )


async def test_metrics(make_server, http, connect):
    limits = Limits(sms=replace(SmsLimits(), number_local=Rate(1, 1e6)))
    server = make_server(limits, metrics_port=0)
    await server.start()
    url = server.server.metrics_url
    assert url.startswith("http://127.0.0.1:") and url.rpartition(":")[2] != server.url.rpartition(":")[2]

    async def read():
        async with http.get(url) as answer:
            assert answer.status == 200 and answer.content_type == "text/plain"
            lines = [line for line in (await answer.text()).splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    before = await read()
    assert before["ringline_registrations_total"] == 0 == before["ringline_connections"]
    for _ in range(2):
        async with http.post(f"{server.url}/v1/registrations", json={"number": ALICE}) as answer:
            await answer.read()
    async with http.ws_connect(f"{server.url}/xmpp", protocols=("xmpp",)):
        after = await read()
    assert after["ringline_connections"] == 1
    assert after['ringline_sms_codes_total{result="sent"}'] == 1
    assert after['ringline_sms_refused_total{limit="number_local"}'] == 1
    assert after['ringline_http_requests_total{status="429"}'] == 1
    assert after["process_resident_memory_bytes"] > 1e6
    # Not where the world can see it.
    async with http.get(f"{server.url}/metrics") as answer:
        assert answer.status == 404
    await server.stop()


async def test_an_undeclared_proxy_makes_nobody_local(server, http):
    """All of the world comes from loopback then; it must not have a local caller's freedom."""
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        statuses = []
        for _ in range(8):
            async with http.post(
                f"{server.url}/v1/registrations", json={"number": "x"}, headers={header: "x"}
            ) as answer:
                statuses.append(answer.status)
        assert statuses == [400] * 6 + [429] * 2
        server.advance(1000)
    async with http.post(f"{server.url}/v1/registrations", json={"number": "x"}) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    ("options", "number", "code"),
    [
        ({}, "+442079460000", "country_not_served"),
        ({"countries": frozenset({"DE", "GB"})}, ALICE, "country_not_served"),
        ({"countries": frozenset({"ALL"})}, "+442079460000", "not_mobile"),
        ({"region": "GB"}, ALICE, "country_not_served"),
        ({"countries": frozenset({"ALL"})}, "+18005550199", "not_mobile"),
    ],
)
async def test_which_numbers_are_served(make_server, http, options, number, code):
    server = make_server(**options)
    await server.start()
    async with http.post(f"{server.url}/v1/registrations", json={"number": number}) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (403, code)
    assert server.messages() == []
    await server.stop()


@pytest.mark.long
async def test_many_registrations_and_a_hundred_calls_of_this_host_meet_no_limit(
    server, http, register, connect
):
    """A demonstration, or a load test, on one machine."""
    phones = [await register(f"+1202555{n:04d}") for n in range(100, 130)]
    wires = await asyncio.gather(*(connect(phone) for phone in phones[:2]))
    await wires[1].show(wires[0])
    for n in range(100):
        await wires[0].send(st.message(wires[1].bare, id=f"m{n}"))
        assert (await wires[1].receive()).get("id") == f"m{n}"


async def test_who_asks_all_the_time_waits_alone(make_server):
    """A connection that asks too fast is answered later; no other one is, of the same address neither."""
    server = make_server(Limits(requests=Rate(5, 1000)))
    await server.start()
    port = int(server.url.rpartition(":")[2])
    # As through a proxy that nobody told us of: who asks from this very host has no such limit.
    request = b"GET /v1/server HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"

    async def ask(connection):
        reader, writer = connection
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        await reader.readexactly(length)
        return head.split()[1]

    hasty = await asyncio.open_connection("127.0.0.1", port)
    assert [await ask(hasty) for _ in range(5)] == [b"200"] * 5
    waits = asyncio.create_task(ask(hasty))
    for _ in range(3):
        neighbour = await asyncio.open_connection("127.0.0.1", port)
        assert await ask(neighbour) == b"200"
        neighbour[1].close()
    assert not waits.done()
    waits.cancel()
    hasty[1].close()
    await server.stop()


async def test_reading_numbers_is_limited_known_or_not(server, http, register):
    phone = await register(ALICE)
    book = [f"+1202{n:07d}" for n in range(2000000, 2001000)]
    headers = await phone.bearer()
    statuses = []
    for _ in range(11):
        async with http.post(
            f"{server.url}/v1/contacts/lookup", json={"numbers": book}, headers=headers
        ) as answer:
            statuses.append(answer.status)
    assert statuses == [200] * 10 + [429]


async def test_a_database_that_is_away_is_503_and_told_and_keeps_nobody_from_ending(server, http, caplog):
    pytest.importorskip("asyncpg")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    store = server.server._context.store
    local, store.database = store.database, Database(f"postgresql+asyncpg://u@127.0.0.1:{port}/x")
    body = {"device_token": "x", "assertion": "x"}
    before = server.server._context.counters.of("store_failures").get("", 0)
    for ask in (http.get(f"{server.url}/readyz"), http.post(f"{server.url}/v1/tokens", json=body)):
        async with ask as answer:
            assert (answer.status, json.loads(await answer.text())["code"]) == (503, "unavailable")
    async with http.get(f"{server.url}/healthz") as answer:
        assert answer.status == 200  # the process is well
    assert server.server._context.counters.of("store_failures")[""] == before + 2
    assert "the store failed" in caplog.text and "Traceback" not in caplog.text
    async with asyncio.timeout(5):
        await server.stop()
    await local.close()
