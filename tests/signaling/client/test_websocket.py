"""The connection: told what is wrong, back when it is lost, answers only from whom was asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signaling import stanza as st
from signaling.backoff import STEPS
from signaling.client import Client
from signaling.client.websocket import StanzaError
from signaling.errors import RegistrationError, ServerUnreachable
from signaling.jid import Jid
from signaling.stream import StanzaReceived
from signaling.xml import PING, element

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"
Open = Callable[..., Awaitable[Client]]


async def test_a_revoked_device_stays_out_and_is_told(open_client: Open, make_profile: Any) -> None:
    alice = await open_client(ALICE)
    await make_profile(ALICE, name="new")  # the number registers again: every device of before is void
    async with asyncio.timeout(10):
        with pytest.raises(RegistrationError) as revoked:
            await alice.next_incoming()
        assert revoked.value.code == "device_revoked"
        with pytest.raises(RegistrationError):
            await alice.wait_online()
    assert not alice.online


async def test_no_server_is_said_in_one_line(make_profile: Any, server: Any) -> None:
    path = await make_profile(ALICE)
    await server.stop()
    async with Client.open(path) as alice:
        with pytest.raises(ServerUnreachable) as error:
            await alice.wait_online(0.3)
        assert "no server answers at" in str(error.value) and len(str(error.value).splitlines()) == 1


async def test_an_answer_counts_only_from_whom_was_asked(open_client: Open, server: Any) -> None:
    alice = await open_client(ALICE)
    connection = alice._connection
    nobody = Jid(BOB, server.domain, "d1")
    asking = asyncio.create_task(connection.ask("get", element(PING, "ping"), nobody))
    await asyncio.sleep(0)
    (id_,) = connection._answers
    for sender in (str(Jid(CAROL, server.domain, "d1")), str(nobody.bare), server.domain, None):
        forged = st.iq("result", id=id_)
        if sender:
            forged.set("from", sender)
        connection._handle(StanzaReceived(forged))
        assert not asking.done()
    with pytest.raises(StanzaError) as error:  # the server's own answer: nobody is there
        await asking
    assert error.value.info.condition == "service-unavailable"
    assert not connection._answers and not len(connection._tracker)


class Eager:
    """Draws the shortest wait, and remembers what the longest would have been."""

    def __init__(self) -> None:
        self.bounds: list[float] = []
        self.enough = asyncio.Event()

    def uniform(self, low: float, high: float) -> float:
        self.bounds.append(high)
        if len(self.bounds) >= 8:
            self.enough.set()
        return 0.001

    def getrandbits(self, bits: int) -> int:
        return len(self.bounds)


async def test_waits_grow_and_a_running_call_makes_them_short(
    open_client: Open, connected: Any, server: Any
) -> None:
    alice, bob = await open_client(ALICE), await open_client(BOB)
    eager: Any = Eager()
    alice._connection._rng = eager
    await server.stop()
    async with asyncio.timeout(10):
        await eager.enough.wait()
    assert eager.bounds[:8] == [*STEPS, STEPS[-1], STEPS[-1]]
    await server.start()
    await alice.wait_online(10)
    await bob.wait_online(10)
    ours, theirs = await connected(alice, bob)
    eager.bounds.clear()
    await server.restart()
    async with asyncio.timeout(10):
        while alice._connection.logins < 3:
            alice._connection._settled.clear()
            await alice._connection._settled.wait()
    assert eager.bounds[0] == 0.0 and max(eager.bounds) <= 2.0
    assert ours.state == theirs.state == "connected"
    await bob.wait_online(10)
    await ours.hang_up()
    await theirs.ended()
