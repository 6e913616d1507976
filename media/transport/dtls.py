"""DTLS (RFC 6347) with SRTP keys (RFC 5764) on a memory BIO. Sans-IO, with a retransmission of its own.

OpenSSL resends a lost flight after 1 s, then 2 s, and offers no way to set that. So the last flight is kept here, too:
it is sent twice, 10 ms apart, and so again after twice the round-trip time until the peer's next one comes. Records
that arrive twice are dropped by DTLS itself. OpenSSL's own timer stays on: it makes new record numbers, which a peer
that waits for a retransmission in OpenSSL's sense needs.

The client has the SRTP keys when it has sent its Finished, a round trip before it is connected: it has verified the
server by then, and only who holds the certificate's key can have the same keys (as in TLS False Start, RFC 7918).
"""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from aiortc.rtcdtlstransport import RTCCertificate, certificate_digest
from cryptography import x509
from OpenSSL import SSL

from media.transport.srtp import PROFILES, SrtpKeys

MTU = 1200  # UDP payload; fits every path that WebRTC is used on
REPEAT_AFTER = (
    0.010  # the second copy of a flight: beyond a burst of one or two packets, far below a round trip
)
FIRST_RESEND = 0.1  # seconds, until a round-trip time is known
MIN_RESEND = 0.05  # libwebrtc's lower bound
MAX_RESEND = 1.0
RESEND_BACKOFF = 1.5
EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"  # RFC 5764 section 4.2
RECORD_HEADER = 13
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
MAX_DATA = 65536
DIGESTS = ("sha-256", "sha-384", "sha-512")
# libwebrtc's: forward secrecy; a server's certificate may be ECDSA or RSA (GStreamer's, FreeSWITCH's, Kurento's are).
CIPHERS = b":".join(
    b"ECDHE-%s-%s" % (key, cipher)
    for cipher in (b"AES128-GCM-SHA256", b"CHACHA20-POLY1305", b"AES128-SHA")
    for key in (b"ECDSA", b"RSA")
)
VERIFY_FAILED = "certificate verify failed"  # OpenSSL's words when the verify callback said no
WRONG_FINGERPRINT = "the peer's certificate does not have the fingerprint of its description"


@dataclass(frozen=True, slots=True)
class DtlsKeys:
    """Media may flow: only the peer of the description can have the same keys."""

    keys: SrtpKeys


@dataclass(frozen=True, slots=True)
class DtlsConnected:
    """Both Finished were verified: data may flow."""


@dataclass(frozen=True, slots=True)
class DtlsData:
    """Decrypted application data (SCTP)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    reason: str


@dataclass(frozen=True, slots=True)
class DtlsClosed:
    """The peer closed the association."""


DtlsEvent = DtlsKeys | DtlsConnected | DtlsData | DtlsFailed | DtlsClosed


def fingerprint(certificate: RTCCertificate) -> str:
    """`sha-256` fingerprint as in a=fingerprint: upper-case hex with colons."""
    return next(f.value for f in certificate.getFingerprints() if f.algorithm == "sha-256").upper()


def make_context(certificate: RTCCertificate) -> SSL.Context:
    """What associations under this certificate share; the first one of a process takes OpenSSL 10 ms: make it early."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_TICKET)
    # Who a certificate belongs to is told by its fingerprint alone. A wrong one ends the handshake with an alert
    # (RFC 8122 section 6.2), so that the peer does not believe itself connected.
    context.set_verify(
        SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
        lambda ssl, found, _error, depth, _ok: (
            depth > 0 or _matches(found.to_cryptography(), ssl.get_app_data())
        ),
    )
    context.use_certificate(certificate._cert)
    context.use_privatekey(certificate._key)
    context.set_cipher_list(CIPHERS)
    context.set_tlsext_use_srtp(b":".join(p.openssl_name for p in PROFILES))
    return context


class DtlsTransport:
    """One association in a make_context(). `fingerprints`: those of the peer's description, (algorithm, value)."""

    def __init__(
        self, context: SSL.Context, *, client: bool, fingerprints: Collection[tuple[str, str]]
    ) -> None:
        self._fingerprints = frozenset((a.lower(), v.upper()) for a, v in fingerprints)
        self._ssl = SSL.Connection(context, None)
        self._ssl.set_app_data(self._fingerprints)
        self._ssl.set_ciphertext_mtu(MTU)
        self._client = client
        if client:
            self._ssl.set_connect_state()
        else:
            self._ssl.set_accept_state()
        self._outgoing: deque[bytes] = deque()
        self._events: deque[DtlsEvent] = deque()
        self._flight: list[bytes] = []
        self._repeat_at: float | None = None
        self._resend_at: float | None = None
        self._sent_at = 0.0
        self._have_keys = False
        self._resend_after = FIRST_RESEND
        self._started: float | None = None
        self._last_answered = -1.0
        self.connected = False
        self.closed = False
        self.round_trip_time: float | None = None

    def start(self, now: float) -> None:
        """Begin: the client's first flight is in datagrams_to_send()."""
        if self._started is None:
            self._started = now
            self._handshake(now)

    def set_round_trip_time(self, seconds: float) -> None:
        """What ICE measured: a lost flight is then sent again after twice that."""
        self.round_trip_time = seconds
        if not self.connected:
            self._resend_after = min(MAX_RESEND, max(MIN_RESEND, 2 * seconds))
            if self._resend_at is not None:
                self._resend_at = self._sent_at + self._resend_after

    def resend(self) -> None:
        """Send the last flight again now: it could not be sent when it was made."""
        if not self.closed and not self.connected:
            self._outgoing.extend(self._flight)

    def receive_datagram(self, data: bytes, now: float) -> None:
        """Any bytes that demux took for DTLS."""
        if self.closed:
            return
        self._ssl.bio_write(data)
        if not self.connected:
            self._handshake(now)
            return
        repeats = data[0] in (HANDSHAKE, CHANGE_CIPHER_SPEC) and not self._client
        if repeats and now - self._last_answered >= MIN_RESEND:
            # The client repeats its flight, so our last one was lost (RFC 6347 section 4.2.4: only who sends the last
            # flight answers, or both ends would answer each other for ever).
            self._last_answered = now
            self._outgoing.extend(self._flight)
        self._read()
        self._flush()

    def datagrams_to_send(self, now: float) -> list[bytes]:
        out = list(self._outgoing)
        self._outgoing.clear()
        return out

    def get_timer(self) -> float | None:
        if self.closed:
            return None
        return min((t for t in (self._repeat_at, self._resend_at) if t is not None), default=None)

    def handle_timer(self, now: float) -> None:
        if self.closed:
            return
        if self._repeat_at is not None and now >= self._repeat_at:
            self._repeat_at = None
            self._outgoing.extend(self._flight)
        if self._resend_at is None or now < self._resend_at:
            return
        try:
            if self._ssl.DTLSv1_get_timeout() == 0 and self._ssl.DTLSv1_handle_timeout():
                self._collect_flight()
        except SSL.Error:  # OpenSSL gives up after 12 timeouts of its own
            self._fail("DTLS handshake failed: the peer does not answer")
            return
        self._outgoing.extend(self._flight)
        self._sent_at, self._repeat_at = now, now + REPEAT_AFTER
        self._resend_after = min(MAX_RESEND, self._resend_after * RESEND_BACKOFF)
        self._resend_at = now + self._resend_after

    def next_event(self) -> DtlsEvent | None:
        return self._events.popleft() if self._events else None

    def send_data(self, data: bytes) -> None:
        """Application data. Raises ConnectionError before the association stands and after it ended."""
        if not self.connected or self.closed:
            raise ConnectionError("DTLS is not connected")
        self._ssl.send(data)
        self._flush()

    def close(self) -> None:
        """Send close_notify; it is in datagrams_to_send()."""
        if self.closed:
            return
        if self.connected:
            try:
                self._ssl.shutdown()
            except SSL.Error:
                pass
            self._flush()
        self.closed = True

    # -- inside

    def _handshake(self, now: float) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            if self._send_flight(now):
                self._resend_at = now + self._resend_after
                if self._client and self._flight_finishes():
                    self._export_keys()
            return
        except SSL.Error as error:
            self._collect_flight()
            self._outgoing.extend(self._flight)  # the alert
            text = _text(error)
            self._fail(WRONG_FINGERPRINT if text == VERIFY_FAILED else f"DTLS handshake failed: {text}")
            return
        if not self._send_flight(now):
            self._repeat_at = None  # the last flight was the peer's
        self._last_answered = now
        self._export_keys()
        if self.closed:
            return
        self.connected = True
        self._resend_at = None
        self._events.append(DtlsConnected())
        self._read()

    def _export_keys(self) -> None:
        """Once, as soon as there is a master secret and the peer's certificate was seen."""
        if self._have_keys:
            return
        certificate = self._ssl.get_peer_certificate(as_cryptography=True)
        if certificate is None or not _matches(certificate, self._fingerprints):
            self._fail(WRONG_FINGERPRINT)
            return
        name = self._ssl.get_selected_srtp_profile()
        profile = next((p for p in PROFILES if p.openssl_name == name), None)
        if profile is None:
            self._fail("no common SRTP protection profile")
            return
        key, salt = profile.key_length, profile.salt_length
        material = self._ssl.export_keying_material(EXPORTER_LABEL, 2 * (key + salt))
        client = material[:key] + material[2 * key : 2 * key + salt]
        server = material[key : 2 * key] + material[2 * key + salt :]
        keys = SrtpKeys(profile, client, server) if self._client else SrtpKeys(profile, server, client)
        self._have_keys = True
        self._events.append(DtlsKeys(keys))

    def _read(self) -> None:
        while True:
            try:
                data = self._ssl.recv(MAX_DATA)
            except SSL.ZeroReturnError:
                self.closed = True
                self._events.append(DtlsClosed())
                return
            except SSL.WantReadError:
                return
            except (
                SSL.Error
            ):  # a record that is not ours: DTLS drops it and goes on (RFC 6347 section 4.1.2.7)
                return
            self._events.append(DtlsData(data))

    def _fail(self, reason: str) -> None:
        self.closed = True
        self._resend_at = None
        self._events.append(DtlsFailed(reason))

    def _flush(self) -> None:
        self._outgoing.extend(self._drain())

    def _send_flight(self, now: float) -> bool:
        """What OpenSSL has written is the new flight, if it has."""
        if not self._collect_flight():
            return False
        self._outgoing.extend(self._flight)
        self._sent_at, self._repeat_at = now, now + REPEAT_AFTER
        return True

    def _flight_finishes(self) -> bool:
        """Whether the last flight changes the cipher: OpenSSL has verified the peer before it writes that."""
        return any(r[0] == CHANGE_CIPHER_SPEC for d in self._flight for r in _records(d))

    def _collect_flight(self) -> bool:
        flight = self._drain()
        if flight:
            self._flight = flight
        return bool(flight)

    def _drain(self) -> list[bytes]:
        """What OpenSSL wrote into the BIO, cut into datagrams at record boundaries."""
        chunks = []
        while True:
            try:
                chunks.append(self._ssl.bio_read(MAX_DATA))
            except SSL.Error:
                break
        return split_records(b"".join(chunks), MTU)


def _matches(certificate: x509.Certificate, fingerprints: Collection[tuple[str, str]]) -> bool:
    claimed = [(a, v) for a, v in fingerprints if a in DIGESTS]
    return any(certificate_digest(certificate, a).upper() == v for a, v in claimed)


def begins_association(data: bytes) -> bool:
    """Whether a datagram is a ClientHello of a new association (RFC 6347 section 4.2.8): a handshake in epoch 0."""
    return len(data) > RECORD_HEADER and data[0] == HANDSHAKE and is_plain(data) and data[RECORD_HEADER] == 1


def is_plain(data: bytes) -> bool:
    """Whether it is of an association that has no keys yet."""
    return data[3:5] == b"\0\0"


def split_records(data: bytes, mtu: int) -> list[bytes]:
    """DTLS records gathered into datagrams of at most `mtu` bytes; a memory BIO keeps no datagram boundaries."""
    datagrams: list[bytes] = []
    current = b""
    for record in _records(data):
        if current and len(current) + len(record) > mtu:
            datagrams.append(current)
            current = b""
        current += record
    if current:
        datagrams.append(current)
    return datagrams


def _records(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position + 11 : position + 13], "big")
        end = position + RECORD_HEADER + length
        if not CHANGE_CIPHER_SPEC <= data[position] <= APPLICATION_DATA + 3:
            end = len(data)  # DTLS 1.3's short header: keep as is
        yield data[position:end]
        position = end


def _text(error: SSL.Error) -> str:
    """OpenSSL's own words for the first error of its stack."""
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][0][-1])
    return type(error).__name__
