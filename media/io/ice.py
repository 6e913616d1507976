"""ICE (RFC 8445) on aioice: candidates as they are found, synchronous receive, consent, `disconnected`.

aioice's Connection gathers everything before it returns, reads datagrams through a queue and knows no state between
connected and closed. It is driven here through the methods that its own protocol objects call.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

import aioice.ice
from aioice import stun
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, Connection, StunProtocol

from media.io.ice_syntax import IceServer, parse_candidate, parse_server_url
from media.io.impairment import ImpairedTransport
from media.simulation.link import Link

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
MAX_REMOTE_CANDIDATES = 64
# A lost check costs 500 ms with STUN's standard timer (RFC 8489); libwebrtc pings every 48 ms. The same request
# goes out again this many seconds after the first.
EARLY_RESENDS = (0.1, 0.2, 0.35)
CONSENT_INTERVAL = 5.0  # RFC 7675 section 5.1, +-20 %
CONSENT_EXPIRY = 30.0
# A peer that has vanished is noticed within 5 s; between live peers RTCP comes twice a second.
DISCONNECTED_AFTER = 4.5
WATCH_INTERVAL = 0.25
SOCKET_BUFFER_BYTES = 1 << 20


class _Protocol(StunProtocol):
    """One local socket."""

    receiver: "_Connection"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        link = self.receiver.owner.network
        if link is not None:
            transport = cast(asyncio.BaseTransport, ImpairedTransport(cast(Any, transport), link))
        super().connection_made(transport)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        self.receiver.heard(addr)
        try:
            super().datagram_received(data, addr)
        except Exception as error:
            # STUN of any bytes; aioice reads attributes that an authenticated peer need not have sent.
            logger.debug("datagram from %s dropped: %r", addr, error)

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        loop = asyncio.get_running_loop()
        resends = []
        if integrity_key is not None and retransmissions is None:
            resends = [loop.call_later(after, self._resend, request, addr) for after in EARLY_RESENDS]
        started = loop.time()
        try:
            response = await super().request(request, addr, integrity_key, retransmissions)
            if integrity_key is not None:
                self.receiver.measured(loop.time() - started)
            return response
        finally:
            for resend in resends:
                resend.cancel()

    def _resend(self, request: stun.Message, addr: tuple[str, int]) -> None:
        if request.transaction_id in self.transactions and not self.transport.is_closing():
            self.send_stun(request, addr)


class _Connection(Connection):
    """aioice's connection, with its queue short-cut."""

    def __init__(self, owner: "IceTransport", *, ice_controlling: bool) -> None:
        super().__init__(ice_controlling=ice_controlling)
        self.owner = owner
        self._valid: set[tuple[str, int]] = set()  # addresses that answered a check, or sent an authentic one

    def data_received(self, data: bytes, component: int) -> None:
        self.owner.on_datagram(data)

    def check_complete(self, pair: CandidatePair) -> None:
        if pair.state is CandidatePair.State.SUCCEEDED:
            self._valid.add(pair.remote_addr)
        super().check_complete(pair)

    def check_incoming(self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        if len(self._valid) < MAX_REMOTE_CANDIDATES:
            self._valid.add(addr)  # the request was authentic
        super().check_incoming(message, addr, protocol)

    def heard(self, addr: tuple[Any, ...]) -> None:
        """A datagram of an address that is the peer's; the peer may send on another pair than we do."""
        if (addr[0], addr[1]) in self._valid:
            self.owner.heard()

    def measured(self, rtt: float) -> None:
        self.owner.round_trip_time = rtt

    async def query_consent(self) -> None:
        """Consent freshness (RFC 7675); the owner's watch draws the conclusions."""
        assert self.remote_password is not None
        while True:
            await asyncio.sleep(CONSENT_INTERVAL * random.uniform(0.8, 1.2))
            for pair in list(self._nominated.values()):
                request = self.build_request(pair, nominate=False)
                try:
                    await pair.protocol.request(
                        request,
                        pair.remote_addr,
                        integrity_key=self.remote_password.encode(),
                        retransmissions=0,
                    )
                except stun.TransactionError:
                    continue
                self.owner.consented()

    async def gather_host(self, addresses: Sequence[str]) -> list[Candidate]:
        """Bind a socket on every address."""
        loop = asyncio.get_running_loop()
        self._local_candidates_start = True
        for address in addresses:
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: _Protocol(self), local_addr=(address, 0)
                )
            except OSError as error:
                logger.info("cannot bind to %s: %s", address, error)
                continue
            if self._closing:  # closed meanwhile: nobody else would close this one
                transport.close()
                break
            _enlarge_buffers(transport)
            host, port = transport.get_extra_info("sockname")[:2]
            protocol.local_candidate = Candidate(
                foundation=candidate_foundation("host", "udp", host),
                component=1,
                transport="udp",
                priority=candidate_priority(1, "host"),
                host=host,
                port=port,
                type="host",
            )
            self._protocols.append(protocol)
            self._local_candidates.append(protocol.local_candidate)
        self._local_candidates_end = True
        return list(self._local_candidates)

    async def gather_reflexive(self, server: tuple[str, int], found: Callable[[Candidate], None]) -> None:
        """Ask a STUN server for the addresses that it sees."""

        async def ask(protocol: StunProtocol) -> None:
            try:
                candidate, _ = await aioice.ice.server_reflexive_candidate(protocol, server)
            except (stun.TransactionError, OSError, KeyError) as error:
                logger.info("STUN server %s: %r", server, error)
                return
            if not self._closing and all(c.host != candidate.host for c in self._local_candidates):
                self._local_candidates.append(candidate)
                found(candidate)

        hosts = [p for p in self._protocols if p.local_candidate.type == "host"]
        await asyncio.gather(*(ask(p) for p in hosts if ":" not in p.local_candidate.host))

    async def gather_relayed(
        self, address: tuple[str, int], server: IceServer, transport: str, found: Callable[[Candidate], None]
    ) -> None:
        """Allocate on a TURN server (RFC 8656)."""
        try:
            candidate, protocol = await aioice.ice.relayed_candidate(
                component=1,
                hide_related_address=False,
                protocol_factory=lambda: _Protocol(self),
                turn_server=address,
                turn_username=server.username,
                turn_password=server.credential,
                turn_ssl=False,
                turn_transport=transport,
            )
        except (stun.TransactionError, OSError, ValueError) as error:
            logger.info("TURN server %s: %r", address, error)
            return
        if self._closing:
            await protocol.close()
            return
        self._protocols.append(protocol)
        self._local_candidates.append(candidate)
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        found(candidate)

    def selected_pair(self) -> CandidatePair | None:
        return self._nominated.get(1)


class IceTransport:
    """One ICE session. `on_datagram` gets what is not STUN; `on_state` gets connected, disconnected, failed.

    `network` is an emulated link that everything sent goes through.
    """

    def __init__(
        self,
        *,
        controlling: bool,
        on_datagram: Callable[[bytes], None],
        on_candidate: Callable[[str], None],
        on_state: Callable[[str], None] | None = None,
        servers: Sequence[IceServer] = (),
        addresses: Sequence[str] | None = None,
        network: Link | None = None,
    ) -> None:
        self.on_datagram = on_datagram
        self.on_state = on_state or _ignore
        self.network = network
        self._on_candidate = on_candidate
        self._servers = servers
        self._addresses = addresses
        self._connection = _Connection(self, ice_controlling=controlling)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._last_heard = self._last_consent = 0.0
        self._remote_candidates = 0
        self.state = "new"
        self.round_trip_time: float | None = None

    @property
    def local_ufrag(self) -> str:
        return self._connection.local_username

    @property
    def local_pwd(self) -> str:
        return self._connection.local_password

    async def gather(self) -> list[str]:
        """Host candidates at once, as lines; those of servers come later through on_candidate."""
        addresses = self._addresses
        if addresses is None:
            addresses = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True) or [LOOPBACK]
        candidates = await self._connection.gather_host(addresses)
        if self.state == "closed":
            return []
        for server in self._servers:
            for url in server.urls:
                self._ask_server(server, url)
        return [_line(c) for c in candidates]

    def _ask_server(self, server: IceServer, url: str) -> None:
        parsed = parse_server_url(url)
        if parsed is None:
            logger.warning("ICE server URL %r is not understood", url)
            return
        scheme, address, transport = parsed
        if scheme == "stun":
            self._spawn(self._connection.gather_reflexive(address, self._found))
        else:
            self._spawn(self._connection.gather_relayed(address, server, transport, self._found))

    def _found(self, candidate: Candidate) -> None:
        self._on_candidate(_line(candidate))

    def connect(self, ufrag: str, pwd: str, *, lite: bool) -> None:
        """Begin the checks with the peer's credentials; candidates may come before and after."""
        self._connection.remote_username = ufrag
        self._connection.remote_password = pwd
        self._connection.remote_is_lite = lite
        self.state = "checking"
        self._spawn(self._connect())

    async def add_candidate(self, line: str) -> None:
        """A candidate of the peer. Raises SdpError for what is none; more than 64 are ignored."""
        candidate = parse_candidate(line)
        if candidate is None or self._remote_candidates >= MAX_REMOTE_CANDIDATES:
            return
        self._remote_candidates += 1
        await self._connection.add_remote_candidate(candidate)

    def send(self, data: bytes) -> bool:
        """Send on the selected pair; False while there is none."""
        pair = self._connection.selected_pair()
        if pair is None or pair.protocol.transport.is_closing():
            return False
        pair.protocol.transport.sendto(data, pair.remote_addr)
        return True

    def selected_pair(self) -> tuple[str, str, str, str] | None:
        """(local type, local address, remote type, remote address) in use."""
        pair = self._connection.selected_pair()
        if pair is None:
            return None
        local, remote = pair.local_candidate, pair.remote_candidate
        return local.type, f"{local.host}:{local.port}", remote.type, f"{remote.host}:{remote.port}"

    async def close(self) -> None:
        """Always returns; sends nothing."""
        if self.state == "closed":
            return
        self.state = "closed"
        if self._watch is not None:
            self._watch.cancel()
        # aioice ends its own loop when it is closed; cancelling connect() before would lose its tasks.
        await self._connection.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- called by the connection

    def heard(self) -> None:
        self._last_heard = self._loop.time()
        if self.state == "disconnected":
            self._set_state("connected")

    def consented(self) -> None:
        self._last_consent = self._loop.time()

    # -- inside

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        try:
            await self._connection.connect()
        except ConnectionError as error:
            if self.state != "closed":
                logger.info("ICE: %s", error)
                self._set_state("failed")
            return
        self._last_heard = self._last_consent = self._loop.time()
        self._set_state("connected")
        self._watch = self._loop.call_later(WATCH_INTERVAL, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now - max(self._last_heard, self._last_consent) >= CONSENT_EXPIRY:
            self._set_state("failed")
            return
        if self.state == "connected" and now - self._last_heard >= DISCONNECTED_AFTER:
            self._set_state("disconnected")
        self._watch = self._loop.call_later(WATCH_INTERVAL, self._look)

    def _set_state(self, state: str) -> None:
        if self.state not in (state, "closed"):
            self.state = state
            self.on_state(state)


def _ignore(_: str) -> None:
    pass


def _line(candidate: Candidate) -> str:
    return f"candidate:{candidate.to_sdp()}"


def _enlarge_buffers(transport: asyncio.BaseTransport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
