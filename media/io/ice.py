"""ICE (RFC 8445) on aioice: candidates as they are found, connected with the first pair, consent, `disconnected`."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, cast

import aioice.ice
from aioice import stun
from aioice.candidate import Candidate

from media.errors import SdpError
from media.io.ice_connection import MAX_REMOTE_CANDIDATES, IceConnection
from media.io.ice_settings import IceSettings
from media.io.ice_socket import IceSocket
from media.io.ice_syntax import IceServer, parse_candidate, parse_server_url
from media.io.turn import explain

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
CONSENT_EXPIRY = 30.0  # RFC 7675 section 5.1
# A peer that has vanished is noticed within 5 s; between live peers RTCP comes twice a second.
DISCONNECTED_AFTER = 4.5
# Without a pair that works. Servers have given their candidates, or never will, after 10 s; nobody waits for the 39.5 s
# of RFC 8863.
CONNECT_TIMEOUT = 25.0
WATCH_INTERVAL = 0.25
# Servers are asked beside everything else: one that is dead delays nothing. libwebrtc gives up after 9.5 s.
SERVER_TIMEOUT = 10.0
MAX_SERVERS = 8
MAX_ERRORS = 16


class IceTransport:
    """One ICE session.

    `on_datagram` gets what is not STUN, and when it came; `on_taken` follows what came in one turn of the loop.
    `on_state` gets checking, with the first check; connected, with the first pair that works; disconnected; failed.
    `on_error` gets the URL of a server and what is wrong with it.
    """

    def __init__(
        self,
        *,
        controlling: bool,
        on_datagram: Callable[[bytes, float], None],
        on_taken: Callable[[], None] | None = None,
        on_candidate: Callable[[str], None],
        on_state: Callable[[str], None] | None = None,
        on_error: Callable[[str, str], None] | None = None,
        settings: IceSettings,
    ) -> None:
        self.on_datagram = on_datagram
        self.on_taken = on_taken or _nothing
        self.on_state = on_state or _ignore
        self.network = settings.network
        self._on_candidate = on_candidate
        self._on_error = on_error
        self._errors: set[tuple[str, str]] = set()
        self._settings = settings  # servers that are added later are asked at gather()
        self._asked: set[str] = set()
        self._relay_only = settings.relay_only
        self._connection = IceConnection(self, ice_controlling=controlling)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._last_heard = 0.0
        self._last_selected: tuple[str, str, str, str] | None = None
        self._gathering: asyncio.Task[None] | None = None
        self._lines: list[str] = []
        self.described = False
        self._remote_candidates = 0
        self.state = "new"
        self.round_trip_time: float | None = None

    @property
    def local_ufrag(self) -> str:
        return self._connection.local_username

    @property
    def local_pwd(self) -> str:
        return self._connection.local_password

    def set_controlling(self, controlling: bool) -> None:
        """Who nominates; before connect()."""
        self._connection.ice_controlling = controlling

    def prepare(self) -> asyncio.Future[None]:
        """Begin to gather now; what is found waits for gather(). Done when the host candidates are known."""
        if self._gathering is None:
            self._gathering = asyncio.ensure_future(self._gather())
        return self._gathering

    async def gather(self) -> list[str]:
        """Host candidates, and others that are known by now, as lines; later ones go to on_candidate."""
        self.prepare()
        assert self._gathering is not None
        await asyncio.shield(self._gathering)
        self._ask_servers()
        self.described = True
        return list(self._lines)

    async def _gather(self) -> None:
        addresses = () if self._relay_only else self._settings.addresses
        if addresses is None:
            addresses = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True) or [LOOPBACK]
        self._lines += [_line(c) for c in await self._connection.gather_host(addresses)]
        self._ask_servers()

    def _ask_servers(self) -> None:
        for server in self._settings.servers:
            for url in server.urls:
                if url not in self._asked and self.state != "closed" and len(self._asked) < MAX_SERVERS:
                    self._asked.add(url)
                    self._ask_server(server, url)

    def _ask_server(self, server: IceServer, url: str) -> None:
        parsed = parse_server_url(url)
        if parsed is None:
            self._trouble(url, "this URL is not understood")
            return
        scheme, address, transport = parsed
        if scheme == "turn":
            gathering = self._connection.gather_relayed(
                address,
                server,
                transport,
                self._found,
                lambda why: self._trouble(url, why),
                hide_mapped=self._relay_only,
            )
        elif self._relay_only:
            return  # what it would tell is not to be told
        else:
            gathering = self._connection.gather_reflexive(address, self._found)
        self._spawn(self._in_time(url, gathering))

    async def _in_time(self, url: str, gathering: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(SERVER_TIMEOUT):
                await gathering
        except (stun.TransactionError, OSError, ValueError) as error:
            self._trouble(url, explain(error))

    def _trouble(self, url: str, why: str) -> None:
        """A server is of no use, or not of all: each reason once."""
        logger.info("%s: %s", url, why)
        if (url, why) not in self._errors and len(self._errors) < MAX_ERRORS and self.state != "closed":
            self._errors.add((url, why))
            if self._on_error is not None:
                self._on_error(url, why)

    def _found(self, candidate: Candidate) -> None:
        self._lines.append(_line(candidate))
        if self.described:
            self._on_candidate(self._lines[-1])

    def connect(self, ufrag: str, pwd: str, *, lite: bool) -> None:
        """Begin the checks with the peer's credentials; candidates may come before and after."""
        self._connection.remote_username = ufrag
        self._connection.remote_password = pwd
        self._connection.remote_is_lite = lite
        self._deadline = self._loop.call_later(CONNECT_TIMEOUT, self._fail)
        self._spawn(self._connect())

    async def add_candidate(self, line: str) -> None:
        """A candidate of the peer. Raises SdpError for what is none; more than 64 are ignored."""
        candidate = parse_candidate(line)
        if candidate is None or self._remote_candidates >= MAX_REMOTE_CANDIDATES:
            return
        self._remote_candidates += 1
        await self._connection.add_remote_candidate(candidate)
        self._connection.begin_checks()

    async def add_candidates(self, lines: Iterable[str]) -> None:
        """Those of a description; what is none is left out, the others may do."""
        for line in lines:
            try:
                await self.add_candidate(line)
            except SdpError as error:
                logger.info("a candidate of the description is left out: %s", error)

    def send(self, data: bytes) -> bool:
        """Send on the selected pair; False while none works."""
        pair = self._connection.selected_pair()
        if pair is None or pair.protocol.transport.is_closing():
            return False
        pair.protocol.transport.sendto(data, pair.remote_addr)
        return True

    def send_unproven(self, data: bytes) -> bool:
        """As send(); while no pair works, at most three datagrams to each address that the peer named."""
        return self.send(data) or (self.state != "closed" and self._connection.send_unproven(data))

    def selected_pair(self) -> tuple[str, str, str, str] | None:
        """(local type, local address, remote type, remote address) in use, or up to the failure."""
        pair = self._connection.selected_pair()
        if pair is None:
            return self._last_selected
        local, remote = pair.local_candidate, pair.remote_candidate
        return local.type, f"{local.host}:{local.port}", remote.type, f"{remote.host}:{remote.port}"

    @property
    def relay_protocol(self) -> str | None:
        """How our relay is reached, if the selected pair has one: udp, tcp or tls (W3C relayProtocol)."""
        pair = self._connection.selected_pair()
        return None if pair is None else cast(IceSocket, pair.protocol).relay_protocol

    async def close(self) -> None:
        """Always returns; sends nothing."""
        if self.state == "closed":
            return
        self.state = "closed"
        self._stop_timers()
        # aioice ends its own loop when it is closed; cancelling connect() before would lose its tasks.
        await self._connection.close()
        if self._gathering is not None:
            await asyncio.wait([self._gathering])  # sees that it is over after its next socket
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- called by the connection

    def checks_begun(self) -> None:
        # Soon: the checks themselves, which open the way through a NAT, go first.
        self._loop.call_soon(self._set_state, "checking")

    def pair_found(self) -> None:
        if self._watch is not None or self.state in ("failed", "closed"):
            return
        self._stop_timers()
        self._last_heard = self._loop.time()
        self._watch = self._loop.call_later(WATCH_INTERVAL, self._look)
        self._set_state("connected")

    def measured(self, rtt: float) -> None:
        self.round_trip_time = rtt

    def heard(self) -> None:
        self._last_heard = self._loop.time()
        if self.state == "disconnected":
            self._set_state("connected")

    def path_changed(self) -> None:
        logger.info("ICE: %s", self.selected_pair())

    # -- inside

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        try:
            await self._connection.connect()
        except ConnectionError as error:
            if self.state not in ("failed", "closed"):
                logger.info("ICE: %s", error)
                self._fail()

    def _look(self) -> None:
        now = self._loop.time()
        self._connection.watch_paths(now)
        if now - self._connection.last_consent() >= CONSENT_EXPIRY:
            self._fail()
            return
        if self.state == "connected" and now - self._last_heard >= DISCONNECTED_AFTER:
            self._set_state("disconnected")
        self._watch = self._loop.call_later(WATCH_INTERVAL, self._look)

    def _fail(self) -> None:
        """For good: nothing is sent any more (RFC 7675 section 5.1), the sockets go. A restart has new ones."""
        self._last_selected = self.selected_pair()
        self._stop_timers()
        self._spawn(self._connection.close())
        self._set_state("failed")

    def _stop_timers(self) -> None:
        for timer in (self._watch, self._deadline):
            if timer is not None:
                timer.cancel()

    def _set_state(self, state: str) -> None:
        if self.state not in (state, "failed", "closed"):
            self.state = state
            self.on_state(state)


def _ignore(_: str) -> None:
    pass


def _nothing() -> None:
    pass


def _line(candidate: Candidate) -> str:
    return f"candidate:{candidate.to_sdp()}"
