"""The socket of a call: what came while the loop was busy comes at once, with the time at which it came."""

import asyncio
import socket
import sys
import time
from typing import Any

import pytest

from media.io.udp import MAX_AT_ONCE, UdpTransport, open_udp


class End(asyncio.DatagramProtocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, Any, float]] = []
        self.errors: list[Exception] = []
        self.turns: list[int] = []  # how much was there at the end of each
        self.some = asyncio.Event()
        self.lost = asyncio.Event()

    def datagram_arrived(self, data: bytes, addr: Any, arrived: float) -> bool:
        self.got.append((data, addr, arrived))
        self.some.set()
        return data != b"alone"

    def datagrams_taken(self) -> None:
        self.turns.append(len(self.got))

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.datagram_arrived(data, addr, asyncio.get_running_loop().time())

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.some.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


async def pair(address: str = "127.0.0.1") -> tuple[UdpTransport, End, UdpTransport, End]:
    return (*await open_udp(End, address), *await open_udp(End, address))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_both_ways(address: str) -> None:
    try:
        a, ear, b, other = await pair(address)
    except OSError:
        pytest.skip(f"no {address} here")
    a.sendto(b"ping", b.get_extra_info("sockname"))
    await other.some.wait()
    data, addr, _ = other.got[0]
    assert (data, addr) == (b"ping", a.get_extra_info("sockname"))
    b.sendto(b"pong", addr)
    await ear.some.wait()
    assert ear.got[0][0] == b"pong"
    for transport, end in ((a, ear), (b, other)):
        transport.close()
        transport.close()
        await end.lost.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's time stamps are asked for on Linux only")
async def test_what_waited_for_the_loop_came_when_it_came() -> None:
    a, _, b, end = await pair()
    loop = asyncio.get_running_loop()
    address = b.get_extra_info("sockname")
    before = loop.time()
    a.sendto(b"early", address)
    while loop.time() < before + 0.03:
        pass  # the loop is busy
    a.sendto(b"late", address)
    await end.some.wait()
    (early, late) = (arrived - before for _, _, arrived in end.got)
    assert early < 0.015 < 0.029 < late, "and both in one turn"
    a.close()
    b.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's time stamps are asked for on Linux only")
@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_a_clock_that_was_set_moves_no_arrival(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    a, _, b, end = await pair()
    real = time.time
    monkeypatch.setattr("media.io.udp.time.time", lambda: real() + step)
    before = asyncio.get_running_loop().time()
    a.sendto(b"x", b.get_extra_info("sockname"))
    await end.some.wait()
    assert before <= end.got[0][2] <= asyncio.get_running_loop().time()
    a.close()
    b.close()


async def test_a_flood_leaves_others_their_turn() -> None:
    a, _, b, end = await pair()
    for n in range(3 * MAX_AT_ONCE):
        a.sendto(bytes([n]), b.get_extra_info("sockname"))
    while len(end.got) < 3 * MAX_AT_ONCE:
        end.some.clear()
        await end.some.wait()
    assert end.turns == [MAX_AT_ONCE, 2 * MAX_AT_ONCE, 3 * MAX_AT_ONCE]
    assert [data[0] for data, _, _ in end.got] == list(range(3 * MAX_AT_ONCE))
    a.close()
    b.close()


async def test_a_datagram_that_tasks_act_on_ends_the_turn() -> None:
    a, _, b, end = await pair()
    for data in (b"1", b"alone", b"2"):
        a.sendto(data, b.get_extra_info("sockname"))
    await end.some.wait()
    assert end.turns == [2]
    end.some.clear()
    await end.some.wait()
    assert end.got[2][0] == b"2"
    a.close()
    b.close()


async def test_nobody_there_is_an_error_that_is_told() -> None:
    transport, end = await open_udp(End, "127.0.0.1")
    transport.sendto(b"x" * 70000, ("127.0.0.1", 9))  # longer than a datagram can be
    assert isinstance(end.errors[0], OSError)
    transport.close()
    transport.sendto(b"x", ("127.0.0.1", 9))
    await end.lost.wait()
    assert len(end.errors) == 1


async def test_what_comes_after_close_is_not_given() -> None:
    a, _, b, end = await pair()
    a.sendto(b"x", b.get_extra_info("sockname"))
    b.close()
    await end.lost.wait()
    assert not end.got
    a.close()


async def test_no_address_of_this_machine_leaves_no_socket() -> None:
    for address in ("192.0.2.1", "not an address"):
        with pytest.raises(OSError):
            await open_udp(End, address)


async def test_a_loop_that_watches_no_sockets_has_asyncios(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()

    def cannot(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(loop, "add_reader", cannot)
    transport, end = await open_udp(End, "127.0.0.1")
    assert not isinstance(transport, UdpTransport)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendto(b"x", transport.get_extra_info("sockname"))
        await end.some.wait()
    assert end.got[0][0] == b"x"
    transport.close()
    await end.lost.wait()
