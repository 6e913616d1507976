"""The emulated link at a transport, on the real loop."""

import asyncio
import random
from typing import Any

import pytest

from media.io.impairment import ImpairedTransport
from media.simulation.link import Link, LinkParameters


class FakeTransport:
    """What a datagram transport does with sendto() and close()."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, bytes, Any]] = []
        self.closed = False
        self.arrived = asyncio.Event()

    def sendto(self, data: bytes, addr: Any = None) -> None:
        assert type(data) is bytes  # not the link's own kind
        self.sent.append((asyncio.get_running_loop().time(), data, addr))
        self.arrived.set()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> str:
        return f"the transport's {name}"

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.sent) < count:
                self.arrived.clear()
                await self.arrived.wait()


def link(**parameters: Any) -> Link:
    return Link(LinkParameters(**parameters), random.Random(1))


def impaired(transport: FakeTransport, one: Link) -> ImpairedTransport:
    return ImpairedTransport(transport, one)  # type: ignore[arg-type]


def timers_of(transport: ImpairedTransport) -> int:
    """Timers of the loop that wait for this transport."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum(
        not handle.cancelled() and getattr(handle._callback, "__self__", None) is transport
        for handle in scheduled
    )


async def test_datagrams_come_after_the_delay_in_order_and_with_their_address() -> None:
    under = FakeTransport()
    transport = impaired(under, link(delay_ms=30))
    start = asyncio.get_running_loop().time()
    for number in range(5):
        transport.sendto(bytes([number]), ("127.0.0.1", number))
    assert under.sent == []
    await under.wait_for(5)
    assert [(data, addr) for _, data, addr in under.sent] == [
        (bytes([n]), ("127.0.0.1", n)) for n in range(5)
    ]
    assert under.sent[0][0] - start >= 0.0299
    assert transport.get_extra_info("peername") == "the transport's peername"
    transport.close()


async def test_loss_is_the_links() -> None:
    under, one = FakeTransport(), link(loss=1.0)
    transport = impaired(under, one)
    for _ in range(10):
        transport.sendto(b"x")
    assert one.counters.lost == 10 and timers_of(transport) == 0
    transport.close()
    assert under.sent == []


async def test_one_timer_however_much_is_under_way() -> None:
    under = FakeTransport()
    transport = impaired(under, link(delay_ms=40, jitter_ms=30, reorder=True))
    for _ in range(200):
        transport.sendto(b"x")
    assert timers_of(transport) == 1
    await under.wait_for(100)
    for _ in range(50):
        transport.sendto(b"y")
    assert timers_of(transport) <= 1  # 0 while it is being run
    await under.wait_for(250)
    assert timers_of(transport) == 0
    transport.close()


async def test_close_lets_out_what_is_under_way_and_leaves_no_timer() -> None:
    under = FakeTransport()
    transport = impaired(under, link(delay_ms=10_000))
    transport.sendto(b"goodbye")
    transport.close()
    assert [data for _, data, _ in under.sent] == [b"goodbye"]
    assert under.closed and timers_of(transport) == 0
    transport.sendto(b"too late")
    transport.close()
    assert len(under.sent) == 1 and timers_of(transport) == 0


async def test_abort_drops_what_is_under_way() -> None:
    under = FakeTransport()
    transport = impaired(under, link(delay_ms=10_000))
    transport.sendto(b"never")
    transport.abort()
    assert under.sent == [] and under.closed and timers_of(transport) == 0


async def test_sockets_of_one_host_share_its_uplink() -> None:
    # 128 bytes on the wire at 20480 bit/s take 50 ms: the second socket's datagram waits for the first one's.
    one = link(rate_bps=20_480)
    under = FakeTransport(), FakeTransport()
    first, second = (impaired(each, one) for each in under)
    start = asyncio.get_running_loop().time()
    first.sendto(b"1" * 100)
    second.sendto(b"2" * 100)
    await under[0].wait_for(1)
    await under[1].wait_for(1)
    assert under[0].sent[0][1][:1] == b"1" and under[1].sent[0][1][:1] == b"2"
    assert under[1].sent[0][0] - start >= 0.0999
    first.close()
    second.close()


@pytest.mark.parametrize("closes", [0, 1])
async def test_the_other_socket_goes_on_when_one_closes(closes: int) -> None:
    one = link(delay_ms=20)
    under = FakeTransport(), FakeTransport()
    transports = [impaired(each, one) for each in under]
    for transport in transports:
        transport.sendto(b"x")
    transports[closes].close()
    transports[1 - closes].sendto(b"y")
    await under[1 - closes].wait_for(2)
    transports[1 - closes].close()
