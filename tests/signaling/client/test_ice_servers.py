"""STUN and TURN servers of a call: who asks, when, and which way media may go. Real server, fake engines."""

import asyncio

import pytest

from signaling import CallFailed, IceServerConfig, IceTransportPolicy
from signaling.external_services import CREDENTIAL_LIFE

ALICE, BOB = "+12025550100", "+12025550101"
TURN = "turn:turn.example:3478?transport=udp"
RELAYS = {"turn": ("stun:stun.example", TURN), "turn_secret": "north"}


@pytest.fixture
def server_options():
    return RELAYS


@pytest.fixture
async def both(open_client, server):
    """Alice knows Bob, Bob does not know Alice."""
    return await open_client(ALICE, wall_clock=server.clock), await open_client(BOB, wall_clock=server.clock)


async def talk(engine, caller, callee):
    async with asyncio.timeout(5):
        ends = engine(), engine()
        calling = asyncio.create_task(caller.call(callee.number, ends[0]))
        theirs = await (await callee.next_incoming()).accept(ends[1])
        return ends, (await calling, theirs)


async def test_both_ends_get_the_servers_and_a_stranger_sees_only_relays(both, engine):
    (ours, theirs), calls = await talk(engine, *both)
    for end, policy in ((ours, "all"), (theirs, "relay")):
        ((servers, said),) = end.configured
        assert [s.urls for s in servers] == [("stun:stun.example:3478",), (TURN,)]
        assert servers[1].username and servers[1].credential and said == policy
        assert servers[1].credential not in repr(servers)
    await calls[0].hang_up()
    await calls[1].ended()
    (_, theirs), calls = await talk(engine, *both)
    assert theirs.configured[0][1] == "all", "who was in a call is no stranger"
    await calls[0].hang_up()


async def test_renewed_before_a_restart_when_half_of_their_life_is_over(both, engine, server):
    (ours, theirs), calls = await talk(engine, *both)
    for seconds, times in ((0, 1), (CREDENTIAL_LIFE * 0.6, 2)):
        server.advance(seconds)
        await calls[0].restart_ice()
        async with asyncio.timeout(5):
            async for event in calls[0].events():
                if event.name == "ice-restarted":
                    break
        assert len(ours.configured) == len(theirs.configured) == times
        for end in (ours, theirs):  # a fake engine restarts once
            end.log = [entry for entry in end.log if not entry.startswith("restart")]
    first, second = (servers[1] for servers, _ in ours.configured)
    assert first.username < second.username and first.credential != second.credential
    assert [policy for _, policy in theirs.configured] == ["relay", "relay"]
    await calls[0].hang_up()


async def test_relay_only_as_a_choice(open_client, engine, server):
    alice = await open_client(ALICE, ice_transport_policy=IceTransportPolicy.RELAY)
    bob = await open_client(BOB, ice_servers=[IceServerConfig(("stun:own.example",))])
    (ours, theirs), calls = await talk(engine, alice, bob)
    assert ours.configured[0][1] == "relay"
    assert theirs.configured[0][0][0].urls == ("stun:own.example",)
    await calls[0].hang_up()


class TestWithoutServers:
    @pytest.fixture
    def server_options(self):
        return {}

    async def test_nothing_is_told_and_the_call_goes_on(self, both, engine):
        (ours, theirs), calls = await talk(engine, *both)
        assert ours.configured == theirs.configured == [((), "all")]
        await calls[0].hang_up()

    async def test_relay_only_without_a_relay_fails_and_says_so(self, open_client, engine):
        alice = await open_client(ALICE, ice_transport_policy=IceTransportPolicy.RELAY)
        await open_client(BOB)
        with pytest.raises(CallFailed, match="relays only, and none is known"):
            async with asyncio.timeout(5):
                await alice.call(BOB, engine())

    async def test_trouble_with_a_server_is_the_reason_when_there_is_no_route(
        self, both, engine, monkeypatch, caplog
    ):
        monkeypatch.setattr("signaling.client.running.ROUTE_TIMEOUT", 0.05)
        ends = engine(reachable=False), engine()
        calling = asyncio.create_task(both[0].call(BOB, ends[0]))
        async with asyncio.timeout(5):
            incoming = await both[1].next_incoming()
            ends[0]._queue.put_nowait(("candidate-error", TURN, "401 Unauthorized"))
            with pytest.raises(CallFailed):
                await incoming.accept(ends[1])
            with pytest.raises(CallFailed, match="401 Unauthorized"):
                await calling
        assert f"{TURN}: 401 Unauthorized" in caplog.text
