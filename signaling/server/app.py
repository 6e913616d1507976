"""The composition root: one aiohttp process that registers, looks up and routes."""

import asyncio
import logging
import random
import ssl
import sys
import time
from collections.abc import Callable
from typing import TextIO

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from sqlalchemy.exc import SQLAlchemyError

from signaling.admin.metrics import metrics_app
from signaling.contact_budget import ContactBudget
from signaling.counters import Counters
from signaling.errors import ServerStartError
from signaling.external_services import ExternalServices
from signaling.gateways.sms import SmsGateway, check_gateway, open_gateway
from signaling.http_edge import client_address, cors_headers, is_foreign_page, is_local_caller, websocket_url
from signaling.logs import event
from signaling.network_address import address_key, address_path
from signaling.phone_number import region_of
from signaling.policy.sms import Caller, SmsPolicy
from signaling.problem import Problem
from signaling.routing import Sessions
from signaling.server.admission import Admission
from signaling.server.blocks import BlockService
from signaling.server.contacts import ContactService
from signaling.server.context import Context
from signaling.server.devices import DeviceService
from signaling.server.listener import Listener
from signaling.server.peer import peer_of
from signaling.server.problem import Handler, problem_middleware, read_whole
from signaling.server.reach import Reach
from signaling.server.registration import RegistrationService
from signaling.server.router import StoringRouter
from signaling.server.tokens import TokenService
from signaling.server.websocket import Connection
from signaling.server_config import ServerConfig
from signaling.server_limits import Limits
from signaling.storage.accounts import AccountStore
from signaling.storage.clock import load_clock, save_clock
from signaling.storage.codes import CodeLog
from signaling.storage.data_folder import load_limits, lock_data, open_store
from signaling.storage.keys import load_keys
from signaling.storage.store import Store
from signaling.store_clock import StoreClock
from signaling.tokens import ACCESS_TOKEN_LIFE
from signaling.xml_parser import ForgettingParser

logger = logging.getLogger(__name__)

SWEEP_INTERVAL = 3600.0
# As long as the slowest limit on codes remembers (policy/sms.py).
CODES_KEPT = 86400.0
PROTOCOL = 1


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
        store_clock: StoreClock,
        rng: random.Random,
    ) -> None:
        self.config = config
        self.url = ""
        self.sms = sms
        self._lock = lock
        self._draining = False
        self._connections: set[Connection] = set()
        self._admission = Admission(limits)
        keys = load_keys(config.data / "keys")
        self._context = context = Context(
            domain=config.domain,
            region=config.region,
            countries=config.served_countries,
            store=store,
            sms=sms,
            keys=keys,
            sessions=Sessions(),
            budget=ContactBudget(limits.contacts, rng.randbytes(32)),
            services=ExternalServices(config.turn, config.turn_secret.encode()),
            sms_policy=SmsPolicy(limits.sms, keys.pepper, region_of),
            counters=Counters(),
            limits=limits,
            clock=clock,
            store_clock=store_clock,
            rng=rng,
            caller_of=self._caller_of,
            parser=ForgettingParser(),
        )
        self._tls: ssl.SSLContext | None = None
        self._accounts = accounts = AccountStore(store, context.keys.pepper, store_clock.to_wall)
        self._tokens = TokenService(context, accounts)
        reach = Reach(context)
        self._router = StoringRouter(context, reach)
        registration = RegistrationService(context, accounts, reach.changed)
        contacts = ContactService(context, self._tokens, accounts, reach)
        app = web.Application(
            middlewares=[self._one_by_one, problem_middleware(clock, context.counters), self._gate],
            client_max_size=limits.body_bytes,
        )
        devices = DeviceService(context, self._tokens, accounts)
        for service in (registration, self._tokens, contacts, devices, BlockService(self._tokens, reach)):
            app.add_routes(service.routes())
        app.add_routes([web.get("/v1/server", self._describe), web.get("/xmpp", self._xmpp)])
        app.on_response_prepare.append(self._prepare)
        for path in ("/healthz", "/readyz", "/v1/healthz", "/v1/readyz"):
            app.router.add_get(path, self._health)
        admission = self._admission
        gauges = {
            "connections": ("WebSockets that are open.", lambda: len(self._connections)),
            "tasks": ("Tasks of the event loop.", lambda: len(asyncio.all_tasks())),
            "python_allocated_blocks": (
                "Blocks of memory in use by Python's allocator.",
                sys.getallocatedblocks,
            ),
            "strangers": ("Connections of any kind that are not logged in.", lambda: admission.strangers),
            "strangers_dropped": (
                "Connections that gave way to others before their login, since the start.",
                lambda: admission.dropped,
            ),
        }
        self._runner = self._make_runner(app)
        self._metrics_runner = self._make_runner(metrics_app(context.counters, gauges))
        self.metrics_url = ""
        self._sweeper: asyncio.Task[None] | None = None
        self._listeners: list[Listener] = []

    def _make_runner(self, app: web.Application) -> web.AppRunner:
        limits = self._context.limits
        return web.AppRunner(
            app,
            access_log=None,
            logger=_http_logger(),
            handle_signals=False,
            shutdown_timeout=limits.drain,
            keepalive_timeout=limits.keep_alive,
            auto_decompress=False,  # no client of ours compresses, and a small body could be a large one
        )

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
        limits = limits or load_limits(config.limits)
        if config.tls_cert is not None:
            _load_tls(config)  # what is wrong with it is told before anything is made
        check_gateway(config.sms)
        lock = lock_data(config.data)
        store = None
        server = None
        try:
            gateway = sms or open_gateway(config.sms)
            store = await open_store(config)
            store_clock, source = await load_clock(store, clock, time.monotonic), rng or random.SystemRandom()
            server = cls(config, store, gateway, lock, limits, clock, store_clock, source)
            await server._listen()
        except BaseException:
            if server is not None:
                await server.stop()
            elif store is not None:
                await store.close()
            lock.close()
            raise
        return server

    async def _listen(self) -> None:
        config = self.config
        await self._sweep_once()
        self._context.sms_policy.replay(await CodeLog(self._context.store).all())
        if config.tls_cert is not None:
            self._tls = _load_tls(config)
        self.url = await self._listen_on(self._runner, config.host, config.port, self._tls)
        self._tokens.issuer = self.url
        if config.metrics_port is not None:
            metrics = await self._listen_on(self._metrics_runner, "127.0.0.1", config.metrics_port, None)
            self.metrics_url = f"{metrics}/metrics"
        event(logger, logging.INFO, "serving", url=self.url, domain=config.domain, metrics=self.metrics_url)
        self._sweeper = asyncio.create_task(self._sweep())

    async def _listen_on(
        self, runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None
    ) -> str:
        """The URL. Raises ServerStartError."""
        await runner.setup()
        assert runner.server is not None
        has_proxy = self.config.behind_proxy and runner is self._runner
        listener = Listener(runner.server, self._admission, self._context.limits, has_proxy)
        self._listeners.append(listener)
        return await listener.listen(host, port, tls)

    def reload_tls(self) -> None:
        """Reads certificate and key again; if that fails, what was read before stands."""
        if self._tls is not None:
            try:
                _load_tls(self.config)  # into nothing: half a certificate must not get into what is in use
                _load_tls(self.config, self._tls)
                event(logger, logging.INFO, "certificate read again")
            except ServerStartError as error:
                logger.error("%s; the one of before stays in use", error)

    async def _sweep_once(self) -> None:
        store, clock = self._context.store, self._context.store_clock
        await save_clock(store, clock)
        # Deleted is only what is over beyond doubt: a clock that is wrong for a while takes nothing away.
        past = clock.confirmed()
        await store.sweep(past, past - self._context.limits.message_life)
        await CodeLog(store).forget(past - CODES_KEPT)
        await self._accounts.note_used(self._context.sessions.devices(), clock.now())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            try:
                await self._sweep_once()
            except SQLAlchemyError as error:
                self._context.counters.store_failed(error)

    async def stop(self) -> None:
        """Drains and ends: no new requests, every stream is told, nothing is left open. Returns in seconds."""
        self._draining = True
        for listener in self._listeners:
            listener.close()
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
        await self._metrics_runner.cleanup()
        for listener in self._listeners:
            listener.abort()
        await self._router.close()
        await self.sms.close()
        try:
            await save_clock(self._context.store, self._context.store_clock)
        except SQLAlchemyError as error:
            self._context.counters.store_failed(error)
        await self._context.store.close()
        self._lock.close()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._draining and not request.path.endswith("/healthz"):
            raise Problem("unavailable", "the server is going down")
        if is_foreign_page(request.headers, self.config.origins):
            raise Problem("foreign_origin")
        if request.method == "OPTIONS" and cors_headers(request.headers, self.config.origins):
            return web.Response(status=204)
        if (peer := peer_of(request)) is None:
            raise ConnectionResetError
        if self.config.behind_proxy:
            peer.identify(address_path(self._address_of(request)))
        elif not is_local_caller(request.remote, request.headers, False) and (
            wait := peer.requests.spend(asyncio.get_running_loop().time())
        ):
            await asyncio.sleep(wait)
        if request.match_info.http_exception is None and request.body_exists:
            await read_whole(request)  # before its turn: that is not to be waited for by others
        async with self._admission.turns.request(peer.path):
            if request.path != "/xmpp":
                return await handler(request)
        return await handler(request)  # which lasts as long as the WebSocket, and waits for turns of its own

    @web.middleware
    async def _one_by_one(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A connection's requests, for those who count them."""
        if (peer := peer_of(request)) is None:
            return await handler(request)
        peer.begin_request()
        try:
            return await handler(request)
        finally:
            peer.end_request()

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(cors_headers(request.headers, self.config.origins))
        peer = peer_of(request)
        if (peer is not None and peer.is_pipelining) or not request.content.is_eof():
            # It sent this request before the answer to the last one, or the rest of a body that nobody reads is still
            # to come: what would have to be taken in has no bound.
            response.headers["Connection"] = "close"
            response.force_close()

    def _address_of(self, request: web.Request) -> str | None:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        return client_address(request.remote, forwarded, self.config.behind_proxy)

    def _caller_of(self, request: web.Request) -> Caller:
        # A program of this host could as well read the codes where they are written.
        local = is_local_caller(request.remote, request.headers, self.config.behind_proxy)
        return Caller(self._address_of(request), local and not self.sms.leaves_host)

    async def _describe(self, request: web.Request) -> web.Response:
        url = websocket_url(self.url, request.headers, self.config.behind_proxy)
        about = {"domain": self.config.domain, "websocket": url, "region": self.config.region}
        return web.json_response({"protocol": PROTOCOL, **about, "token_life_s": ACCESS_TOKEN_LIFE})

    async def _health(self, request: web.Request) -> web.Response:
        if request.path.endswith("readyz"):
            await self._context.store.check()
        return web.json_response({"status": "ok"})

    def _login_failed(self, address: str) -> None:
        # It costs nobody else of this address anything: a signed token cannot be guessed, so nobody has to wait for it.
        self._context.counters.count("logins_refused")
        event(logger, logging.INFO, "login refused", address=address)

    async def _xmpp(self, request: web.Request) -> web.StreamResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if "xmpp" not in (name.strip() for name in offered):
            raise Problem("bad_request", "this is a WebSocket of sub-protocol xmpp (RFC 7395)")
        address = address_key(self._address_of(request))
        if self._admission.is_full:
            raise Problem("unavailable", "too many connections", retry_after_s=10)
        socket = web.WebSocketResponse(
            protocols=("xmpp",),
            compress=False,
            max_msg_size=self._context.limits.websocket_message_bytes,
            timeout=self._context.limits.times.close,
            autoping=False,  # aiohttp would answer any number of them, without a turn for anybody else
        )
        try:
            await socket.prepare(request)
        except ValueError:  # aiohttp takes it for granted that the headers of the upgrade are ASCII
            raise Problem("bad_request", "this upgrade is not understood") from None
        if (peer := peer_of(request)) is None:
            return socket  # it is gone already
        connection = Connection(socket, peer.transport, self._context, self._tokens, self._router)
        connection.on_login_failure = lambda: self._login_failed(address)
        connection.on_bound = peer.promote
        connection.turn = lambda: self._admission.turns.request(peer.path)
        peer.upgrade(connection.too_much)
        self._context.counters.count("streams")
        self._connections.add(connection)
        try:
            await connection.run()
        except Exception:
            logger.exception("a connection failed")
        finally:
            self._connections.discard(connection)
            await self._tokens.note_used(connection.device)
        return socket


def _load_tls(config: ServerConfig, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """Reads certificate and key; who is connected keeps what he has. Raises ServerStartError."""
    assert config.tls_cert is not None
    context = context or ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password OpenSSL would ask the terminal for it, and everybody would wait for the answer.
        context.load_cert_chain(config.tls_cert, config.tls_key, password="")
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or getattr(error, "reason", None) or type(error).__name__
        files = f"{config.tls_cert} and {config.tls_key}"
        raise ServerStartError(f"cannot read TLS certificate and key ({files}): {why}") from None
    return context


# UnicodeError: an Expect header that is not ASCII. aiohttp answers it, with 500, before anybody here is asked.
_NOT_HTTP = (HttpProcessingError, web.RequestPayloadError, ConnectionError, UnicodeError)


def _http_logger() -> logging.Logger:
    """aiohttp logs what is not HTTP with a traceback; a remote's nonsense is not worth that."""
    http = logging.getLogger(f"{__name__}.http")
    http.filters = [lambda record: not isinstance(record.exc_info and record.exc_info[1], _NOT_HTTP)]
    return http
