"""The composition root: one aiohttp process that registers, looks up and routes."""

import asyncio
import fcntl
import logging
import os
import random
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from sqlalchemy.exc import SQLAlchemyError

from signaling.contact_budget import ContactBudget
from signaling.errors import ServerStartError
from signaling.network_address import address_key
from signaling.problem import Problem
from signaling.rate_limit import KeyedBuckets
from signaling.routing import Sessions
from signaling.server.contacts import ContactService
from signaling.server.context import Context
from signaling.server.keys import load_keys
from signaling.server.problem import Handler, problem_middleware
from signaling.server.registration import RegistrationService
from signaling.server.router import StoringRouter
from signaling.server.sms import SmsGateway, open_gateway
from signaling.server.store import Store
from signaling.server.tokens import TokenService
from signaling.server.websocket import Connection
from signaling.server_config import ServerConfig
from signaling.server_limits import Limits
from signaling.tokens import ACCESS_TOKEN_LIFE

logger = logging.getLogger(__name__)

SWEEP_INTERVAL = 3600.0
PROTOCOL = 1
HOST_HEADER = re.compile(r"[A-Za-z0-9._\-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")


class Server:
    """A running server. `url` is where it is reached, without `/v1`."""

    def __init__(
        self,
        config: ServerConfig,
        store: Store,
        sms: SmsGateway,
        lock: TextIO,
        limits: Limits,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.config = config
        self.url = ""
        self.sms = sms
        self._lock = lock
        self._draining = False
        self._connections: set[Connection] = set()
        self._login_failures = KeyedBuckets(limits.login_failures)
        self._context = context = Context(
            domain=config.domain,
            region=config.region,
            countries=config.countries,
            store=store,
            sms=sms,
            keys=load_keys(config.data / "keys"),
            sessions=Sessions(),
            budget=ContactBudget(limits.contacts, rng.randbytes(32)),
            limits=limits,
            clock=clock,
            rng=rng,
        )
        self._tokens = TokenService(context)
        self._router = StoringRouter(context)
        registration = RegistrationService(context, self._address_of)
        contacts = ContactService(context, self._tokens)
        app = web.Application(
            middlewares=[problem_middleware(clock), self._drain_middleware], client_max_size=limits.body_bytes
        )
        app.add_routes(registration.routes())
        app.add_routes(self._tokens.routes())
        app.add_routes(contacts.routes())
        app.add_routes([web.get("/v1/server", self._describe), web.get("/xmpp", self._xmpp)])
        for path in ("/healthz", "/readyz", "/v1/healthz", "/v1/readyz"):
            app.router.add_get(path, self._health)
        self._runner = web.AppRunner(
            app, access_log=None, logger=_http_logger(), shutdown_timeout=limits.drain, handle_signals=False
        )
        self._sweeper: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        config: ServerConfig,
        *,
        sms: SmsGateway | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> "Server":
        """Binds and serves. `clock` is Unix seconds; `rng` must be a CSPRNG outside tests. ServerStartError."""
        config.check()
        lock = _lock(config.data)
        store = None
        server = None
        try:
            gateway = sms or open_gateway(config.sms)
            store = await _open_store(config)
            random_source = rng or random.SystemRandom()
            server = cls(config, store, gateway, lock, limits or Limits(), clock, random_source)
            await server._listen()
        except BaseException:
            if server is not None:
                await server.stop()
            else:
                if store is not None:
                    await store.close()
                lock.close()
            raise
        return server

    async def _listen(self) -> None:
        config = self.config
        await self._sweep_once()
        await self._runner.setup()
        site = web.TCPSite(self._runner, config.host, config.port, ssl_context=_tls(config))
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ServerStartError(f"cannot listen on {config.host}:{config.port}: {why}") from None
        port = self._runner.addresses[0][1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        self.url = f"{'https' if config.tls_cert else 'http'}://{host}:{port}"
        self._tokens.issuer = self.url
        self._sweeper = asyncio.create_task(self._sweep())

    async def _sweep_once(self) -> None:
        now = self._context.clock()
        await self._context.store.sweep(now, now - self._context.limits.message_life)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            try:
                await self._sweep_once()
            except SQLAlchemyError as error:
                logger.error("the store failed: %s", type(error).__name__)

    async def stop(self) -> None:
        """Drains and ends: no new requests, every stream is told, nothing is left open. Returns in seconds."""
        self._draining = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for connection in list(self._connections):
            connection.end("system-shutdown", "the server is going down")
        if self._connections:
            done = [asyncio.ensure_future(connection.finished.wait()) for connection in self._connections]
            _, pending = await asyncio.wait(done, timeout=self._context.limits.drain + 2)
            for waiter in pending:
                waiter.cancel()
        await self._runner.cleanup()
        await self.sms.close()
        await self._context.store.close()
        self._lock.close()

    @web.middleware
    async def _drain_middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._draining and not request.path.endswith("/healthz"):
            raise Problem("unavailable", "the server is going down")
        return await handler(request)

    def _address_of(self, request: web.Request) -> str | None:
        if self.config.behind_proxy:
            # The last entry is the one that our own proxy wrote.
            forwarded = request.headers.getall("X-Forwarded-For", [""])[-1]
            return forwarded.rpartition(",")[2].strip() or request.remote
        return request.remote

    async def _describe(self, request: web.Request) -> web.Response:
        host = request.headers.get("Host", "")
        secure = self.config.tls_cert is not None
        if self.config.behind_proxy:
            secure = request.headers.get("X-Forwarded-Proto", "https") == "https"
        if not HOST_HEADER.fullmatch(host):
            host = self.url.partition("://")[2]
        return web.json_response(
            {
                "protocol": PROTOCOL,
                "domain": self.config.domain,
                "websocket": f"{'wss' if secure else 'ws'}://{host}/xmpp",
                "region": self.config.region,
                "token_life_s": ACCESS_TOKEN_LIFE,
            }
        )

    async def _health(self, request: web.Request) -> web.Response:
        if request.path.endswith("readyz"):
            await self._context.store.check()
        return web.json_response({"status": "ok"})

    async def _xmpp(self, request: web.Request) -> web.StreamResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if "xmpp" not in (name.strip() for name in offered):
            raise Problem("bad_request", "this is a WebSocket of sub-protocol xmpp (RFC 7395)")
        address = address_key(self._address_of(request))
        wait = self._login_failures.wait(address, self._context.clock())
        if wait:
            raise Problem("too_many", "too many failed logins from this address", wait)
        if len(self._connections) >= self._context.limits.connections:
            raise Problem("unavailable", "too many connections", retry_after_s=10)
        socket = web.WebSocketResponse(
            protocols=("xmpp",),
            compress=False,
            max_msg_size=self._context.limits.websocket_message_bytes,
            timeout=self._context.limits.times.close,
        )
        await socket.prepare(request)
        connection = Connection(socket, request.transport, self._context, self._tokens, self._router)
        connection.on_login_failure = lambda: self._login_failures.take(address, self._context.clock())
        self._connections.add(connection)
        try:
            await connection.run()
        except Exception:
            logger.exception("a connection failed")
        finally:
            self._connections.discard(connection)
        return socket


def _http_logger() -> logging.Logger:
    """aiohttp logs what is not HTTP with a traceback; a remote's nonsense is worth one line, at debug level."""

    def quieten(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)

    http = logging.getLogger(f"{__name__}.http")
    http.filters = [quieten]
    return http


def _lock(data: Path) -> TextIO:
    """Locks the data folder for this process, or raises ServerStartError. Closing the file unlocks."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (data / "lock").open("a")
    except OSError as error:
        raise ServerStartError(f"cannot use the data folder {data}: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ServerStartError(f"another server uses the data folder {data}") from None
    return file


async def _open_store(config: ServerConfig) -> Store:
    url = config.database
    if not url:
        path = config.data / "ringline.db"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        url = f"sqlite+aiosqlite:///{path}"
    try:
        return await Store.open(url)
    except (SQLAlchemyError, OSError, ImportError) as error:
        # The URL may hold a password, and so may the message.
        raise ServerStartError(f"cannot open the database ({type(error).__name__})") from None


def _tls(config: ServerConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ServerStartError(f"cannot read the TLS certificate or key: {error.strerror}") from None
    return context
