"""The relay: two ends that know nothing of the network between them."""

import asyncio
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import PeerConnection
from media.io.ice import parse_candidate
from media.io.relay import MAX_DATAGRAM_BYTES, Relay, RelayError, rewrite_candidate, rewrite_sdp
from media.io.sources import Discard, GeneratedVoice
from media.simulation.link import Link, LinkParameters

HOST = "candidate:6815297761 1 udp 2130706431 192.0.2.7 55554 typ host"


def link(seed: int = 1, **parameters: Any) -> Link:
    return Link(LinkParameters(**parameters), random.Random(seed))


class End(asyncio.DatagramProtocol):
    """A socket that keeps what comes."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.queue.put_nowait((data, addr))

    async def next(self) -> tuple[bytes, tuple[str, int]]:
        async with asyncio.timeout(5):
            return await self.queue.get()


async def bind() -> tuple[asyncio.DatagramTransport, End]:
    loop = asyncio.get_running_loop()
    return await loop.create_datagram_endpoint(End, local_addr=("127.0.0.1", 0))


async def test_each_end_hears_the_other_from_its_own_port() -> None:
    relay = Relay(link(delay_ms=20), link())
    await relay.start()
    (send_a, a), (send_b, b) = await bind(), await bind()
    try:
        send_a.sendto(b"too early", relay.address_for_a)  # nobody knows where b is yet
        send_b.sendto(b"from b", relay.address_for_b)
        assert await a.next() == (b"from b", relay.address_for_a)
        start = asyncio.get_running_loop().time()
        send_a.sendto(b"from a", relay.address_for_a)
        assert await b.next() == (b"from a", relay.address_for_b)
        assert asyncio.get_running_loop().time() - start >= 0.0199
        send_a.sendto(b"x" * (MAX_DATAGRAM_BYTES + 1), relay.address_for_a)
        send_a.sendto(b"next", relay.address_for_a)
        assert (await b.next())[0] == b"next"
        counters = relay.counters()
        assert counters["from_a"]["dropped_unknown"] == 1 and counters["from_a"]["dropped_long"] == 1
        assert counters["a_to_b"]["packets_out"] == 2 and counters["b_to_a"]["packets_out"] == 1
    finally:
        send_a.close()
        send_b.close()
        await relay.close()
        await relay.close()


async def test_a_declared_end_is_reached_before_it_speaks_and_its_newest_address_counts() -> None:
    (send_a, _), (send_b, b), (send_c, c) = await bind(), await bind(), await bind()
    relay = Relay(link(), link(), peer_b=send_b.get_extra_info("sockname"))
    await relay.start()
    try:
        send_a.sendto(b"1", relay.address_for_a)
        assert (await b.next())[0] == b"1"
        send_c.sendto(b"b has moved", relay.address_for_b)
        async with asyncio.timeout(5):
            while c.queue.empty():
                send_a.sendto(b"2", relay.address_for_a)
                await asyncio.sleep(0)
    finally:
        for transport in (send_a, send_b, send_c):
            transport.close()
        await relay.close()


async def test_ports_are_given_back_and_a_taken_one_is_an_error() -> None:
    relay = Relay(link(), link())
    await relay.start()
    port_a, port_b = relay.address_for_a[1], relay.address_for_b[1]
    second = Relay(link(), link(), port_b=port_b)
    with pytest.raises(RelayError, match="cannot bind"):
        await second.start()
    await second.close()
    await relay.close()
    third = Relay(link(), link(), port_a=port_a, port_b=port_b)
    await third.start()
    assert (third.address_for_a[1], third.address_for_b[1]) == (port_a, port_b)
    await third.close()


async def test_close_without_start_returns() -> None:
    await Relay(link(), link()).close()


# -- candidates


def test_a_candidate_points_to_the_relay() -> None:
    rewritten = rewrite_candidate(HOST, ("127.0.0.1", 4000))
    assert rewritten == "candidate:6815297761 1 udp 2130706431 127.0.0.1 4000 typ host"
    parsed = parse_candidate(rewritten)
    assert parsed is not None and (parsed.host, parsed.port) == ("127.0.0.1", 4000)
    reflexive = "a=candidate:1 1 UDP 1 203.0.113.1 9 typ srflx raddr 10.0.0.1 rport 7 generation 0 ufrag ab"
    assert rewrite_candidate(reflexive, ("::1", 4000)) == (
        "a=candidate:1 1 UDP 1 ::1 4000 typ host generation 0 ufrag ab"
    )
    hidden = "candidate:1 1 udp 1 4c3d-ff.local 9 typ host"
    assert rewrite_candidate(hidden, ("127.0.0.1", 1)) == "candidate:1 1 udp 1 127.0.0.1 1 typ host"


@pytest.mark.parametrize(
    "line",
    ["", "candidate:", HOST.replace("udp", "tcp"), HOST.replace(" 1 udp", " 2 udp"), HOST.replace("typ", "top"),
     "a=end-of-candidates"],
)  # fmt: skip
def test_what_the_relay_cannot_carry_is_none(line: str) -> None:
    assert rewrite_candidate(line, ("127.0.0.1", 1)) is None


@given(st.text(max_size=120) | st.lists(st.sampled_from(HOST.split()), max_size=12).map(" ".join))
def test_any_text_is_a_candidate_or_none(line: str) -> None:
    rewritten = rewrite_candidate(line, ("192.0.2.99", 4242))
    assert rewritten is None or "192.0.2.99 4242 typ host" in rewritten
    assert "candidate:" not in rewrite_sdp(line, ("192.0.2.99", 4242)) or "candidate:" in line


def test_a_description_has_one_candidate_a_section_all_at_the_relay() -> None:
    text = "\r\n".join(
        ["v=0", "o=- 1 1 IN IP4 192.0.2.7", "s=-", "t=0 0", "m=audio 55554 UDP/TLS/RTP/SAVPF 111",
         "c=IN IP4 192.0.2.7", "a=rtcp:55555 IN IP4 192.0.2.7", f"a={HOST.replace('udp', 'tcp')}", f"a={HOST}",
         f"a={HOST.replace('55554', '55556')}", "a=mid:0", "m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:1",
         f"a={HOST}", ""]
    )  # fmt: skip
    rewritten = rewrite_sdp(text, ("127.0.0.1", 4000))
    assert "192.0.2.7" not in rewritten.replace("o=- 1 1 IN IP4 192.0.2.7", "")
    assert rewritten.count("candidate:") == 2
    assert rewritten.count("127.0.0.1 4000 typ host\r\n") == 2
    assert "m=audio 4000 UDP" in rewritten and "m=video 9 UDP" in rewritten
    assert rewritten.endswith("\r\n") and "\n\n" not in rewritten


# -- two engines


class Listener(Discard):
    """Knows when a voice was heard for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.loud = 0
        self.heard = asyncio.Event()

    def write(self, samples: np.ndarray) -> None:
        super().write(samples)
        self.loud += bool(np.abs(samples.astype(np.int32)).max() > 500)
        if self.loud >= 20:
            self.heard.set()


async def trickle(sender: PeerConnection, receiver: PeerConnection, address: tuple[str, int]) -> None:
    async for kind, *rest in sender.events():
        line = rewrite_candidate(rest[1], address) if kind == "candidate" else None
        if line:
            await receiver.add_ice_candidate(rest[0], line)


async def test_sound_both_ways_through_the_relay() -> None:
    relay = Relay(link(1, delay_ms=15, loss=0.02), link(2, delay_ms=15, loss=0.02))
    await relay.start()
    ears = Listener(), Listener()
    a, b = (
        PeerConnection(microphone=GeneratedVoice(seed), speaker=ear, addresses=["127.0.0.1"])
        for seed, ear in zip((1, 2), ears, strict=True)
    )
    tasks = []
    try:
        async with asyncio.timeout(10):
            offer = rewrite_sdp(await a.create_offer(), relay.address_for_b)
            answer = rewrite_sdp(await b.create_answer(offer), relay.address_for_a)
            await a.set_answer(answer)
            tasks = [
                asyncio.create_task(trickle(a, b, relay.address_for_b)),
                asyncio.create_task(trickle(b, a, relay.address_for_a)),
            ]
            await asyncio.gather(*(ear.heard.wait() for ear in ears))
        # All of it went through the relay: that is where each end sees the other.
        for end, address in ((a, relay.address_for_a), (b, relay.address_for_b)):
            assert end.get_stats()["candidate-pair"]["remoteAddress"] == f"{address[0]}:{address[1]}"
            assert end.report().setup["ice_connected"] is not None
        counters = relay.counters()
        for direction in ("a_to_b", "b_to_a"):
            assert counters[direction]["packets_out"] > 25
    finally:
        await a.close()
        await b.close()
        await asyncio.gather(*tasks)
        await relay.close()
