"""Paths that die in the middle of a call: NATs that change their minds, networks that go one way. In virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aioice.candidate import candidate_priority

from media import Discard, PeerConnection, Tone
from media.io.ice import CONNECT_TIMEOUT, CONSENT_EXPIRY, IceTransport
from media.io.ice_connection import MAX_REFLEXIVE
from media.io.ice_settings import IceSettings

Address = tuple[str, int]
RunVirtually = Callable[[Coroutine[Any, Any, Any]], Any]
FOLLOWED = 4.5  # seconds; libwebrtc takes 4


class Nat:
    """A NAT with one end inside. `outside`: how the rest sees that end; what comes to an address of before is lost."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.outward = self.inward = True  # whether it passes anything
        self.peer: Address | None = None  # whom the inner end is to reach through `inside`
        self.dead = 0  # datagrams to addresses of before
        self._end: Address | None = None
        self._transports: list[asyncio.DatagramTransport] = []

    async def open(self) -> "Nat":
        self._inner = await self._bind(self._from_inside)
        self.inside = self._inner.get_extra_info("sockname")[:2]
        await self.rebind()
        return self

    async def rebind(self) -> None:
        """Another port for the end inside."""
        outer = await self._bind(lambda data, _: self._from_outside(outer, data))
        self._outer = outer
        self.outside = outer.get_extra_info("sockname")[:2]

    def close(self) -> None:
        for transport in self._transports:
            transport.close()

    async def _bind(self, received: Callable[[bytes, Address], None]) -> asyncio.DatagramTransport:
        class Port(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                received(data, addr[:2])

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Port, local_addr=(self.host, 0))
        self._transports.append(transport)
        return transport

    def _from_inside(self, data: bytes, addr: Address) -> None:
        self._end = addr
        if self.peer is not None and self.outward:
            self._outer.sendto(data, self.peer)

    def _from_outside(self, outer: asyncio.DatagramTransport, data: bytes) -> None:
        if outer is not self._outer:
            self.dead += 1
        elif self._end is not None and self.inward:
            self._inner.sendto(data, self._end)


def moved(line: str, to: Address) -> str:
    """A candidate line at another address."""
    words = line.split()
    words[4], words[5] = to[0], str(to[1])
    return " ".join(words)


def mapped(line: str, to: Address) -> str:
    """As a STUN server would tell it."""
    words = moved(line, to).split()
    words[3] = str(candidate_priority(1, "srflx"))
    return " ".join([*words[:7], "srflx", "raddr", words[4], "rport", "9"])


def address(line: str) -> Address:
    words = line.split()
    return words[4], int(words[5])


class End:
    """An ICE transport that sends a datagram every 20 ms, and when it got the last one."""

    def __init__(self, *, controlling: bool, hosts: tuple[str, ...] = ("127.0.0.1",)) -> None:
        self.transport = IceTransport(
            controlling=controlling,
            on_datagram=lambda data, _: self._got(data),
            on_candidate=lambda line: None,
            on_state=lambda state: self.states.append(state),
            settings=IceSettings((), list(hosts)),
        )
        self.states: list[str] = []
        self.heard = -1e9
        self.talking = True
        self.sending: asyncio.Task[None] | None = None

    def _got(self, data: bytes) -> None:
        self.heard = asyncio.get_running_loop().time()

    async def talk(self) -> None:
        while True:
            if self.talking:
                self.transport.send(b"\x80 media")
            await asyncio.sleep(0.02)

    @property
    def silent_for(self) -> float:
        return asyncio.get_running_loop().time() - self.heard

    async def close(self) -> None:
        if self.sending is not None:
            self.sending.cancel()
        await self.transport.close()


async def connect(inner: End, outer: End, tell_inner: list[str], tell_outer: list[str]) -> None:
    for end, other, lines in ((inner, outer, tell_inner), (outer, inner, tell_outer)):
        end.transport.connect(other.transport.local_ufrag, other.transport.local_pwd, lite=False)
        await end.transport.add_candidates(lines)
        end.sending = asyncio.ensure_future(end.talk())
    await asyncio.sleep(2.0)
    assert [inner.transport.state, outer.transport.state] == ["connected", "connected"]


async def behind_nats(nats: list[Nat], *, inner_controls: bool) -> tuple[End, End]:
    """Two ends, the first behind the first NAT, the second behind the second if there is one."""
    ends = tuple(End(controlling=inner_controls == first, hosts=(nats[0].host,)) for first in (True, False))
    (first,), (second,) = [await end.transport.gather() for end in ends]
    if len(nats) == 1:
        nats[0].peer = address(second)
        to_first, to_second = nats[0].outside, nats[0].inside
    else:
        # From the first end's socket through both: each NAT speaks with the other's outside.
        nats[0].peer, nats[1].peer = nats[1].outside, nats[0].outside
        to_first, to_second = nats[1].inside, nats[0].inside
    await connect(*ends, [moved(second, to_second)], [mapped(first, to_first)])
    return ends[0], ends[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("inner_controls", [True, False])
def test_a_nat_that_changes_its_mind_is_followed_each_time(
    run_virtually: RunVirtually, inner_controls: bool, host: str
) -> None:
    async def main() -> None:
        nat = await Nat(host).open()
        inner, outer = await behind_nats([nat], inner_controls=inner_controls)
        for _ in range(5):
            await nat.rebind()
            await asyncio.sleep(FOLLOWED)
            before = nat.dead
            await asyncio.sleep(8.0)
            assert max(inner.silent_for, outer.silent_for) < 0.05
            assert nat.dead - before < 10, "what was left is asked for once more, at most"
            selected = outer.transport.selected_pair()
            assert selected is not None and selected[3] == f"{nat.outside[0]}:{nat.outside[1]}"
        for end in (inner, outer):
            assert end.transport.state == "connected" and "failed" not in end.states
            await end.close()
        nat.close()

    run_virtually(main())


def says_nothing_of_its_own(end: End) -> None:
    """From now on it sends no check but those that one of ours triggers: as libnice, and Firefox for a while."""
    end.transport._connection.watch_paths = lambda now: None  # type: ignore[method-assign]


def test_a_peer_behind_a_nat_that_sends_no_checks_is_followed(run_virtually: RunVirtually) -> None:
    """Its media alone tells of its new address, and is believed only when a check of ours was answered there."""

    async def main() -> None:
        nat = await Nat().open()
        inner, outer = await behind_nats([nat], inner_controls=True)
        says_nothing_of_its_own(inner)
        for _ in range(3):
            await nat.rebind()
            await asyncio.sleep(FOLLOWED)
            assert max(inner.silent_for, outer.silent_for) < 0.05
        await inner.close()
        await outer.close()
        nat.close()

    run_virtually(main())


def test_a_peer_that_moves_only_when_told_follows_us_behind_a_nat(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        nat = await Nat().open()
        inner, outer = await behind_nats([nat], inner_controls=True)
        says_nothing_of_its_own(outer)
        for _ in range(3):
            await nat.rebind()
            await asyncio.sleep(FOLLOWED)
            assert max(inner.silent_for, outer.silent_for) < 0.05
            newest = max(
                outer.transport._connection.remote_candidates, key=lambda c: c.priority * (c.type == "prflx")
            )
            assert (newest.host, newest.port) == nat.outside, (
                "worth more than those of before: libnice asks for it"
            )
        await inner.close()
        await outer.close()
        nat.close()

    run_virtually(main())


def test_noise_from_anywhere_is_asked_only_while_the_path_fails(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        nat = await Nat().open()
        inner, outer = await behind_nats([nat], inner_controls=True)
        before = len(outer.transport._connection.remote_candidates)
        stranger, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        place = outer.transport._connection._protocols[0].transport.get_extra_info("sockname")
        for _ in range(50):
            stranger.sendto(b"\x80" + bytes(30), place)
            await asyncio.sleep(0.05)
        assert len(outer.transport._connection.remote_candidates) == before
        stranger.close()
        await inner.close()
        await outer.close()
        nat.close()

    run_virtually(main())


def test_an_address_of_before_may_come_back(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        nat = await Nat().open()
        inner, outer = await behind_nats([nat], inner_controls=True)
        first = nat._outer
        for _ in range(3):
            before = nat._outer
            await nat.rebind()
            await asyncio.sleep(6.0)
            nat._outer = before if before is first else first
            await asyncio.sleep(6.0)
            assert max(inner.silent_for, outer.silent_for) < 0.05
        await inner.close()
        await outer.close()
        nat.close()

    run_virtually(main())


@pytest.mark.long
def test_forty_addresses_of_a_peer_are_not_all_kept(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        nat = await Nat().open()
        inner, outer = await behind_nats([nat], inner_controls=True)
        for _ in range(40):
            await nat.rebind()
            await asyncio.sleep(4.0)
        assert max(inner.silent_for, outer.silent_for) < 0.05
        assert len(outer.transport._connection.remote_candidates) <= MAX_REFLEXIVE + 3
        await inner.close()
        await outer.close()
        nat.close()

    run_virtually(main())


@pytest.mark.parametrize("blocked", ["outward", "inward"])
@pytest.mark.parametrize("inner_controls", [True, False])
def test_a_path_that_dies_one_way_is_left_by_both(
    run_virtually: RunVirtually, inner_controls: bool, blocked: str
) -> None:
    """The path in use is through a NAT that passes nothing any more one way; another one is direct."""

    async def main() -> None:
        nat = await Nat().open()
        inner = End(controlling=inner_controls, hosts=("127.0.0.1", "127.0.0.2"))
        outer = End(controlling=not inner_controls, hosts=("127.0.0.1",))
        (one, other), (theirs,) = await inner.transport.gather(), await outer.transport.gather()
        nat.peer = address(theirs)
        await connect(inner, outer, [moved(theirs, nat.inside)], [moved(one, nat.outside)])
        await inner.transport.add_candidates([theirs])  # as late as one of a server: it is not needed
        await outer.transport.add_candidates([other])
        assert inner.transport.selected_pair()[3] == "{}:{}".format(*nat.inside)  # type: ignore[index]
        assert outer.transport.selected_pair()[3] == f"{nat.outside[0]}:{nat.outside[1]}"  # type: ignore[index]
        setattr(nat, blocked, False)
        await asyncio.sleep(11.0)
        assert max(inner.silent_for, outer.silent_for) < 0.05
        assert inner.transport.selected_pair()[3] == "{}:{}".format(*address(theirs))  # type: ignore[index]
        for end in (inner, outer):
            assert end.transport.state == "connected" and "failed" not in end.states
            await end.close()
        nat.close()

    run_virtually(main())


def test_without_consent_nothing_is_sent_though_the_peer_is_heard(run_virtually: RunVirtually) -> None:
    """The only path dies towards the peer, whose media still comes (RFC 7675 section 5.1)."""

    async def main() -> None:
        nat = await Nat().open()
        inner, outer = await behind_nats([nat], inner_controls=True)
        nat.outward = False
        await asyncio.sleep(CONSENT_EXPIRY - 3)
        assert inner.transport.state == "connected" and inner.silent_for < 0.05
        await asyncio.sleep(10.0)
        assert [inner.transport.state, outer.transport.state] == ["failed", "failed"]
        assert not inner.transport.send(b"\x80 media") and inner.states[-1] == "failed"
        nat.outward = True
        await asyncio.sleep(10.0)
        assert inner.transport.state == "failed", "a new session is needed, or a restart"
        await inner.close()
        await outer.close()
        nat.close()

    run_virtually(main())


def test_a_peer_that_answers_checks_and_sends_nothing_is_connected(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        nat = await Nat().open()
        inner, outer = await behind_nats([nat], inner_controls=True)
        outer.talking = False
        await asyncio.sleep(90.0)
        assert inner.states == ["checking", "connected"] == outer.states
        await nat.rebind()
        await asyncio.sleep(FOLLOWED)
        assert outer.silent_for < 0.05
        outer.talking = True
        await asyncio.sleep(1.0)
        assert inner.silent_for < 0.05
        await inner.close()
        await outer.close()
        nat.close()

    run_virtually(main())


def test_a_network_that_is_away_for_a_while_comes_back_on_the_same_path(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        nat = await Nat().open()
        inner, outer = await behind_nats([nat], inner_controls=False)
        path = outer.transport.selected_pair()
        for seconds in (1.0, 3.0, 10.0, 25.0):
            nat.outward = nat.inward = False
            await asyncio.sleep(seconds)
            nat.outward = nat.inward = True
            await asyncio.sleep(1.5)
            assert max(inner.silent_for, outer.silent_for) < 0.05
            assert outer.transport.selected_pair() == path
            assert [inner.transport.state, outer.transport.state] == ["connected", "connected"]
            await asyncio.sleep(6.0)
        await inner.close()
        await outer.close()
        nat.close()

    run_virtually(main())


def test_both_ends_have_nats_that_change_in_turn(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        nats = [await Nat().open(), await Nat().open()]
        inner, outer = await behind_nats(nats, inner_controls=True)
        for n in range(4):
            await nats[n % 2].rebind()
            # NATs that let in whatever comes: the other one learns the new address from what comes from it.
            nats[1 - n % 2].peer = nats[n % 2].outside
            await asyncio.sleep(FOLLOWED)
            assert max(inner.silent_for, outer.silent_for) < 0.05
        await inner.close()
        await outer.close()
        for nat in nats:
            nat.close()

    run_virtually(main())


# -- no path at all


@pytest.mark.parametrize("candidates", [0, 1, 30])
def test_where_no_path_exists_it_fails_and_gives_everything_back(
    run_virtually: RunVirtually, candidates: int, socket_count: Callable[[], int]
) -> None:
    async def main() -> None:
        before = socket_count()
        end = End(controlling=True)
        await end.transport.gather()
        end.transport.connect("abcd", "x" * 22, lite=False)
        for n in range(candidates):
            await end.transport.add_candidate(f"candidate:{n} 1 udp {n + 1} 127.0.0.1 {9 + n} typ host")
        await asyncio.sleep(CONNECT_TIMEOUT - 1)
        assert end.transport.state in ("new", "checking")
        await asyncio.sleep(2)
        assert end.transport.state == "failed" and CONNECT_TIMEOUT < 30
        await asyncio.sleep(0.1)
        assert socket_count() == before
        await end.transport.add_candidate("candidate:9 1 udp 1 127.0.0.1 9 typ host")  # too late: ignored
        await end.close()

    run_virtually(main())


def test_a_candidate_that_comes_late_is_in_time(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        ends = End(controlling=True), End(controlling=False)
        lines = [await end.transport.gather() for end in ends]
        for end, other in (ends, ends[::-1]):
            end.transport.connect(other.transport.local_ufrag, other.transport.local_pwd, lite=False)
        await asyncio.sleep(CONNECT_TIMEOUT - 3)
        await ends[0].transport.add_candidates(lines[1])
        await asyncio.sleep(1.0)
        assert [end.transport.state for end in ends] == ["connected", "connected"]
        await asyncio.sleep(40.0)
        assert [end.transport.state for end in ends] == ["connected", "connected"]
        for end in ends:
            await end.close()

    run_virtually(main())


def test_a_call_that_cannot_come_about_says_so(run_virtually: RunVirtually) -> None:
    async def main() -> None:
        ours, gone = (
            PeerConnection(microphone=Tone(), speaker=Discard(), addresses=["127.0.0.1"]) for _ in "ab"
        )
        answer = await gone.create_answer(await ours.create_offer())
        await gone.close()
        await ours.set_answer(answer)
        await ours.add_ice_candidate("0", "")
        await asyncio.sleep(30.0)
        assert ours.state == "failed" and ours.failure
        await ours.close()

    run_virtually(main())
