"""ICE and DTLS together: from two descriptions to SRTP keys. One per connection (BUNDLE).

DTLS begins with the first check, not after the last: until ICE has proven an address of the peer's, its flights go to
those that the peer has named, three datagrams to each at most. Media flows as soon as there are keys and a path.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from aiortc.rtcdtlstransport import RTCCertificate

from media.errors import NegotiationError
from media.io.dtls_renewal import DtlsRenewal
from media.io.ice import IceTransport
from media.io.ice_settings import IceSettings
from media.io.setup_steps import SetupSteps
from media.negotiation import TransportParameters
from media.transport.demux import Kind, classify
from media.transport.dtls import (
    DtlsClosed,
    DtlsConnected,
    DtlsData,
    DtlsFailed,
    DtlsKeys,
    DtlsTransport,
    fingerprint,
    make_context,
)
from media.transport.srtp import SrtpKeys
from media.webrtc_stats import Stats

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0
# Nobody acknowledges a close_notify, so it is said more than once; the peer drops what comes twice.
GOODBYES = 3
MAX_EARLY_DATAGRAMS = 8  # DTLS that comes before the peer's description does
MAX_EARLY_PACKETS = 16  # media that overtakes the end of the handshake


class SecureTransport:
    """`on_keys` once; `on_packet` for RTP and RTCP, still encrypted, with the time of arrival, and `on_taken` after
    those of one turn of the loop; `on_state` with a state and a reason; `on_beside` for each datagram of DTLS that is
    sent: its length and the time."""

    def __init__(
        self,
        *,
        on_packet: Callable[[bytes, float], None],
        on_taken: Callable[[], None] | None = None,
        on_data: Callable[[bytes], None] | None = None,
        on_keys: Callable[[SrtpKeys], None],
        on_state: Callable[[str, str], None],
        on_candidate: Callable[[str], None],
        steps: SetupSteps,
        on_ice_error: Callable[[str, str], None] | None = None,
        on_beside: Callable[[int, float], None] = lambda size, now: None,
        settings: IceSettings,
    ) -> None:
        certificate = RTCCertificate.generateCertificate()
        self.fingerprint = fingerprint(certificate)
        self._context = make_context(certificate)
        self._on_packet = on_packet
        self._on_data = on_data
        self._on_keys = on_keys
        self._on_state = on_state
        self._on_beside = on_beside
        self._steps = steps
        self._make_ice = partial(
            IceTransport,
            on_datagram=self._receive,
            on_taken=on_taken,
            on_candidate=on_candidate,
            on_error=on_ice_error,
            settings=settings,
        )
        self._controlling = False
        self.ice = self._make_ice(controlling=False)
        self.ice.on_state = self._ice_state
        self._next_ice: IceTransport | None = None  # of an ICE restart, until it stands
        self._restart_agreed = False  # that one: both descriptions are known
        self._closing: set[asyncio.Task[None]] = set()
        self._remote: TransportParameters | None = None
        self._loop = asyncio.get_running_loop()
        self._dtls: DtlsTransport | None = None
        self._dtls_client = False
        self._renewal: DtlsRenewal | None = None
        self._early: deque[bytes] = deque(maxlen=MAX_EARLY_DATAGRAMS)
        self._early_packets: deque[tuple[bytes, float]] = deque(maxlen=MAX_EARLY_PACKETS)
        self._have_keys = False
        self._unsent = False  # of DTLS, for want of a path
        self._proven = False  # there was a path
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def set_controlling(self, controlling: bool) -> None:
        """The offerer's ICE nominates (RFC 8445 section 6.1.1); before start()."""
        self._controlling = controlling
        self.ice.set_controlling(controlling)

    def policy_changed(self) -> None:
        """What was gathered early is not what may be told now; what was told stays, up to an ICE restart."""
        if not self.ice.described:
            self._close_later(self.ice)
            self.ice = self._make_ice(controlling=self._controlling)
            self.ice.on_state = self._ice_state

    @property
    def dtls_state(self) -> str:
        """new, connecting, connected, failed or closed (W3C RTCDtlsTransportState)."""
        if self._dtls is None:
            return "new"
        if self._dtls.connected:
            return "closed" if self._dtls.closed else "connected"
        return "failed" if self._dtls.closed else "connecting"

    def send(self, data: bytes) -> bool:
        """Send a datagram on the selected path; False while there is none."""
        return self.ice.send(data)

    def send_data(self, data: bytes) -> None:
        """Application data (SCTP). Raises ConnectionError before DTLS stands and after it ended."""
        if self._dtls is None:
            raise ConnectionError("DTLS is not connected")
        self._dtls.send_data(data)
        now = self._loop.time()
        for datagram in self._dtls.datagrams_to_send(now):
            self._on_beside(len(datagram), now)
            self.send(datagram)

    @property
    def dtls_client(self) -> bool:
        """Whether this end sent the ClientHello."""
        return self._dtls_client

    @property
    def setup(self) -> str:
        """Our role for later descriptions, which may not change it (RFC 8842 section 5.5); empty before the first."""
        return ("active" if self.dtls_client else "passive") if self.started else ""

    @property
    def started(self) -> bool:
        """Whether a description of the peer has been applied."""
        return self._remote is not None

    @property
    def latest_ice(self) -> IceTransport:
        """Whose credentials and candidates are in the newest description."""
        return self._next_ice or self.ice

    def begin_restart(self) -> None:
        """An ICE restart (RFC 8445 section 2.4): new credentials and sockets; the old path works until the new does.

        Before the first answer there is no old path: the new session takes the place of the first.
        """
        new = self._make_ice(controlling=self._controlling)
        if not self.started:
            self._close_later(self.ice)
            self.ice = new
            new.on_state = self._ice_state
            return
        if self._next_ice is not None:
            self._close_later(self._next_ice)
        self._next_ice, self._restart_agreed = new, False
        new.on_state = self._restart_state

    def withdraw_restart(self) -> bool:
        """A restart that was only offered is not to be (rollback): whether there was one."""
        if self._next_ice is None or self._restart_agreed:
            return False
        self._close_later(self._next_ice)
        self._next_ice = None
        return True

    def restarts(self, remote: TransportParameters) -> bool:
        """Whether the peer's new description has new ICE credentials. Raises NegotiationError for a new identity."""
        if self._remote is None:
            return False
        if set(remote.fingerprints) != set(self._remote.fingerprints):
            raise NegotiationError("a new description may not change the DTLS fingerprint")
        return (remote.ice_ufrag, remote.ice_pwd) != (self._remote.ice_ufrag, self._remote.ice_pwd)

    def restart(self, remote: TransportParameters) -> None:
        """Both descriptions of an ICE restart are known: begin its checks."""
        if self._next_ice is None:
            raise NegotiationError("the answer restarts ICE, the offer did not")
        self._remote = remote
        self._restart_agreed = True
        self._next_ice.connect(remote.ice_ufrag, remote.ice_pwd, lite=remote.ice_lite)

    def renew_dtls(self) -> None:
        """The section that carried the transport was stopped: the peer may shake hands again."""
        if self._renewal is not None:
            self._renewal.allow(self._loop.time(), begin=self.dtls_client)
            self._drain()

    def add_stats(self, stats: Stats, now: float) -> None:
        """What ICE and DTLS know, into the engine's statistics."""
        stats["transport"] |= {"dtlsState": self.dtls_state, "iceState": self.ice.state}
        if (pair := self.ice.selected_pair()) is not None:
            local_type, local, remote_type, remote = pair
            stats["candidate-pair"] = stats.get("candidate-pair", {}) | {
                "type": "candidate-pair",
                "timestamp": now,
                "currentRoundTripTime": self.ice.round_trip_time,
                "protocol": "udp",  # of the candidates; TCP ones are not used
                "relayProtocol": self.ice.relay_protocol,
                "localCandidateType": local_type,
                "localAddress": local,
                "remoteCandidateType": remote_type,
                "remoteAddress": remote,
            }

    def start(self, remote: TransportParameters) -> None:
        """The peer's first description was applied: begin the checks, then the handshake."""
        self._remote, self._dtls_client = remote, remote.dtls_client
        make = partial(
            DtlsTransport, self._context, client=remote.dtls_client, fingerprints=remote.fingerprints
        )
        self._dtls, self._renewal = make(), DtlsRenewal(make)
        self._on_state("connecting", "")
        self.ice.connect(remote.ice_ufrag, remote.ice_pwd, lite=remote.ice_lite)

    async def close(self) -> None:
        """Tell the peer, then stop. Always returns."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._dtls is not None:
            self._dtls.close()
            for datagram in self._dtls.datagrams_to_send(self._loop.time()):
                for _ in range(GOODBYES):
                    self.send(datagram)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                for ice in (self._next_ice, self.ice):
                    if ice is not None:
                        await ice.close()
                if self._closing:
                    await asyncio.wait(self._closing)
        except TimeoutError:
            logger.warning("ICE did not close within %s s", CLOSE_TIMEOUT)

    # -- inside

    def _restart_state(self, state: str) -> None:
        """The new path stands: it takes over. One that fails leaves the old one alone."""
        new = self._next_ice
        if new is None or self._closed or state in ("checking", "disconnected"):
            return
        self._next_ice = None
        if state == "failed":
            self._close_later(new)
            return
        old, self.ice = self.ice, new
        new.on_state = self._ice_state
        self._close_later(old)
        self._ice_state("connected")

    def _close_later(self, ice: IceTransport) -> None:
        ice.on_state = lambda _: None
        task = asyncio.ensure_future(ice.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _ice_state(self, state: str) -> None:
        if self._closed:
            return
        if state == "checking":
            self._steps.reached("first_check")
            self._begin_dtls()
        elif state == "failed":
            self._on_state("failed", "consent to send expired" if self._proven else "no candidate pair works")
        elif state == "disconnected":
            self._on_state("disconnected", "nothing was heard of the peer for 5 s")
        else:
            if not self._proven:
                self._first_path()
            self._tell_connected()

    def _begin_dtls(self) -> None:
        assert self._dtls is not None
        now = self._loop.time()
        self._dtls.start(now)
        while self._early and not self._dtls.closed:
            self._dtls.receive_datagram(self._early.popleft(), now)
        self._drain()

    def _first_path(self) -> None:
        assert self._dtls is not None
        self._proven = True
        self._steps.reached("ice_connected")
        if self.ice.round_trip_time is not None:
            self._dtls.set_round_trip_time(self.ice.round_trip_time)
        if self._unsent:
            self._unsent = False
            self._dtls.resend()
        self._drain()

    def _tell_connected(self) -> None:
        if self._proven and self.dtls_state == "connected":
            self._on_state("connected", "")

    def _receive(self, data: bytes, arrived: float) -> None:
        if self._closed:
            return
        kind = classify(data)
        if kind is Kind.RTP or kind is Kind.RTCP:
            if self._have_keys:
                self._on_packet(data, arrived)
            else:
                self._early_packets.append((data, arrived))
        elif kind is Kind.DTLS:
            if self._dtls is None or self.ice.state == "new":
                self._early.append(data)
            else:
                self._receive_dtls(data, self._loop.time())
                self._drain()

    def _receive_dtls(self, data: bytes, now: float) -> None:
        assert self._dtls is not None
        if self._renewal is None or self._renewal.receive_datagram(data, now):
            self._dtls.receive_datagram(data, now)

    def _drain_renewal(self, now: float) -> None:
        if self._renewal is None:
            return
        for datagram in self._renewal.datagrams_to_send(now):
            self._on_beside(len(datagram), now)
            self.send(datagram)
        if (renewed := self._renewal.take(now)) is not None:
            logger.info("the peer has made its transport anew")
            self._dtls, keys = renewed
            self._use_keys(keys)

    def _drain(self) -> None:
        assert self._dtls is not None
        now = self._loop.time()
        self._drain_renewal(now)
        for datagram in self._dtls.datagrams_to_send(now):
            self._steps.reached("dtls_begun")
            self._on_beside(len(datagram), now)
            if not self.ice.send_unproven(datagram):
                self._unsent = True
        while (event := self._dtls.next_event()) is not None:
            match event:
                case DtlsKeys(keys):
                    self._use_keys(keys)
                case DtlsConnected():
                    self._steps.reached("dtls_connected")
                    self._tell_connected()
                case DtlsFailed(reason):
                    self._on_state("failed", reason)
                case DtlsClosed():
                    self._on_state("closed", "the peer closed the connection")
                case DtlsData(data):
                    if self._on_data is not None:
                        self._on_data(data)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [d.get_timer() for d in (self._dtls, self._renewal) if d is not None]
        if (due := min((t for t in times if t is not None), default=None)) is not None and not self._closed:
            self._timer = self._loop.call_at(due, self._tick)

    def _use_keys(self, keys: SrtpKeys) -> None:
        self._steps.reached("srtp_keys")
        self._have_keys = True
        self._on_keys(keys)
        while self._early_packets:
            self._on_packet(*self._early_packets.popleft())

    def _tick(self) -> None:
        assert self._dtls is not None
        self._timer = None
        self._dtls.handle_timer(self._loop.time())
        if self._renewal is not None:
            self._renewal.handle_timer(self._loop.time())
        self._drain()
