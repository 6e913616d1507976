"""What is relied on of aiortc's SCTP (a contract: these fail first when aiortc changes), and any bytes into it."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from struct import pack, pack_into
from typing import Any

import pytest
from aiortc import rtcsctptransport as sctp
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from google_crc32c import value as crc32c
from hypothesis import given
from hypothesis import strategies as st

from media.io.data_channel import MAX_CHANNELS, MAX_MESSAGE, DataChannels
from media.io.sctp import MAX_AHEAD, MAX_STREAMS, PARAMETERS_AT, RECEIVE_WINDOW, Association, Pipe

Transport = sctp.RTCSctpTransport


# -- the contract


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("start", ["remoteCaps", "remotePort"]),
        ("stop", []),
        ("_abort", []),
        ("_handle_data", ["data"]),
        ("_receive_chunk", ["chunk"]),
        ("_receive_data_chunk", ["chunk"]),
        ("_receive_sack_chunk", ["chunk"]),
        ("_send_sack", []),
        ("_transmit", []),
        ("_set_state", ["state"]),
        ("_data_channel_open", ["channel"]),
    ],
)
def test_the_methods_that_are_called_or_replaced(name: str, parameters: list[str]) -> None:
    method = getattr(Transport, name)
    assert list(inspect.signature(method).parameters) == ["self", *parameters]
    assert inspect.iscoroutinefunction(method) == (name not in ("_set_state", "_data_channel_open"))


async def test_the_fields_that_are_read_or_set() -> None:
    transport = Transport(Pipe(lambda _: None))  # type: ignore[arg-type]
    assert transport.state == "new"
    assert transport._advertised_rwnd == RECEIVE_WINDOW
    assert transport._last_received_tsn is None
    assert transport._sack_needed is False
    assert transport._inbound_streams == {}
    assert transport._cwnd > 0
    assert 0 <= transport._last_sacked_tsn < sctp.SCTP_TSN_MODULO == 2**32
    assert len(transport._data_channel_queue) == 0
    assert sctp.LOCAL_MAX_MESSAGE_SIZE == MAX_MESSAGE
    assert {s.name for s in Transport.State} >= {"CLOSED", "ESTABLISHED"}
    for parameter in ("send_open", "parameters", "transport"):
        assert parameter in inspect.signature(RTCDataChannel).parameters


async def test_the_open_message_is_where_it_is_looked_for() -> None:
    transport = Transport(Pipe(lambda _: None))  # type: ignore[arg-type]
    RTCDataChannel(transport, RTCDataChannelParameters(label="ab", protocol="c", maxRetransmits=3))
    _, protocol, data = transport._data_channel_queue[-1]
    assert protocol == sctp.WEBRTC_DCEP
    assert data == pack("!BBHLHH", 3, 1, 0, 3, 2, 1) + b"abc"  # RFC 8832 section 5.1


def test_the_chunks_with_parameters() -> None:
    def at(kind: type[sctp.Chunk]) -> int | None:
        if issubclass(kind, sctp.BaseInitChunk):
            return 20
        return 4 if issubclass(kind, sctp.BaseParamsChunk) else None

    found = {kind.type: at(kind) for kind in sctp.CHUNK_CLASSES if at(kind) is not None}
    assert found == PARAMETERS_AT


async def test_only_these_names_of_the_transport_are_used() -> None:
    """A duck that raises for everything else lives through a whole association."""

    class Strict(Pipe):
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"aiortc's SCTP wants {name} of its transport")

    queue: list[bytes] = []
    strict = Association(Strict(queue.append), lambda: None)
    strict.connect(client=True, port=5000, max_message=0)
    RTCDataChannel(strict, RTCDataChannelParameters(label="x"))
    strict.receive(queue[0])  # its own INIT: a collision
    assert len(queue) == 2
    strict.abort()
    strict.abort()
    await asyncio.sleep(0)


async def test_sctp_that_waits_for_something_is_noticed() -> None:
    class Slow(Pipe):
        async def _send_data(self, data: bytes) -> None:
            await asyncio.sleep(0)

    association = Association(Slow(lambda _: None), lambda: None)
    with pytest.raises(RuntimeError, match="waits"):
        association.connect(client=True, port=5000, max_message=0)
    association._t1_cancel()


# -- a hostile peer: what it sends has the right checksum and tag


class Peer:
    """Builds packets for an association of ours that believes itself connected."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ours = DataChannels(self.sent.append)
        self.channel = self.ours.open("ours")
        self.ours.start(client=True, max_message=MAX_MESSAGE)
        init = sctp.InitChunk()
        init.initiate_tag, init.advertised_rwnd, init.initial_tsn = 7, 2**20, 1000
        init.outbound_streams = init.inbound_streams = 65535
        self.send(init, tag=0)
        ack = next(c for c in self.heard() if isinstance(c, sctp.InitAckChunk))
        self.tag = ack.initiate_tag
        echo = sctp.CookieEchoChunk()
        echo.body = dict(ack.params)[sctp.SCTP_STATE_COOKIE]
        self.send(echo)
        assert self.ours.state == "connected"

    def send(self, chunk: sctp.Chunk | bytes, tag: int | None = None) -> None:
        self.ours.receive(packet(bytes(chunk), self.tag if tag is None else tag))

    def data(self, tsn: int, data: bytes, flags: int = 3, stream: int = 1, protocol: int = 53) -> None:
        body = pack("!LHHL", tsn, stream, 0, protocol) + data
        self.send(pack("!BBH", 0, flags, 4 + len(body)) + body + bytes(-len(body) % 4))

    def heard(self) -> list[sctp.Chunk]:
        return [chunk for data in self.sent for chunk in sctp.parse_packet(data)[3]]

    async def close(self) -> None:
        await self.ours.close()


def packet(chunks: bytes, tag: int) -> bytes:
    data = bytearray(pack("!HHLL", 5000, 5000, tag, 0) + chunks)
    pack_into("<L", data, 8, crc32c(bytes(data)))
    return bytes(data)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Errors in tasks and timers fail the test."""
    errors: list[Any] = []
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
        runner.run(main())
    assert not errors


chunk_bytes = st.builds(
    lambda kind, flags, body, lie: (
        pack("!BBH", kind, flags, max(0, 4 + len(body) + lie) & 0xFFFF) + body + bytes(-len(body) % 4)
    ),
    st.sampled_from([*sctp.CHUNK_TYPES, 255]),
    st.integers(0, 255),
    st.binary(max_size=40)
    | st.builds(
        lambda ahead, stream, seq, protocol, data: pack("!LHHL", 999 + ahead, stream, seq, protocol) + data,
        st.integers(1, 6),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from([0, 50, 50, 51, 53, 56, 57]),
        st.binary(max_size=20)
        | st.sampled_from([b"\2", b"\3" + bytes(11), b"\3\1\0\0\0\0\0\0\0\2\0\0\xff\xfe"]),
    ),
    st.sampled_from([0, 0, 0, 0, -2, 1, 7]),
)


@pytest.mark.long
@given(st.lists(st.lists(chunk_bytes, max_size=4).map(b"".join), max_size=12), st.binary(max_size=100))
def test_any_chunks_and_any_bytes(packets: list[bytes], noise: bytes) -> None:
    async def main() -> None:
        peer = Peer()
        for chunks in packets:
            peer.send(chunks)
        peer.ours.receive(noise)
        await asyncio.sleep(0)
        if peer.ours.state != "closed":
            assert len(peer.ours._channels) <= MAX_CHANNELS
        await peer.close()
        assert peer.ours.state == peer.channel.state == "closed"
        with pytest.raises(Exception, match="closed"):
            await peer.channel.send("x")

    run(main)


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_any_bytes_before_the_peer_is_known(packets: list[bytes]) -> None:
    async def main() -> None:
        ours = DataChannels(lambda _: None)
        for data in packets:
            ours.receive(data)
        ours.start(client=False)
        for data in packets:
            ours.receive(data)
            ours.receive(packet(data, ours._association._local_verification_tag))
        await ours.close()
        assert ours.state == "closed"

    run(main)


@pytest.mark.long
def test_a_message_without_end_ends_the_channels() -> None:
    async def main() -> None:
        peer = Peer()
        taken = 0
        while peer.ours.state == "connected":
            peer.data(1000 + taken, bytes(1160), flags=2 if taken == 0 else 0)
            taken += 1
            assert taken * 1160 <= 3 * RECEIVE_WINDOW
        assert any(isinstance(c, sctp.AbortChunk) for c in peer.heard())
        await peer.close()

    run(main)


def test_pieces_far_ahead_are_not_kept() -> None:
    async def main() -> None:
        peer = Peer()
        for ahead in (MAX_AHEAD + 1, 2**30, 70_000):
            peer.data(999 + ahead, b"x")
        assert not peer.ours._association._sack_misordered
        peer.data(999 + MAX_AHEAD, b"x")
        assert len(peer.ours._association._sack_misordered) == 1
        assert peer.ours.malformed == 0
        await peer.close()

    run(main)


@pytest.mark.long
def test_pieces_with_a_hole_are_bounded_and_the_missing_one_is_taken() -> None:
    async def main() -> None:
        peer = Peer()
        for tsn in range(1001, 1001 + 2000):  # pieces of one message, whose first is missing
            peer.data(tsn, bytes(1160), flags=0)
        association = peer.ours._association
        pieces = association._inbound_streams[1].reassembly
        assert RECEIVE_WINDOW - 1160 < sum(len(c.user_data) for c in pieces) <= RECEIVE_WINDOW + 1160
        last = pieces[-1].tsn
        peer.data(1000, bytes(1160), flags=2)
        assert association._last_received_tsn == last
        peer.data(last + 1, b"the end", flags=1)
        assert not association._inbound_streams[1].reassembly
        assert association._advertised_rwnd == RECEIVE_WINDOW
        await peer.close()

    run(main)


def test_streams_and_empty_chunks() -> None:
    async def main() -> None:
        peer = Peer()
        tsn = 1000
        while peer.ours.state == "connected":
            peer.data(tsn, b"x", flags=2, stream=tsn % 65536)
            tsn += 1
            assert tsn - 1000 <= MAX_STREAMS + 1
        await peer.close()
        peer = Peer()
        peer.data(1000, b"")
        assert peer.ours.state == "closed"
        await peer.close()

    run(main)


def test_a_sack_of_everything_costs_nothing() -> None:
    async def main() -> None:
        peer = Peer()
        sack = (
            pack("!LLHH", peer.ours._association._last_sacked_tsn, 0, 3000, 0) + pack("!HH", 1, 65535) * 3000
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        peer.send(pack("!BBH", 3, 0, 4 + len(sack)) + sack)
        assert loop.time() - began < 1.0  # 196 million steps without the bound
        assert peer.ours.state == "connected"
        await peer.close()

    run(main)


@pytest.mark.parametrize("kind", PARAMETERS_AT)
@pytest.mark.parametrize("length", [0, 3])
def test_a_parameter_without_length_is_refused(kind: int, length: int) -> None:
    """aiortc 1.16 alone takes all memory for it."""

    async def main() -> None:
        peer = Peer()
        body = bytes(PARAMETERS_AT[kind] - 4) + pack("!HHHH", 5, 8, 0, 0) + pack("!HH", 5, length) + bytes(8)
        peer.send(pack("!BBH", kind, 0, 4 + len(body)) + body)
        assert peer.ours.malformed == 1
        await peer.close()

    run(main)


def test_a_peer_that_ends_and_begins_anew_stays_ended() -> None:
    async def main() -> None:
        peer = Peer()
        peer.send(sctp.AbortChunk())
        assert peer.ours.state == peer.channel.state == "closed"
        sent = len(peer.sent)
        init = sctp.InitChunk()
        init.initiate_tag = 9
        peer.send(init, tag=0)
        await asyncio.sleep(0)
        assert (peer.ours.state, len(peer.sent)) == ("closed", sent)
        await peer.close()

    run(main)
