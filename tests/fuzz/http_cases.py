"""HTTP: requests of the whole API with changed bodies, broken ones, slow ones, many at once, and half ones."""

import asyncio
import gzip
import json
import random
import zlib
from typing import Any

from mutate import json_value, mutate_bytes, mutate_json
from wire import Failure, Record, Response, Wire, now
from world import World

ANSWER_LIMIT = 10.0  # seconds for a complete request to be answered
B64 = "A" * 43
DEVICE = {"device_key": B64, "device_name": "fuzz", "proof": "A" * 86}
# The codes of section 1's errors, but for those that are the server's own fault.
PROBLEMS = frozenset(
    (
        *(
            "bad_json",
            "bad_request",
            "invalid_number",
            "bad_key",
            "bad_proof",
            "bad_list",
            "bad_token",
            "proof_needed",
        ),
        *("device_revoked", "clock_skew", "wrong_code", "country_not_served", "not_mobile", "pin_needed"),
        *("not_found", "bad_method", "too_large", "not_json", "registration_over", "link_over", "too_many"),
    )
)
# Every call of docs/protocol.md section 1; what stands in braces is replaced.
API: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/v1/server", None),
    ("POST", "/v1/registrations", {"number": "{fresh}", "region": "US"}),
    ("POST", "/v1/registrations/{registration}/resend", {}),
    ("POST", "/v1/registrations/{registration}/verify", {"code": "123456", "pin": "654321"} | DEVICE),
    ("POST", "/v1/tokens", {"device_token": "{device_token}", "assertion": "{assertion}"}),
    (
        "POST",
        "/v1/contacts/lookup",
        {"numbers": ["{number}", "+1 202-555-0100"], "region": "US", "book": True, "removed": ["{number}"]},
    ),
    ("GET", "/v1/account", None),
    ("PATCH", "/v1/account", {"findable": "mutual"}),
    ("PATCH", "/v1/account", {"findable": "everybody", "pin": None}),
    ("DELETE", "/v1/devices/d0123456789abcdef", None),
    ("PUT", "/v1/devices", {"list": "{assertion}"}),
    ("POST", "/v1/links", DEVICE),
    ("GET", "/v1/links/{link}", None),
    ("POST", "/v1/links/{link}/approve", {"list": "{assertion}"}),
    ("GET", "/v1/keys.json", None),
    ("GET", "/healthz", None),
    ("GET", "/v1/readyz", None),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "",
    "multipart/form-data",
    "a/b;c=\x80",
)
BROKEN = (
    b"GET\r\n\r\n",
    b"GET /healthz\r\n\r\n",
    b"GET  /healthz  HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/9.9\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%ff%00%ed%a0%80/../v1/links/%2e%2e HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/links/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT :99999999 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 64,
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n: a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nX: \0\r\n\r\n",
    b"GET /healthz HTTP/1.1\nHost: a\n\n",
    b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"z" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 1e3\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n{",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;"
    + b"x" * 20_000
    + b"\r\n{}\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nT: "
    + b"t" * 50_000,
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 200-ok\r\n\r\n",
    b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
    b"GET /v1/account HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET /v1/server HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \x80, ::1%eth0, 300.1.1.1\r\n\r\n",
)


def _request(world: World, rng: random.Random) -> tuple[str, bytes]:
    """A complete request, in correct framing, and its method."""
    method, path, body = rng.choice(API)
    text = json.dumps(body)
    for name in ("fresh", "registration", "link", "number", "device_token", "assertion"):
        if f"{{{name}}}" in path + text:
            value = world.value(rng, name)
            path = path.replace(f"{{{name}}}", value)
            text = text.replace(f"{{{name}}}", value)
    if rng.random() < 0.1:
        method = rng.choice(METHODS)
    if rng.random() < 0.1:
        path += rng.choice(("/", "?a=" + "b" * 1000, "/%00", "%2f..", "#x", ";", "?" + "&" * 500))
    data = (
        b"" if body is None and rng.random() < 0.9 else mutate_json(rng, json.loads(text) or json_value(rng))
    )
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{world.target.port}"]
    if rng.random() < 0.8:
        lines.append(f"Authorization: {world.authorization(rng)}")
    kind = "application/json" if rng.random() < 0.9 else rng.choice(TYPES)
    lines.append(f"Content-Type: {kind}")
    coding = rng.random()
    if data and coding < 0.05:
        data = gzip.compress(data) if coding < 0.02 else zlib.compress(data)
        lines.append(f"Content-Encoding: {'gzip' if coding < 0.02 else 'deflate'}")
    elif coding > 0.985:
        data = gzip.compress(b" " * 5_000_000 + b"{}", 1)  # small on the wire only
        lines.append("Content-Encoding: gzip")
    if rng.random() < 0.05:
        lines.append("Expect: 100-continue")
    if data and rng.random() < 0.2:
        lines.append("Transfer-Encoding: chunked")
        data = _chunked(rng, data)
    elif data or method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {len(data)}")
    return method, "\r\n".join((*lines, "", "")).encode("latin-1", "replace") + data


def _chunked(rng: random.Random, data: bytes) -> bytes:
    parts, at = [], 0
    while at < len(data):
        size = rng.choice((1, 3, 100, 10_000))
        part = data[at : at + size]
        parts.append(b"%x%s\r\n%s\r\n" % (len(part), rng.choice((b"", b";a=b")), part))
        at += size
        if len(parts) > 50:
            parts.append(b"%x\r\n%s\r\n" % (len(data) - at, data[at:]) if at < len(data) else b"")
            break
    return b"".join(parts) + b"0\r\n\r\n"


def check(response: Response, record: Record, took: float | None = None) -> None:
    """No answer may be the server's own fault, and each error says what it is (RFC 9457)."""
    record.answered(f"http {response.status}", took)
    if response.status >= 500:
        raise Failure(f"HTTP {response.status}: {response.body[:200]!r}")
    if response.headers.get("content-type", "").startswith("application/problem+json") and response.body:
        code = json.loads(response.body).get("code")
        if code not in PROBLEMS:
            raise Failure(f"an error without a name of its own: {response.body[:200]!r}")


async def _answer(wire: Wire, method: str) -> Response:
    try:
        async with asyncio.timeout(ANSWER_LIMIT):
            return await wire.response(method == "HEAD")
    except TimeoutError:
        raise Failure(f"a complete {method} was not answered in {ANSWER_LIMIT:.0f} s") from None


async def api(world: World, rng: random.Random, record: Record) -> None:
    """Requests one after the other on one connection; each is answered."""
    async with world.target.connect(rng, record) as wire:
        for _ in range(rng.randint(1, 25)):
            method, data = _request(world, rng)
            began = now()
            await wire.send("http request", data)
            try:
                response = await _answer(wire, method)
            except EOFError:
                raise Failure("closed without an answer to a complete request") from None
            check(response, record, now() - began)
            world.learn(response.body)
            if response.is_last:
                return


async def pipeline(world: World, rng: random.Random, record: Record) -> None:
    """Many requests in one piece: as many answers, in order, unless one says that it is the last."""
    requests = [_request(world, rng) for _ in range(rng.choice((2, 10, 100)))]
    async with world.target.connect(rng, record) as wire:
        pieces = b"".join(data for _, data in requests)
        tasks = [asyncio.create_task(wire.send("http request", pieces, len(requests)))]
        try:
            for method, _ in requests:
                response = await _answer(wire, method)
                check(response, record)
                if response.is_last:
                    return
        except EOFError:
            raise Failure("closed in the middle of complete requests") from None
        finally:
            tasks[0].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def broken(world: World, rng: random.Random, record: Record) -> None:
    """Not quite HTTP: answered, or closed once the client has nothing more to say."""
    if rng.random() < 0.5:
        data = rng.choice(BROKEN)
    else:
        _, data = _request(world, rng)
        if rng.random() < 0.2:
            data = world.target.upgrade(rng)
        data = mutate_bytes(rng, data, 6)
    async with world.target.connect(rng, record) as wire:
        await wire.send("http broken", data)
        if rng.random() < 0.3:
            await asyncio.sleep(rng.uniform(0, 0.2))
            await wire.send("http broken", mutate_bytes(rng, data))
        if rng.random() < 0.1:
            return wire.abort()
        wire.half_close()
        answer = await wire.until_closed()
    if not answer:
        return record.answered("closed")
    if not answer.startswith(b"HTTP/") or not answer[9:12].isdigit():
        raise Failure(f"not an answer of HTTP: {answer[:200]!r}")
    record.answered(f"http {answer[9:12].decode()}")
    # An Expect that is not ASCII is answered by aiohttp with 500.
    if answer[9:10] == b"5" and answer[9:12] != b"505" and b"Expect" not in data:
        raise Failure(f"an error of the server: {answer[:400]!r}")


async def slow(world: World, rng: random.Random, record: Record) -> None:
    """A request that comes in drops: answered when it is complete, and nobody else waits."""
    method, data = _request(world, rng)
    cuts = sorted(rng.randrange(len(data)) for _ in range(rng.randint(3, 20)))
    async with world.target.connect(rng, record) as wire:
        record.sent("http slow", data)
        for begin, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
            await wire.push(data[begin:end])
            await asyncio.sleep(rng.uniform(0, 0.4))
        if rng.random() < 0.5:
            try:
                check(await _answer(wire, method), record)
            except EOFError:
                raise Failure("closed without an answer to a complete request") from None
        else:
            wire.abort()


async def huge(world: World, rng: random.Random, record: Record) -> None:
    """A body that is far too large: refused, without being kept."""
    size, chunk = rng.choice((70_000, 1_000_000, 20_000_000)), b" " * 65_536
    auth = world.authorization(rng)
    head = (
        f"POST {rng.choice(('/v1/tokens', '/v1/contacts/lookup', '/v1/links', '/none'))} HTTP/1.1\r\nHost: a\r\n"
        f"Authorization: {auth}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )
    async with world.target.connect(rng, record) as wire:
        await wire.send("http huge", head.encode("latin-1", "replace"))

        async def upload() -> None:
            for at in range(0, size, len(chunk)):
                await wire.push(chunk[: size - at])

        sending = asyncio.create_task(upload())
        try:
            check(await _answer(wire, "POST"), record)
        except EOFError:
            record.answered("closed")
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def deaf(world: World, rng: random.Random, record: Record) -> None:
    """Many requests from somebody who reads no answer, until he goes."""
    requests = [_request(world, rng)[1] for _ in range(20)] * rng.choice((1, 10, 50))
    async with world.target.connect(rng, record) as wire:
        wire.writer.transport.pause_reading()
        for data in requests:
            if not await wire.send("http request", data, patience=1.0):
                break
        await asyncio.sleep(rng.uniform(0, 3))
        wire.abort()


async def never_ends(world: World, rng: random.Random, record: Record) -> None:
    """A head or a body that goes on and on: the server loses its patience."""
    whole = world.target.upgrade(rng) if rng.random() < 0.3 else _request(world, rng)[1]
    head = whole[: rng.randrange(1, max(2, whole.find(b"\r\n\r\n")))]
    if rng.random() < 0.5:
        head = b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"
    drop = b" " if head.endswith(b"{") else b"x"
    async with world.target.connect(rng, record) as wire:
        await wire.send("http endless", head)
        ended = asyncio.create_task(wire.until_closed(world.patience))
        while not ended.done():
            await wire.push(drop)
            await asyncio.wait((ended,), timeout=2)
        answer = await ended
        record.answered(f"http {answer[9:12].decode()}" if answer else "closed")


CASES = {api: 30, pipeline: 6, broken: 30, slow: 4, huge: 2, deaf: 1, never_ends: 1}
