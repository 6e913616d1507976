"""ICE over the loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from media.errors import SdpError
from media.io import ice, ice_paths
from media.io.ice import IceTransport
from media.io.ice_settings import IceSettings
from media.io.ice_syntax import IceServer

# -- two ends


class End:
    """A transport and what it told."""

    def __init__(self, *, controlling: bool, servers: tuple[IceServer, ...] = ()) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.states: asyncio.Queue[str] = asyncio.Queue()  # but checking
        self.candidates: list[str] = []
        self.errors: list[tuple[str, str]] = []
        self.settings = IceSettings(servers, ["127.0.0.1"])
        self.transport = IceTransport(
            controlling=controlling,
            on_datagram=lambda data, _: self.received.put_nowait(data),
            on_state=self._told,
            on_candidate=self.candidates.append,
            on_error=lambda url, why: self.errors.append((url, why)),
            settings=self.settings,
        )

        self.checking = False

    def _told(self, state: str) -> None:
        if state == "checking":
            assert not self.checking, "told once"
            self.checking = True
        else:
            self.states.put_nowait(state)

    async def state(self) -> str:
        return await asyncio.wait_for(self.states.get(), 5)


Pair = tuple[End, End]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ends = End(controlling=True), End(controlling=False)
    yield ends
    for end in ends:
        await asyncio.wait_for(end.transport.close(), 5)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [t for t in left if "ice" in repr(t)], left


async def join(pair: Pair, *, candidates_first: bool = False) -> None:
    lines = [await end.transport.gather() for end in pair]
    for end, other, line in ((pair[0], pair[1], lines[1]), (pair[1], pair[0], lines[0])):
        if candidates_first:
            for each in line:
                await end.transport.add_candidate(each)
        end.transport.connect(other.transport.local_ufrag, other.transport.local_pwd, lite=False)
        if not candidates_first:
            for each in line:
                await end.transport.add_candidate(each)


@pytest.mark.parametrize("candidates_first", [False, True])
async def test_they_connect_and_datagrams_pass(pair: Pair, candidates_first: bool) -> None:
    await join(pair, candidates_first=candidates_first)
    for end in pair:
        assert await end.state() == "connected"
        assert end.transport.state == "connected"
        rtt = end.transport.round_trip_time
        assert rtt is not None and 0 < rtt < 1
        selected = end.transport.selected_pair()
        assert selected is not None and selected[0] == "host" and selected[1].startswith("127.0.0.1:")
    for end, other in (pair, pair[::-1]):
        assert end.transport.send(b"\x80 a datagram")
        assert await asyncio.wait_for(other.received.get(), 2) == b"\x80 a datagram"


async def test_one_candidate_is_enough(pair: Pair) -> None:
    """The other end learns ours from the checks (peer reflexive)."""
    offered, _ = [await end.transport.gather() for end in pair]
    for end, other in (pair, pair[::-1]):
        end.transport.connect(other.transport.local_ufrag, other.transport.local_pwd, lite=False)
    for line in offered:
        await pair[1].transport.add_candidate(line)
    assert [await end.state() for end in pair] == ["connected", "connected"]
    assert pair[0].checking and pair[1].checking
    selected = pair[0].transport.selected_pair()
    assert selected is not None and selected[2] == "prflx"


async def test_a_wrong_password_does_not_connect(pair: Pair) -> None:
    lines = [await end.transport.gather() for end in pair]
    for end, other, line in ((pair[0], pair[1], lines[1]), (pair[1], pair[0], lines[0])):
        end.transport.connect(other.transport.local_ufrag, "x" * 24, lite=False)
        for each in line:
            await end.transport.add_candidate(each)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pair[0].states.get(), 0.15)


async def test_before_it_is_connected_nothing_is_sent(pair: Pair) -> None:
    assert pair[0].transport.send(b"x") is False
    await pair[0].transport.gather()
    assert pair[0].transport.send(b"x") is False
    assert pair[0].transport.selected_pair() is None


async def test_an_address_that_never_answered_gets_three_datagrams(pair: Pair) -> None:
    transport = pair[0].transport
    await transport.gather()
    assert transport.send_unproven(b"\x16 hello") is False, "nobody is named yet"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.setblocking(False)
        transport.connect("abcd", "x" * 22, lite=False)
        await transport.add_candidate(f"candidate:1 1 udp 1 127.0.0.1 {silent.getsockname()[1]} typ host")
        assert [transport.send_unproven(b"\x16 hello") for _ in range(10)] == [True] * 3 + [False] * 7
        assert transport.send(b"\x80 media") is False
        got = [silent.recv(100) for _ in range(3)]
    assert got == [b"\x16 hello"] * 3


async def test_a_handshake_is_taken_from_the_peer_only(pair: Pair) -> None:
    await join(pair)
    assert [await end.state() for end in pair] == ["connected", "connected"]
    selected = pair[0].transport.selected_pair()
    assert selected is not None
    port = int(selected[1].rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\x16 a stranger's", ("127.0.0.1", port))
        stranger.sendto(b"\x80 media is authentic or not by itself", ("127.0.0.1", port))
    assert (await asyncio.wait_for(pair[0].received.get(), 2))[0] == 0x80
    pair[1].transport.send(b"\x16 the peer's")
    assert await asyncio.wait_for(pair[0].received.get(), 2) == b"\x16 the peer's"


async def test_what_was_found_early_is_told_once(pair: Pair) -> None:
    transport = pair[0].transport
    transport.prepare()
    transport.prepare()
    lines = await transport.gather()
    assert len(lines) == 1 and await transport.gather() == lines
    assert pair[0].candidates == []


async def test_servers_that_are_told_after_the_preparation_are_asked(pair: Pair) -> None:
    transport = pair[0].transport
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        transport.prepare()
        pair[0].settings.servers = [IceServer((f"stun:127.0.0.1:{server.getsockname()[1]}",))]
        await transport.gather()
        await transport.gather()
        async with asyncio.timeout(2):
            data = await asyncio.get_running_loop().sock_recv(server, 1000)
        assert data[:2] == b"\x00\x01", "a Binding request"
        with pytest.raises(BlockingIOError):
            server.recv(1000)


async def test_no_more_than_64_candidates_of_a_peer(pair: Pair) -> None:
    await pair[0].transport.gather()
    for n in range(100):
        await pair[0].transport.add_candidate(f"candidate:{n} 1 udp 1 127.0.0.1 {20000 + n} typ host")
    assert len(pair[0].transport._connection.remote_candidates) == ice.MAX_REMOTE_CANDIDATES


async def test_a_bad_candidate_changes_nothing(pair: Pair) -> None:
    await join(pair)
    with pytest.raises(SdpError):
        await pair[0].transport.add_candidate("candidate:nonsense")
    assert await pair[0].state() == "connected"


async def test_datagrams_of_any_bytes(pair: Pair) -> None:
    await join(pair)
    assert [await end.state() for end in pair] == ["connected", "connected"]
    junk = [
        b"",
        b"\0",
        b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12),  # a STUN request without attributes
        b"\0\1\0\4\x21\x12\xa4\x42" + bytes(12) + b"\0\6\0\xff",
        b"\1\1\0\0\x21\x12\xa4\x42" + bytes(12),
        bytes(2000),
        b"\x01" * 60000,
    ]
    for data in junk:
        pair[0].transport.send(data)
    pair[0].transport.send(b"\x80 the last")
    while await asyncio.wait_for(pair[1].received.get(), 2) != b"\x80 the last":
        pass
    assert pair[1].transport.state == "connected"


async def test_a_peer_that_vanishes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "DISCONNECTED_AFTER", 0.1)
    monkeypatch.setattr(ice, "CONSENT_EXPIRY", 0.3)
    monkeypatch.setattr(ice, "WATCH_INTERVAL", 0.05)
    await join(pair)
    assert [await end.state() for end in pair] == ["connected", "connected"]
    await pair[1].transport.close()
    assert await pair[0].state() == "disconnected"
    assert await pair[0].state() == "failed"


async def test_a_peer_that_comes_back(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "DISCONNECTED_AFTER", 0.15)
    monkeypatch.setattr(ice, "WATCH_INTERVAL", 0.05)
    await join(pair)
    assert [await end.state() for end in pair] == ["connected", "connected"]
    assert await pair[0].state() == "disconnected", "nothing was sent"
    pair[1].transport.send(b"\x80 here again")
    assert await pair[0].state() == "connected"


async def test_consent_keeps_a_silent_connection_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_paths, "CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr(ice, "DISCONNECTED_AFTER", 0.35)
    monkeypatch.setattr(ice, "WATCH_INTERVAL", 0.02)
    await join(pair)
    assert [await end.state() for end in pair] == ["connected", "connected"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pair[0].states.get(), 0.5)


Stage = Callable[[Pair], Awaitable[object]]


async def _nothing(pair: Pair) -> None:
    pass


async def _gathered(pair: Pair) -> None:
    await pair[0].transport.gather()


async def _checking(pair: Pair) -> None:
    await pair[0].transport.gather()
    pair[0].transport.connect("abcd", "x" * 22, lite=False)
    await pair[0].transport.add_candidate("candidate:1 1 udp 1 127.0.0.1 9 typ host")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pair[0].states.get(), 0.1)


async def _gathering(pair: Pair) -> None:
    gathering = asyncio.ensure_future(pair[0].transport.gather())
    await asyncio.sleep(0)
    await pair[0].transport.close()
    await asyncio.wait([gathering], timeout=2)
    assert gathering.done()
    gathering.exception()


@pytest.mark.parametrize("stage", [_nothing, _gathered, _checking, _gathering, join])
async def test_close_at_any_stage(pair: Pair, stage: Stage, socket_count: Callable[[], int]) -> None:
    before = socket_count()
    await stage(pair)
    for end in pair:
        await asyncio.wait_for(end.transport.close(), 2)
        await end.transport.close()
        assert end.transport.state == "closed"
        assert end.transport.send(b"x") is False
    for _ in range(3):
        await asyncio.sleep(0)  # asyncio closes sockets in the loop's next turn
    assert socket_count() == before


async def test_a_stun_server_that_does_not_answer_holds_nothing_up() -> None:
    end = End(controlling=True, servers=(IceServer(("stun:127.0.0.1:9", "nonsense:", "stuns:x")),))
    lines = await asyncio.wait_for(end.transport.gather(), 2)
    assert len(lines) == 1
    assert end.errors == [(url, "this URL is not understood") for url in ("nonsense:", "stuns:x")]
    await asyncio.wait_for(end.transport.close(), 2)


async def test_an_address_that_cannot_be_bound_is_left_out() -> None:
    end = End(controlling=True)
    end.settings.addresses = ["192.0.2.1", "127.0.0.1"]
    assert len(await end.transport.gather()) == 1
    await end.transport.close()
