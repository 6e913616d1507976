"""aioice's Connection and its sockets, driven through the methods that its own protocol objects call.

aioice gathers everything before it returns, reads datagrams through a queue, starts one check every 20 ms, notices
20 ms later that one has succeeded, and lets the pair that was nominated last win.
"""

import asyncio
import logging
import random
import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, cast

import aioice.ice
from aioice import stun
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, Connection, StunProtocol, candidate_pair_priority
from aioice.utils import random_string

from media.io.ice_check import PathCheck
from media.io.ice_paths import Paths
from media.io.ice_socket import Address, IceSocket, Listener
from media.io.ice_syntax import IceServer
from media.io.turn import allocate
from media.io.udp import open_udp

logger = logging.getLogger(__name__)

MAX_REMOTE_CANDIDATES = 64
# Of pairs without a relay so many are begun every 20 ms, one every 5 ms (RFC 8445 section 14.2): of few pairs, all at
# once. A relayed pair has to wait its turn: direct ones are to win where both work.
CHECKS_AT_ONCE = 4
MAX_PATH_CHECKS = 64  # that may still be answered
MAX_REFLEXIVE = 16  # addresses of the peer that only its packets have told
# Of our addresses that only checks tell: each check has one more, for two days.
REFLEXIVE_PREFERENCE = 32768
SOCKET_BUFFER_BYTES = 1 << 20
# An address that has not answered yet, and may be anybody's, gets no more than this of the handshake.
MAX_UNPROVEN_DATAGRAMS = 3
MAX_UNPROVEN_PAIRS = 4

# Of several relays the one with the least delay is best (RFC 8445 section 5.1.2.2 leaves the choice open).
RELAY_PREFERENCE = {"udp": 65535, "tcp": 65534, "tls": 65533}

SUCCEEDED = CandidatePair.State.SUCCEEDED
NOT_BEGUN = (CandidatePair.State.WAITING, CandidatePair.State.FROZEN)


class Owner(Listener, Protocol):
    """Who is told."""

    def checks_begun(self) -> None: ...
    def pair_found(self) -> None: ...
    def heard(self) -> None: ...
    def path_changed(self) -> None: ...


class IceConnection(Connection):
    """aioice's connection with its waits short-cut, and with a path that is left when it is dead."""

    def __init__(self, owner: Owner, *, ice_controlling: bool) -> None:
        super().__init__(ice_controlling=ice_controlling)
        self.owner = owner
        self._loop = asyncio.get_running_loop()
        # Addresses that answered a check, or sent an authentic one; those of late are the last.
        self._proven: dict[Address, None] = {}
        self._paths: Paths[tuple[StunProtocol, Address]] = Paths()
        self._path_checks: deque[tuple[StunProtocol, bytes]] = deque()
        self._was_failing = False
        self._asked = 0  # checks of the path in use
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

    def heard(self, protocol: IceSocket, addr: Address) -> bool:
        """Whether an address is the peer's for sure; the peer may send on another pair than we do."""
        if addr not in self._proven:
            return False
        self._paths.heard((protocol, addr), self._loop.time())
        self.owner.heard()
        return True

    def heard_elsewhere(self, protocol: IceSocket, addr: Address) -> None:
        """Media, or noise, from an address that showed nothing yet. Where the path in use fails, ask there: libnice
        sends no checks once it has a pair, so that nothing else tells of its new address behind a NAT."""
        if not self._was_failing or self._closing or protocol not in self._protocols:
            return
        if all((c._network_host, c.port) != addr for c in self._remote_candidates):
            priority = candidate_priority(1, "prflx")
            self._remote_candidates.append(
                Candidate(random_string(10), 1, "udp", priority, addr[0], addr[1], "prflx")
            )
            self._pair_remote_candidate(self._remote_candidates[-1])
            self._forget_old_addresses(addr)

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
        best, now = self._nominated.get(1), self._loop.time()
        if pair.state is SUCCEEDED:
            self._prove(pair.remote_addr)
            self._paths.answered(_path(pair), now)
        super().check_complete(pair)
        if best is not None and self._nominated.get(1) is pair and self._is_better(best, pair, now):
            self._nominated[1] = best
        if pair.state is SUCCEEDED and not self._closing:
            self.owner.pair_found()

    def _is_better(self, best: CandidatePair, pair: CandidatePair, now: float) -> bool:
        """Of several that are nominated the one with the highest priority counts, while it works."""
        return self._priority(best) > self._priority(pair) and not self._paths.is_failing(_path(best), now)

    def _priority(self, pair: CandidatePair) -> int:
        return candidate_pair_priority(pair.local_candidate, pair.remote_candidate, self.ice_controlling)

    def _prove(self, addr: Address) -> None:
        self._proven.pop(addr, None)
        if len(self._proven) >= MAX_REMOTE_CANDIDATES:
            del self._proven[next(iter(self._proven))]
        self._proven[addr] = None

    def check_incoming(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None:
        self._prove(addr)  # the request was authentic
        self._paths.heard((protocol, addr), self._loop.time())
        self._forget_old_addresses(addr)
        super().check_incoming(message, addr, protocol)  # which begins one of ours
        self._have_begun()
        cast(IceSocket, protocol).hasten(addr)

    def _forget_old_addresses(self, addr: Address) -> None:
        """A peer behind a NAT that changes its mind gets a new address each time: those of long ago go."""
        current = self.selected_pair()
        reflexive = [
            candidate
            for candidate in self._remote_candidates
            if candidate.type == "prflx"
            and (candidate._network_host, candidate.port) != addr
            and (current is None or candidate is not current.remote_candidate)
        ]
        for candidate in reflexive[: max(0, len(reflexive) - MAX_REFLEXIVE)]:
            self._remote_candidates.remove(candidate)
            for pair in [p for p in self._check_list if p.remote_candidate is candidate]:
                self._check_list.remove(pair)
                if pair.task is not None:
                    pair.task.cancel()
            self._paths.forget(_path(pair) for pair in self._check_list)

    # -- the path in use

    async def query_consent(self) -> None:
        """aioice would begin with this when it notices the nominated pair, be the connection closed by then or not."""

    def last_consent(self) -> float:
        """When the path in use answered a check last (RFC 7675)."""
        pair = self.selected_pair()
        return -1e9 if pair is None else self._paths.last_answer(_path(pair))

    def watch_paths(self, now: float) -> None:
        """Ask the path in use, and others where it fails; leave it when it is dead."""
        current = self.selected_pair()
        if current is None or self._closing:
            return
        if self._paths.is_due(_path(current), now):
            # A NAT of ours may have a new address for us, and the peer may send to the old one. To it our check comes
            # on another path then: nominated, and worth more than the last, else Firefox and libnice stay on theirs.
            self._asked += 1
            self._ask(current, now, nominate=self._paths.fell_silent(_path(current), now))
        failing = self._paths.is_failing(_path(current), now)
        if failing and not self._was_failing:
            # Pairs that were never tried, since one had been found, may work now.
            for remote in self._remote_candidates:
                self._pair_remote_candidate(remote)
            self.sort_check_list()
        self._was_failing = failing
        if not failing:
            return
        others = {_path(pair): pair for pair in self._check_list if pair is not current}
        better = self._paths.better(_path(current), others, now)
        if better is not None:
            self._use(others[better], now)
        else:
            for path in self._paths.others_due(others, now):
                self._ask(others[path], now)

    def _use(self, pair: CandidatePair, now: float) -> None:
        logger.info("ICE: %s does not answer any more, %s does", self.selected_pair(), pair)
        self._nominated[1] = pair
        self._was_failing = False
        self._ask(pair, now, nominate=True)
        self.owner.path_changed()

    def _ask(self, pair: CandidatePair, now: float, *, nominate: bool = False) -> None:
        assert self.remote_password is not None
        self._paths.asked(_path(pair), now, spread=random.uniform(0.8, 1.2))
        if pair.protocol.transport.is_closing():
            return  # a relay that is lost: it will not answer
        key = self.remote_password.encode()
        request = self.build_request(pair, nominate=nominate)
        request.add_message_integrity(key)
        check = PathCheck(pair.remote_addr, key, partial(self._answered, pair, now))
        pair.protocol.transactions[request.transaction_id] = cast(stun.Transaction, check)
        self._path_checks.append((pair.protocol, request.transaction_id))
        if len(self._path_checks) > MAX_PATH_CHECKS:
            socket, oldest = self._path_checks.popleft()
            del socket.transactions[oldest]
        pair.protocol.send_stun(request, pair.remote_addr)

    def build_request(self, pair: CandidatePair, nominate: bool) -> stun.Message:
        request = super().build_request(pair, nominate)
        preference = min(REFLEXIVE_PREFERENCE + self._asked, 65535)
        request.attributes["PRIORITY"] = candidate_priority(pair.component, "prflx", preference)
        return request

    def _answered(self, pair: CandidatePair, asked: float) -> None:
        now = self._loop.time()
        self._prove(pair.remote_addr)
        self._paths.answered(_path(pair), now, asked=asked)
        if pair.state is not SUCCEEDED:
            self.check_state(pair, SUCCEEDED)
        if pair is self.selected_pair():
            self.owner.measured(now - asked)
        self.owner.heard()

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


def _path(pair: CandidatePair) -> tuple[StunProtocol, Address]:
    return pair.protocol, pair.remote_addr


def _relayed(pair: CandidatePair) -> bool:
    return "relay" in (pair.local_candidate.type, pair.remote_candidate.type)


def _enlarge_buffers(transport: asyncio.BaseTransport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
