"""aioice's Connection and its sockets, driven through the methods that its own protocol objects call.

aioice gathers everything before it returns, reads datagrams through a queue, starts one check every 20 ms, notices
20 ms later that one has succeeded, and lets the pair that was nominated last win.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import aioice.ice
from aioice import stun
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, Connection, StunProtocol, candidate_pair_priority

from media.io.ice_check import Check
from media.io.ice_syntax import IceServer
from media.io.impairment import ImpairedTransport
from media.io.turn import allocate
from media.io.udp import open_udp
from media.simulation.link import Link
from media.transport.demux import Kind, classify

logger = logging.getLogger(__name__)

MAX_REMOTE_CANDIDATES = 64
# Of pairs without a relay so many are begun every 20 ms, one every 5 ms (RFC 8445 section 14.2): of few pairs, all at
# once. A relayed pair has to wait its turn: direct ones are to win where both work.
CHECKS_AT_ONCE = 4
CONSENT_INTERVAL = 5.0  # RFC 7675 section 5.1, +-20 %
SOCKET_BUFFER_BYTES = 1 << 20
# An address that has not answered yet, and may be anybody's, gets no more than this of the handshake.
MAX_UNPROVEN_DATAGRAMS = 3
MAX_UNPROVEN_PAIRS = 4

# Of several relays the one with the least delay is best (RFC 8445 section 5.1.2.2 leaves the choice open).
RELAY_PREFERENCE = {"udp": 65535, "tcp": 65534, "tls": 65533}

Address = tuple[str, int]
SUCCEEDED = CandidatePair.State.SUCCEEDED
NOT_BEGUN = (CandidatePair.State.WAITING, CandidatePair.State.FROZEN)


class Owner(Protocol):
    """Who is told."""

    network: Link | None

    def on_datagram(self, data: bytes, arrived: float) -> None: ...
    def on_taken(self) -> None: ...
    def checks_begun(self) -> None: ...
    def pair_found(self) -> None: ...
    def heard(self) -> None: ...
    def measured(self, rtt: float) -> None: ...
    def consented(self) -> None: ...


class IceSocket(StunProtocol):
    """One local socket, or one at a relay."""

    receiver: "IceConnection"

    def __init__(self, receiver: "IceConnection", relay_protocol: str | None = None) -> None:
        super().__init__(receiver)
        self.relay_protocol = relay_protocol  # to the relay: udp, tcp or tls
        self._checks: dict[Address, Check] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        link = self.receiver.owner.network
        if link is not None:
            transport = cast(asyncio.BaseTransport, ImpairedTransport(cast(Any, transport), link))
        super().connection_made(transport)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        self.datagram_arrived(cast(bytes, data), addr, asyncio.get_running_loop().time())
        self.datagrams_taken()

    def datagrams_taken(self) -> None:
        """What had come was given."""
        self.receiver.owner.on_taken()

    def datagram_arrived(self, data: bytes, addr: tuple[Any, ...], arrived: float) -> bool:
        """`arrived` on the loop's clock: before now, if the loop was busy. As media.io.udp.Receiver's."""
        connection, addr = self.receiver, (addr[0], addr[1])  # of IPv6 there are four
        proven = connection.heard(addr)
        kind = classify(data)
        if kind is Kind.STUN:
            try:
                super().datagram_received(data, addr)
            except Exception as error:
                # STUN of any bytes; aioice reads attributes that an authenticated peer need not have sent.
                logger.debug("datagram from %s dropped: %r", addr, error)
        elif kind is not Kind.DTLS or proven or connection.expects(addr):
            # A handshake is not authentic before it ends: nobody else may disturb it.
            self.hasten(addr)
            connection.owner.on_datagram(data, arrived)
        return kind is not Kind.STUN  # an answer shows a path, which what comes with it may need

    async def request(
        self,
        request: stun.Message,
        addr: Address,
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, Address]:
        if integrity_key is None or retransmissions is not None:  # to a server, or for consent
            return await super().request(request, addr, integrity_key, retransmissions)
        pace = self.receiver.pace()
        check = self._checks[addr] = Check(self, request, addr, integrity_key, pace=pace)
        try:
            return await check.run()
        finally:
            if self._checks.get(addr) is check:
                del self._checks[addr]
            if check.round_trip_time is not None:
                self.receiver.owner.measured(check.round_trip_time)

    def hasten(self, addr: Address) -> None:
        """The peer was heard at `addr`: a check of ours that is not answered yet may have been lost."""
        if (check := self._checks.get(addr)) is not None:
            check.hasten()


class IceConnection(Connection):
    """aioice's connection with its waits short-cut."""

    def __init__(self, owner: Owner, *, ice_controlling: bool) -> None:
        super().__init__(ice_controlling=ice_controlling)
        self.owner = owner
        self._proven: set[Address] = set()  # addresses that answered a check, or sent an authentic one
        self._unproven_sent: dict[Address, int] = {}
        self._allowance = CHECKS_AT_ONCE  # of this 20 ms
        self._begun = False

    # -- where to send

    def selected_pair(self) -> CandidatePair | None:
        """The nominated pair; before that, the best that works (RFC 8445 section 12.1.1)."""
        pair = self._nominated.get(1)
        if pair is None and not self._closing:
            pair = next((p for p in self._check_list if p.state is SUCCEEDED), None)
        return pair

    def send_unproven(self, data: bytes) -> bool:
        """To the addresses that the peer has named, a few datagrams at most; whether any was sent."""
        sent = False
        pairs = [p for p in self._check_list if p.remote_candidate.type != "prflx" and not _relayed(p)]
        for pair in pairs[:MAX_UNPROVEN_PAIRS]:
            count = self._unproven_sent.get(pair.remote_addr, 0)
            if count < MAX_UNPROVEN_DATAGRAMS and not pair.protocol.transport.is_closing():
                self._unproven_sent[pair.remote_addr] = count + 1
                pair.protocol.transport.sendto(data, pair.remote_addr)
                sent = True
        return sent

    def heard(self, addr: Address) -> bool:
        """Whether an address is the peer's for sure; the peer may send on another pair than we do."""
        if addr not in self._proven:
            return False
        self.owner.heard()
        return True

    def expects(self, addr: Address) -> bool:
        """Whether the peer may be there: it named the address, or nothing is known of it yet."""
        return not self._begun or any(
            (c._network_host, c.port) == addr for c in self._remote_candidates if c.type != "prflx"
        )

    # -- checks

    def begin_checks(self) -> None:
        """Those of pairs without a relay, a few at once."""
        if self.remote_password is None or self._check_list_done or self._closing:
            return
        for pair in self._check_list:
            if self._allowance and pair.task is None and pair.state in NOT_BEGUN and not _relayed(pair):
                self._allowance -= 1
                self.check_start_task(pair)
        if self._check_list:
            self._have_begun()

    def _have_begun(self) -> None:
        if not self._begun:
            self._begun = True
            self.owner.checks_begun()

    def pace(self) -> float:
        """By what the resends of a check are slowed down: all together send no more than a few pairs do."""
        return max(1.0, len(self._check_list) / CHECKS_AT_ONCE)

    def _check_periodic(self) -> bool:
        self._allowance = CHECKS_AT_ONCE
        self.begin_checks()
        return super()._check_periodic()

    def check_complete(self, pair: CandidatePair) -> None:
        best = self._nominated.get(1)
        if pair.state is SUCCEEDED:
            self._proven.add(pair.remote_addr)
        super().check_complete(pair)
        if (
            best is not None
            and self._nominated.get(1) is pair
            and self._priority(best) > self._priority(pair)
        ):
            self._nominated[1] = best  # of several that are nominated the best one counts
        if pair.state is SUCCEEDED and not self._closing:
            self.owner.pair_found()

    def _priority(self, pair: CandidatePair) -> int:
        return candidate_pair_priority(pair.local_candidate, pair.remote_candidate, self.ice_controlling)

    def check_incoming(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None:
        if len(self._proven) < MAX_REMOTE_CANDIDATES:
            self._proven.add(addr)  # the request was authentic
        super().check_incoming(message, addr, protocol)  # which begins one of ours
        self._have_begun()
        cast(IceSocket, protocol).hasten(addr)

    async def query_consent(self) -> None:
        """aioice would begin with this when it notices the nominated pair, be the connection closed by then or not."""

    async def renew_consent(self) -> None:
        """Consent freshness (RFC 7675) of the pair in use, for ever; the owner's watch draws the conclusions."""
        assert self.remote_password is not None
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CONSENT_INTERVAL * random.uniform(0.8, 1.2))
            if (pair := self.selected_pair()) is None:
                continue
            request = self.build_request(pair, nominate=False)
            key = self.remote_password.encode()
            asked = loop.time()
            try:
                await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=0)
            except stun.TransactionError:
                continue
            self.owner.measured(loop.time() - asked)
            self.owner.consented()

    # -- candidates

    async def gather_host(self, addresses: Sequence[str]) -> list[Candidate]:
        """Bind a socket on every address."""
        self._local_candidates_start = True
        for address in addresses:
            try:
                transport, protocol = await open_udp(lambda: IceSocket(self), address)
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

    async def gather_reflexive(self, server: Address, found: Callable[[Candidate], None]) -> None:
        """Ask a STUN server for the addresses that it sees. Raises TransactionError or OSError if no socket learns."""
        hosts = [p for p in self._protocols if p.local_candidate.type == "host"]
        asked = [
            aioice.ice.server_reflexive_candidate(p, server)
            for p in hosts
            if ":" not in p.local_candidate.host
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        errors = []
        for answer in answers:
            if isinstance(answer, BaseException):
                errors.append(answer)
            elif not self._closing and all(c.host != answer[0].host for c in self._local_candidates):
                self._local_candidates.append(answer[0])
                found(answer[0])
        if errors and len(errors) == len(answers):
            raise OSError("no answer that is understood") if isinstance(errors[0], KeyError) else errors[0]

    async def gather_relayed(
        self,
        address: Address,
        server: IceServer,
        protocol: str,
        found: Callable[[Candidate], None],
        refused: Callable[[str], None],
        *,
        hide_mapped: bool,
    ) -> None:
        """Allocate on a TURN server; `hide_mapped`: the candidate does not tell where we are. Raises as allocate()."""
        relay = IceSocket(self, relay_protocol=protocol)
        transport = await allocate(address, server, protocol, relay, refused)
        if self._closing:
            await relay.close()
            return
        host, port = transport.address
        hidden = ("::" if ":" in host else "0.0.0.0", 9)  # RFC 9429 section 3.5.3
        related = hidden if hide_mapped else transport.mapped_address
        relay.local_candidate = candidate = Candidate(
            foundation=candidate_foundation("relay", protocol, host),
            component=1,
            transport="udp",
            priority=candidate_priority(1, "relay", RELAY_PREFERENCE[protocol]),
            host=host,
            port=port,
            type="relay",
            related_address=related[0],
            related_port=related[1],
        )
        self._protocols.append(relay)
        self._local_candidates.append(candidate)
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        found(candidate)

    async def close(self) -> None:
        """As aioice's; relays are given back all at once."""
        for protocol in self._protocols:
            if cast(IceSocket, protocol).relay_protocol is not None:
                protocol.transport.close()
        await super().close()


def _relayed(pair: CandidatePair) -> bool:
    return "relay" in (pair.local_candidate.type, pair.remote_candidate.type)


def _enlarge_buffers(transport: asyncio.BaseTransport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
