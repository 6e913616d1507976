"""DTLS (RFC 6347) and its SRTP keys (RFC 5764), in virtual time over a pipe that loses datagrams."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random

import pytest
from aiortc.rtcdtlstransport import RTCCertificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from media.transport.dtls import (
    FIRST_RESEND,
    MAX_RESEND,
    MTU,
    REPEAT_AFTER,
    RESEND_BACKOFF,
    DtlsClosed,
    DtlsConnected,
    DtlsData,
    DtlsEvent,
    DtlsFailed,
    DtlsKeys,
    DtlsTransport,
    fingerprint,
    make_context,
    split_records,
)
from media.transport.srtp import PROFILES

Certificates = tuple[RTCCertificate, RTCCertificate, RTCCertificate]


def prints(certificate: RTCCertificate) -> list[tuple[str, str]]:
    return [("sha-256", fingerprint(certificate))]


class Pipe:
    """Two transports and the path between them."""

    def __init__(
        self,
        certificates: Certificates,
        *,
        delay: float = 0.02,
        lost: Callable[[], bool] = lambda: False,
        client_expects: list[tuple[str, str]] | None = None,
        server_expects: list[tuple[str, str]] | None = None,
    ) -> None:
        a, b, _ = certificates
        self.ends = (
            DtlsTransport(
                make_context(a),
                client=True,
                fingerprints=prints(b) if client_expects is None else client_expects,
            ),
            DtlsTransport(
                make_context(b),
                client=False,
                fingerprints=prints(a) if server_expects is None else server_expects,
            ),
        )
        self.client, self.server = self.ends
        self.delay, self.lost = delay, lost
        self.now = 0.0
        self.sent: list[tuple[float, int, bytes]] = []
        self.events: tuple[list[DtlsEvent], list[DtlsEvent]] = ([], [])
        self._flying: list[tuple[float, int, int, bytes]] = []

    def start(self) -> "Pipe":
        for end in self.ends:
            end.start(self.now)
        return self

    def inject(self, to: int, data: bytes) -> None:
        self.ends[to].receive_datagram(data, self.now)
        self._drain()

    def _drain(self) -> None:
        for index, end in enumerate(self.ends):
            for data in end.datagrams_to_send(self.now):
                assert 0 < len(data) <= MTU
                self.sent.append((self.now, index, data))
                if not self.lost():
                    heapq.heappush(self._flying, (self.now + self.delay, len(self.sent), 1 - index, data))
            while (event := end.next_event()) is not None:
                self.events[index].append(event)

    def run(self, until: float) -> None:
        """To virtual time `until`, or until nothing is left to happen."""
        self._drain()
        while True:
            timers = [t for end in self.ends if (t := end.get_timer()) is not None]
            due = min([f[0] for f in self._flying[:1]] + timers, default=None)
            if due is None or due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, to, data = heapq.heappop(self._flying)
                self.ends[to].receive_datagram(data, self.now)
                self._drain()
            for end in self.ends:
                end.handle_timer(self.now)
            self._drain()

    def keys(self) -> tuple[DtlsKeys, DtlsKeys]:
        first, second = (next(e for e in events if isinstance(e, DtlsKeys)) for events in self.events)
        return first, second


def test_a_handshake_takes_two_round_trips(certificates: Certificates) -> None:
    pipe = Pipe(certificates, delay=0.02).start()
    pipe.run(0.0801)
    assert pipe.client.connected and pipe.server.connected
    client, server = pipe.keys()
    assert client.keys == server.keys.swapped()
    assert client.keys.local != client.keys.remote
    assert client.keys.profile is PROFILES[0]
    assert len(client.keys.local) == 16 + 12
    assert [e.get_timer() for e in pipe.ends] == [None, None]


def test_each_association_has_keys_of_its_own(certificates: Certificates) -> None:
    found = set()
    for _ in range(2):
        pipe = Pipe(certificates).start()
        pipe.run(1)
        found.add(pipe.keys()[0].keys.local)
    assert len(found) == 2


def test_the_fingerprint_is_the_certificate_s(certificates: Certificates) -> None:
    der = certificates[0]._cert.public_bytes(Encoding.DER)
    assert fingerprint(certificates[0]).replace(":", "") == sha256(der).hexdigest().upper()


KEYS = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "RSA, long": lambda: rsa.generate_private_key(65537, 3072),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
}


@pytest.mark.parametrize("peer_is_client", [True, False])
@pytest.mark.parametrize(
    ("kind", "signature", "days"),
    [
        ("RSA", hashes.SHA256(), 1),  # GStreamer, FreeSWITCH, Kurento, ZLMediaKit
        ("RSA", hashes.SHA256(), -1),  # expired: the fingerprint alone counts
        ("RSA, long", hashes.SHA512(), 1),
        ("P-384", hashes.SHA384(), 1),
    ],
)
def test_a_peer_with_another_kind_of_certificate(
    certificates: Certificates, kind: str, signature: hashes.HashAlgorithm, days: int, peer_is_client: bool
) -> None:
    key, name = KEYS[kind](), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(datetime.now(UTC) - timedelta(9))
    certificate = builder.not_valid_after(datetime.now(UTC) + timedelta(days)).sign(key, signature)
    peer, ours = RTCCertificate(key, certificate), certificates[0]
    pipe = Pipe((peer, ours, ours) if peer_is_client else (ours, peer, ours)).start()
    pipe.run(1)
    assert pipe.client.connected and pipe.server.connected
    client, server = pipe.keys()
    assert client.keys == server.keys.swapped()


@pytest.mark.parametrize("percent", [5, 10, 20, 30, 40])
@pytest.mark.parametrize("seed", range(3))
def test_it_completes_over_a_path_that_loses_datagrams(
    certificates: Certificates, percent: int, seed: int
) -> None:
    rng = Random(f"{percent} {seed}")
    pipe = Pipe(certificates, delay=0.05, lost=lambda: rng.random() * 100 < percent).start()
    pipe.client.set_round_trip_time(0.1)
    pipe.server.set_round_trip_time(0.1)
    pipe.run(30.0)
    assert pipe.client.connected and pipe.server.connected
    client, server = pipe.keys()
    assert client.keys == server.keys.swapped()


@pytest.mark.parametrize("dropped", range(8))
def test_one_lost_datagram_costs_little(certificates: Certificates, dropped: int) -> None:
    """OpenSSL alone would wait for a second."""
    count = iter(range(10000))
    pipe = Pipe(certificates, delay=0.02, lost=lambda: next(count) == dropped).start()
    for end in pipe.ends:
        end.set_round_trip_time(0.04)
    pipe.run(0.08 + 0.25)
    assert pipe.client.connected and pipe.server.connected


def test_the_resends_of_the_first_flight(certificates: Certificates) -> None:
    pipe = Pipe(certificates, lost=lambda: True).start()
    pipe.run(4.0)
    times = sorted({at for at, index, _ in pipe.sent if index == 0})
    at, after = 0.0, FIRST_RESEND
    expected = []
    while at <= 4.0:
        expected += [at, at + REPEAT_AFTER]
        at, after = at + after, min(MAX_RESEND, after * RESEND_BACKOFF)
    assert times == pytest.approx(expected)
    assert not [s for s in pipe.sent if s[1] == 1], "a server does not speak first"


def test_the_round_trip_time_sets_the_first_resend(certificates: Certificates) -> None:
    for rtt, after in ((0.001, 0.05), (0.2, 0.4), (3.0, MAX_RESEND)):
        pipe = Pipe(certificates, lost=lambda: True)
        pipe.client.set_round_trip_time(rtt)
        pipe.start()
        pipe.run(REPEAT_AFTER)
        assert pipe.client.get_timer() == pytest.approx(after)


def test_a_round_trip_time_that_comes_later_moves_the_resend(certificates: Certificates) -> None:
    pipe = Pipe(certificates, lost=lambda: True).start()
    pipe.run(0.06)
    assert pipe.client.get_timer() == FIRST_RESEND
    pipe.client.set_round_trip_time(0.035)
    assert pipe.client.get_timer() == 0.07
    pipe.client.set_round_trip_time(0.3)
    assert pipe.client.get_timer() == 0.6, "nor is the path loaded before an answer could be here"


def test_every_flight_is_sent_twice(certificates: Certificates) -> None:
    pipe = Pipe(certificates, delay=0.1)
    pipe.client.set_round_trip_time(0.2)
    pipe.server.set_round_trip_time(0.2)
    pipe.start()
    pipe.run(5.0)
    times = {0: [t for t, i, _ in pipe.sent if i == 0], 1: [t for t, i, _ in pipe.sent if i == 1]}
    assert times[0] == pytest.approx([0, 0.01, 0.2, 0.21])
    assert times[1] == pytest.approx([0.1, 0.11, 0.3, 0.31])


def test_the_peers_next_flight_spares_the_second_copy(certificates: Certificates) -> None:
    pipe = Pipe(certificates, delay=0.002).start()
    pipe.run(5.0)
    assert len(pipe.sent) == 5, "four flights, and the copy of the one that nobody answers"


def test_the_client_has_the_keys_before_the_server_has_answered(certificates: Certificates) -> None:
    pipe = Pipe(certificates, delay=0.02).start()
    pipe.run(0.0401)
    assert [type(e) for e in pipe.events[0]] == [DtlsKeys] and not pipe.events[1]
    with pytest.raises(ConnectionError):
        pipe.client.send_data(b"not before the server's Finished was verified")
    pipe.run(0.0601)
    assert [type(e) for e in pipe.events[1]] == [DtlsKeys, DtlsConnected]
    pipe.run(0.0801)
    assert [type(e) for e in pipe.events[0]] == [DtlsKeys, DtlsConnected]
    client, server = pipe.keys()
    assert client.keys == server.keys.swapped()


def test_connected_ends_do_not_answer_each_other_for_ever(certificates: Certificates) -> None:
    pipe = Pipe(certificates, delay=0.1).start()
    pipe.run(1.0)
    sent = len(pipe.sent)
    for to in (0, 1):  # the other end's last flight once more
        pipe.inject(to, [d for _, i, d in pipe.sent if i == 1 - to][-1])
    pipe.run(10.0)
    assert len(pipe.sent) == sent + 1, "who sends the last flight answers, and only once"


def test_everything_twice(certificates: Certificates) -> None:
    pipe = Pipe(certificates)
    for end in pipe.ends:
        original = end.receive_datagram

        def twice(data: bytes, now: float, original: Callable[[bytes, float], None] = original) -> None:
            original(data, now)
            original(data, now)

        end.receive_datagram = twice  # type: ignore[method-assign]
    pipe.start()
    pipe.run(2.0)
    assert pipe.client.connected and pipe.server.connected
    assert [[type(e) for e in events] for events in pipe.events] == [[DtlsKeys, DtlsConnected]] * 2


@pytest.mark.parametrize("whose", ["client", "server"])
@pytest.mark.parametrize("what", ["other", "none", "sha-1"])
def test_a_wrong_fingerprint_is_refused(certificates: Certificates, whose: str, what: str) -> None:
    right = certificates[1 if whose == "client" else 0]
    expected = {
        "other": prints(certificates[2]),
        "none": [],
        # what cannot be checked does not count, be it true
        "sha-1": [(f.algorithm, f.value) for f in right.getFingerprints() if f.algorithm == "sha-1"],
    }[what]
    pipe = Pipe(certificates, **{f"{whose}_expects": expected}).start()  # type: ignore[arg-type]
    pipe.run(2.0)
    index = 0 if whose == "client" else 1
    (event,) = pipe.events[index]
    assert isinstance(event, DtlsFailed) and "fingerprint" in event.reason
    assert not pipe.ends[index].connected and pipe.ends[index].closed
    assert not any(isinstance(e, DtlsConnected) for e in pipe.events[index])
    # the other end is told, and never believes itself connected when it is the server
    *keys, other = pipe.events[1 - index]
    assert not keys or (whose == "server" and isinstance(keys[0], DtlsKeys) and len(keys) == 1)
    assert isinstance(other, DtlsFailed) and "alert" in other.reason


def test_one_true_fingerprint_among_others_is_enough(certificates: Certificates) -> None:
    _, b, c = certificates
    expected = [*prints(c), ("SHA-256", fingerprint(b).lower()), ("md5", "AB")]
    pipe = Pipe(certificates, client_expects=expected).start()
    pipe.run(1.0)
    assert pipe.client.connected


def test_application_data(certificates: Certificates) -> None:
    pipe = Pipe(certificates).start()
    with pytest.raises(ConnectionError):
        pipe.client.send_data(b"too early")
    pipe.run(1.0)
    pipe.client.send_data(b"ping")
    pipe.server.send_data(b"pong")
    pipe.run(2.0)
    assert pipe.events[0][-1] == DtlsData(b"pong")
    assert pipe.events[1][-1] == DtlsData(b"ping")


def test_close_is_told_to_the_peer(certificates: Certificates) -> None:
    pipe = Pipe(certificates).start()
    pipe.run(1.0)
    pipe.client.close()
    pipe.client.close()
    pipe.run(2.0)
    assert pipe.events[1][-1] == DtlsClosed()
    assert pipe.server.closed
    with pytest.raises(ConnectionError):
        pipe.client.send_data(b"too late")
    with pytest.raises(ConnectionError):
        pipe.server.send_data(b"too late")


def test_close_before_the_handshake(certificates: Certificates) -> None:
    pipe = Pipe(certificates)
    pipe.client.close()
    pipe.start()
    pipe.client.receive_datagram(b"\x16" * 50, 0.0)
    assert pipe.client.get_timer() is None
    assert pipe.client.next_event() is None


JUNK = st.binary(min_size=2, max_size=120) | st.tuples(
    st.sampled_from((20, 21, 22, 23, 25, 63)),
    st.sampled_from((b"\xfe\xff", b"\xfe\xfd")),
    st.binary(max_size=80),
).map(lambda t: bytes((t[0],)) + t[1] + t[2])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.lists(JUNK, max_size=5), to=st.sampled_from((0, 1)), after=st.floats(0, 0.1))
def test_any_bytes_at_any_time_raise_nothing(
    certificates: Certificates, junk: list[bytes], to: int, after: float
) -> None:
    pipe = Pipe(certificates).start()
    pipe.run(after)
    for data in junk:
        pipe.inject(to, data)
    pipe.run(5.0)
    for events in pipe.events:
        assert len(events) <= 2


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.lists(JUNK, min_size=1, max_size=5))
def test_an_established_association_is_not_hurt_by_junk(
    certificates: Certificates, junk: list[bytes]
) -> None:
    pipe = Pipe(certificates).start()
    pipe.run(1.0)
    for data in junk:
        pipe.inject(0, data)
        pipe.inject(1, data)
    pipe.client.send_data(b"still here")
    pipe.run(2.0)
    assert pipe.events[1][-1] == DtlsData(b"still here")


def test_a_lost_last_flight_is_answered_when_the_peer_repeats_its_own(certificates: Certificates) -> None:
    pipe = Pipe(certificates)
    pipe.lost = lambda: pipe.server.connected and pipe.now < 0.5
    pipe.start()
    pipe.run(0.4)
    assert pipe.server.connected and not pipe.client.connected
    pipe.run(2.0)
    assert pipe.client.connected


# -- records in datagrams


def record(size: int, kind: int = 22) -> bytes:
    return bytes((kind, 0xFE, 0xFD)) + bytes(8) + size.to_bytes(2, "big") + bytes(size)


def test_records_are_gathered_up_to_the_mtu() -> None:
    records = [record(100), record(200), record(900), record(1500), record(1, 20)]
    assert split_records(b"".join(records), 1200) == [
        records[0] + records[1],
        records[2],
        records[3],
        records[4],
    ]
    assert split_records(b"", 1200) == []


@given(st.lists(st.integers(0, 700), max_size=10), st.binary(max_size=30))
def test_no_byte_is_lost_or_added(sizes: list[int], rest: bytes) -> None:
    data = b"".join(record(size) for size in sizes) + rest
    datagrams = split_records(data, 1200)
    assert b"".join(datagrams) == data
    assert all(datagrams)


def test_openssl_s_own_end_of_patience_is_a_failure(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 12 timeouts of its own, minutes of real time, OpenSSL raises."""

    class Impatient:
        def __init__(self, connection: SSL.Connection) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> object:
            return getattr(self._connection, name)

        def DTLSv1_get_timeout(self) -> int:
            return 0

        def DTLSv1_handle_timeout(self) -> bool:
            raise SSL.Error([("SSL routines", "", "read timeout expired")])

    pipe = Pipe(certificates, lost=lambda: True).start()
    monkeypatch.setattr(pipe.client, "_ssl", Impatient(pipe.client._ssl))
    pipe.run(1.0)
    (event,) = pipe.events[0]
    assert isinstance(event, DtlsFailed) and "does not answer" in event.reason
    assert pipe.client.get_timer() is None
