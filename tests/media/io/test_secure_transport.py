"""ICE and DTLS together over the loopback: the same keys at both ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from media.io.ice_settings import IceSettings
from media.io.secure_transport import SecureTransport
from media.io.setup_steps import SetupSteps
from media.negotiation import TransportParameters
from media.transport.srtp import SrtpKeys, SrtpSession


class End:
    def __init__(self, *, controlling: bool) -> None:
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()
        self.keys: asyncio.Queue[SrtpKeys] = asyncio.Queue()
        self.states: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.steps = SetupSteps(asyncio.get_running_loop().time)
        self.beside: list[tuple[int, float]] = []
        self.transport = SecureTransport(
            on_packet=lambda data, _: self.packets.put_nowait(data),
            on_keys=self.keys.put_nowait,
            on_state=lambda state, reason: self.states.put_nowait((state, reason)),
            on_candidate=lambda line: None,
            steps=self.steps,
            on_beside=lambda size, now: self.beside.append((size, now)),
            settings=IceSettings(addresses=["127.0.0.1"]),
        )
        self.transport.set_controlling(controlling)

    async def parameters(self, *, peer_is_client: bool) -> TransportParameters:
        """What the other end has to be told of this one."""
        return TransportParameters(
            self.transport.ice.local_ufrag,
            self.transport.ice.local_pwd,
            False,
            (("sha-256", self.transport.fingerprint),),
            peer_is_client,
            tuple(await self.transport.ice.gather()),
        )

    async def start(self, remote: TransportParameters) -> None:
        self.transport.start(remote)
        for line in remote.candidates:
            await self.transport.ice.add_candidate(line)

    async def state(self) -> tuple[str, str]:
        return await asyncio.wait_for(self.states.get(), 5)


Pair = tuple[End, End]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ends = End(controlling=True), End(controlling=False)
    yield ends
    for end in ends:
        await asyncio.wait_for(end.transport.close(), 5)


async def join(pair: Pair) -> None:
    alice = await pair[0].parameters(peer_is_client=True)
    bob = await pair[1].parameters(peer_is_client=False)
    await pair[1].start(alice)
    await pair[0].start(bob)


async def test_keys_and_packets(pair: Pair) -> None:
    assert [end.transport.dtls_state for end in pair] == ["new", "new"]
    await join(pair)
    for end in pair:
        assert await end.state() == ("connecting", "")
        assert await end.state() == ("connected", "")
        assert end.transport.dtls_state == "connected"
        times = end.steps.times
        assert times["first_check"] <= times["dtls_begun"] < times["srtp_keys"] <= times["dtls_connected"]
        assert times["first_check"] < times["ice_connected"]
        began = times["dtls_begun"]
        assert began is not None and all(size > 50 and at >= began - 0.01 for size, at in end.beside)
        assert sum(size for size, _ in end.beside) > 500, "a flight with a certificate"
    first, second = [end.keys.get_nowait() for end in pair]
    assert first == second.swapped()
    packet = b"\x80\x6f" + bytes(10) + b"voice"
    sealed = SrtpSession(first).protect(packet)
    pair[0].transport.send(sealed)
    got = await asyncio.wait_for(pair[1].packets.get(), 2)
    assert SrtpSession(second).unprotect(got) == packet


async def test_the_client_may_be_ready_long_before_the_server(pair: Pair) -> None:
    """The ClientHello comes before the answer is applied at the other end."""
    alice = await pair[0].parameters(peer_is_client=True)
    bob = await pair[1].parameters(peer_is_client=False)
    await pair[1].start(alice)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pair[1].keys.get(), 0.15)
    await pair[0].start(bob)
    for end in pair:
        assert await asyncio.wait_for(end.keys.get(), 5)


@pytest.mark.parametrize("who", [0, 1])
async def test_a_wrong_fingerprint_fails_with_the_reason(pair: Pair, who: int) -> None:
    alice = await pair[0].parameters(peer_is_client=True)
    bob = await pair[1].parameters(peer_is_client=False)
    wrong = (("sha-256", ":".join(["AB"] * 32)),)
    if who == 0:
        bob = replace(bob, fingerprints=wrong)
    else:
        alice = replace(alice, fingerprints=wrong)
    await pair[1].start(alice)
    await pair[0].start(bob)
    assert await pair[who].state() == ("connecting", "")
    state, reason = await pair[who].state()
    assert state == "failed" and "fingerprint" in reason
    assert pair[who].transport.dtls_state == "failed"
    assert await pair[1 - who].state() == ("connecting", "")
    state, reason = await pair[1 - who].state()
    assert state == "failed" and "alert" in reason
    assert pair[who].keys.empty() and pair[0].keys.empty()
    # The client (the second) may have had keys: it had verified the server, which then refused it.


async def test_the_end_is_told(pair: Pair) -> None:
    await join(pair)
    for end in pair:
        assert await end.state() == ("connecting", "")
        assert await end.state() == ("connected", "")
    await pair[0].transport.close()
    await pair[0].transport.close()
    state, reason = await pair[1].state()
    assert state == "closed" and "peer" in reason
    assert pair[1].transport.dtls_state == "closed"


async def test_datagrams_of_any_kind_before_and_after(pair: Pair) -> None:
    junk = [bytes((first,)) + bytes(40) for first in (0, 3, 20, 22, 25, 63, 64, 79, 128, 191, 255)] + [
        b"",
        b"\x16",
    ]
    for data in junk * 5:
        pair[0].transport._receive(data, 0.0)
    await join(pair)
    for end in pair:
        assert await asyncio.wait_for(end.keys.get(), 5)
    for data in junk * 5:
        pair[0].transport._receive(data, 0.0)
    assert pair[0].transport.dtls_state == "connected"


async def test_nothing_is_left_after_close(pair: Pair, socket_count: Callable[[], int]) -> None:
    before = socket_count()
    await join(pair)
    for end in pair:
        assert await asyncio.wait_for(end.keys.get(), 5)
    assert socket_count() == before + 2
    for end in pair:
        await end.transport.close()
    for _ in range(3):
        await asyncio.sleep(0)
    assert socket_count() == before
    assert asyncio.all_tasks() == {asyncio.current_task()}
