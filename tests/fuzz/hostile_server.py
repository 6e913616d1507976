"""Two clients at a server that lies: what it answers and sends is changed, more and more, and then no more.

    .venv/bin/python tests/fuzz/hostile_server.py --seconds 60 --seed 1

A proxy between clients and server changes answers (HTTP, JSON) and frames (XML) on their way to the clients, kept messages
among them. Whatever comes: a client raises nothing but its documented errors, logs no traceback, does not sign in in a loop,
comes to an end, and, once the lies stop, signs in and calls again. The exit code is 1 if one of these is not so.
"""

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web
from counted import KINDS, PAYLOADS
from healthy import Pair, make_profile
from mutate import mutate_json, mutate_xml
from victim import Victim

NUMBERS = ("+12025550110", "+12025550111")
RATES = (0.03, 0.1, 0.3, 1.0)  # of what is changed
ROUND = 12.0  # seconds for a round among lies: what waits longer waits for what was lost
RECOVERY = 60.0  # seconds until all is well again; a client comes back after 30 s at most
# A client comes back after 1, 2, 4 ... s: not more often than this in a round of lies.
MOST_LOGINS = 12


class Proxy:
    """In front of the server; changes a share `rate` of what goes to the clients."""

    def __init__(self, upstream: str, rng: random.Random) -> None:
        self.upstream, self.rng, self.rate = upstream, rng, 0.0
        self.url = ""
        self.streams = self.changed = 0
        self.last: list[str] = []
        app = web.Application(client_max_size=2**21)
        app.router.add_get("/xmpp", self._xmpp)
        app.router.add_route("*", "/{path:.*}", self._http)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        self._session: aiohttp.ClientSession

    async def start(self) -> None:
        self._session = aiohttp.ClientSession()
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    def _lies(self) -> bool:
        return self.rng.random() < self.rate

    def _note(self, what: str) -> None:
        self.changed += 1
        self.last = [*self.last[-19:], what[:2000]]

    async def _http(self, request: web.Request) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        body = await request.read()
        url = self.upstream + request.path_qs
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            data, status = await answer.read(), answer.status
        if request.path.endswith("/server"):
            about = json.loads(data) | {"websocket": self.url.replace("http", "ws", 1) + "/xmpp"}
            data = json.dumps(about).encode()
        if self._lies():
            with suppress(ValueError):
                data = mutate_json(self.rng, json.loads(data or b"{}"))
            # 401 with device_revoked ends a client for good, as it must: that the server may say.
            status = self.rng.choice((status, status, 200, 204, 404, 429, 500, 503))
            self._note(f"HTTP {request.path} {status} {data!r}")
        kind = {"Content-Type": "application/json" if status < 400 else "application/problem+json"}
        return web.Response(body=b"" if status == 204 else data, status=status, headers=kind)

    async def _xmpp(self, request: web.Request) -> web.WebSocketResponse:
        self.streams += 1
        here = web.WebSocketResponse(protocols=("xmpp",), max_msg_size=2**21)
        await here.prepare(request)
        async with self._session.ws_connect(
            self.upstream + "/xmpp", protocols=("xmpp",), max_msg_size=0
        ) as there:

            async def up() -> None:
                async for message in here:
                    if message.type is WSMsgType.TEXT:
                        await there.send_str(message.data)
                await there.close()

            sending = asyncio.create_task(up())
            try:
                async for message in there:
                    if message.type is not WSMsgType.TEXT or here.closed:
                        break
                    for text in self._frames(message.data):
                        await here.send_bytes(text) if isinstance(text, bytes) else await here.send_str(text)
            except ConnectionError:
                pass
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                await here.close()
        return here

    def _frames(self, frame: str) -> list[str | bytes]:
        if not self._lies():
            return [frame]
        match self.rng.randrange(8):
            case 0:
                frames: list[str | bytes] = []
            case 1:
                frames = [frame, frame]
            case 2:
                frames = [frame.encode()]
            case 3:
                frames = [frame, *(self._invented() for _ in range(self.rng.choice((1, 20))))]
            case _:
                text = mutate_xml(self.rng, frame).encode("utf-8", "replace").decode()
                frames = [text]
        self._note(f"XML {frames!r}")
        return frames

    def _invented(self) -> str:
        """A stanza that nobody sent."""
        rng, domain = self.rng, "calls.localhost"
        kind = rng.choice(tuple(KINDS))
        accounts = [f"{number}@{domain}" for number in NUMBERS]
        given = {
            "type": rng.choice(KINDS[kind]),
            "id": rng.choice((f"{rng.getrandbits(64):016x}", None)),
            "from": rng.choice((domain, None, *accounts, *(f"{account}/d{rng.getrandbits(64):016x}" for account in accounts))),
        }  # fmt: skip
        attributes = "".join(f" {name}='{value}'" for name, value in given.items() if value is not None)
        inner = "".join(rng.choice(PAYLOADS) for _ in range(rng.choice((0, 1, 1, 3))))
        return f"<{kind} xmlns='jabber:client'{attributes}>{inner}</{kind}>"


class _Log(logging.Handler):
    """What a client must not log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is not None or record.levelno >= logging.ERROR:
            self.found.append(logging.Formatter().format(record)[-1500:])


async def attack(seconds: float, seed: int, folder: Path, out: Path) -> tuple[dict[str, Any], list[str]]:
    """What was done, and what was not as it should be."""
    victim, rng, log = Victim(folder), random.Random(seed), _Log()
    problems: list[str] = []
    await victim.start()
    proxy = Proxy(victim.url, rng)
    await proxy.start()
    for name in ("signaling", "asyncio"):
        logging.getLogger(name).addHandler(log)
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: log.found.append(f"{context.get('message')}: {context.get('exception')!r}")
    )
    through = SimpleNamespace(url=proxy.url, code_for=victim.code_for)
    rounds = 0
    try:
        first, second = [await make_profile(through, number, folder) for number in NUMBERS]  # type: ignore[arg-type]
        pair = Pair((first, second))
        await pair.round()
        problems += pair.problems
        tasks = len(asyncio.all_tasks())
        end = time.monotonic() + seconds
        while time.monotonic() < end and not problems:
            proxy.rate, before = rng.choice(RATES), proxy.streams
            lied = Pair((first, second))
            try:
                async with asyncio.timeout(ROUND):
                    await lied.round()
            except TimeoutError:
                pass  # what was lost is waited for
            except Exception as error:
                problems.append(f"not a documented error: {error!r}")
            if proxy.streams - before > MOST_LOGINS:
                problems.append(f"{proxy.streams - before} sign-ins in a round of lies")
            proxy.rate = 0.0
            began = time.monotonic()
            well = Pair((first, second))
            well.rounds = 1
            while not well.rounds > 1 and time.monotonic() < began + RECOVERY:
                await well.round()
            if well.rounds < 2:
                problems.append(f"not well again {RECOVERY:.0f} s after the lies: {well.problems[-1:]}")
            problems += log.found
            rounds += 1
            if len(asyncio.all_tasks()) > tasks + 4:  # the proxy's own connections come and go
                await asyncio.sleep(2)
                if (left := len(asyncio.all_tasks()) - tasks) > 4:
                    problems.append(f"{left} tasks are left behind")
    finally:
        await proxy.close()
        for name in ("signaling", "asyncio"):
            logging.getLogger(name).removeHandler(log)
        if await victim.stop():
            problems.append("the server failed")
    if problems:
        out.mkdir(parents=True, exist_ok=True)
        (out / "hostile-server.txt").write_text("\n".join((f"# seed {seed}", *proxy.last)))
    return {"rounds": rounds, "lies": proxy.changed, "streams": proxy.streams}, problems


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        done, problems = asyncio.run(attack(arguments.seconds, arguments.seed, Path(name), arguments.out))
    print(json.dumps({"seed": arguments.seed, **done, "problems": problems}, indent=1))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
