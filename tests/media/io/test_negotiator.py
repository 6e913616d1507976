"""Offers and answers that cross or are renewed before they are answered, over real sockets in virtual time."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from media import ConnectionClosed, Discard, NegotiationError, PeerConnection, Tone

RunVirtually = Callable[..., Any]


async def in_call(scene: Callable[..., Awaitable[None]], *, connected: bool) -> None:
    """Runs `scene(alice, bob)`, and connects them before if asked to."""
    ends = [PeerConnection(microphone=Tone(), speaker=Discard(), addresses=["127.0.0.1"]) for _ in range(2)]
    alice, bob = ends
    try:
        if connected:
            await alice.set_answer(await bob.create_answer(await alice.create_offer()))
            await both_connected(*ends)
        await scene(*ends)
    finally:
        for end in ends:
            await end.close()


async def both_connected(*ends: PeerConnection) -> None:
    """And each hears the other, from now on."""
    before = [received(end) for end in ends]
    async with asyncio.timeout(10):
        while not all(  # noqa: ASYNC110 (statistics have no event; the time is virtual)
            end.state == "connected" and received(end) >= count + 10
            for end, count in zip(ends, before, strict=True)
        ):
            await asyncio.sleep(0.05)


def received(end: PeerConnection) -> int:
    return int(end.get_stats().get("inbound-rtp-audio", {}).get("packetsReceived", 0))


def ufrag(description: str) -> str:
    found = re.search(r"a=ice-ufrag:(\S+)", description)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("offers", [1, 2])
def test_glare_before_the_first_answer(run_virtually: RunVirtually, offers: int) -> None:
    async def scene(alice: PeerConnection, bob: PeerConnection) -> None:
        for _ in range(offers):
            await alice.create_offer()
        offer = await bob.create_offer()
        answer = await alice.create_answer(offer)
        await bob.set_answer(answer)
        await both_connected(alice, bob)
        with pytest.raises(NegotiationError):  # of the offer that was given up
            await alice.set_answer(answer)

    run_virtually(in_call(scene, connected=False))


def test_both_ends_offer_at_the_same_moment(run_virtually: RunVirtually) -> None:
    async def scene(alice: PeerConnection, bob: PeerConnection) -> None:
        offer = await bob.create_offer()
        _, answer = await asyncio.gather(alice.create_offer(), alice.create_answer(offer))
        await bob.set_answer(answer)
        await both_connected(alice, bob)

    run_virtually(in_call(scene, connected=False))


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_restart_before_the_first_answer(run_virtually: RunVirtually, restarts: int) -> None:
    async def scene(alice: PeerConnection, bob: PeerConnection) -> None:
        offers = [await alice.create_offer()]
        for _ in range(restarts):
            offers.append(await alice.create_offer(ice_restart=True))
        assert len({ufrag(offer) for offer in offers}) == len(offers)
        await alice.set_answer(await bob.create_answer(offers[-1]))
        await both_connected(alice, bob)

    run_virtually(in_call(scene, connected=False))


def test_a_restart_by_who_then_answers(run_virtually: RunVirtually) -> None:
    """Alice changes network while it rings, then takes Bob's offer."""

    async def scene(alice: PeerConnection, bob: PeerConnection) -> None:
        await alice.create_offer()
        await alice.create_offer(ice_restart=True)
        await bob.set_answer(await alice.create_answer(await bob.create_offer()))
        await both_connected(alice, bob)

    run_virtually(in_call(scene, connected=False))


@pytest.mark.parametrize("theirs", [True, False])
@pytest.mark.parametrize("ours", [True, False])
def test_glare_in_a_running_call(run_virtually: RunVirtually, ours: bool, theirs: bool) -> None:
    """With restarts on either side: only the one that was answered takes place."""

    async def scene(alice: PeerConnection, bob: PeerConnection) -> None:
        offers = [await alice.create_offer(), await bob.create_offer()]
        given_up = await alice.create_offer(ice_restart=ours)
        offer = await bob.create_offer(ice_restart=theirs)
        answer = await alice.create_answer(offer)
        assert (ufrag(answer) != ufrag(offers[0])) is theirs
        if ours and not theirs:
            assert ufrag(answer) != ufrag(given_up)
        await bob.set_answer(answer)
        await both_connected(alice, bob)
        # and the next restart works, from the end that gave way
        await bob.create_answer(again := await alice.create_offer(ice_restart=True))
        assert ufrag(again) not in (ufrag(offers[0]), ufrag(answer))

    run_virtually(in_call(scene, connected=True))


def test_candidates_stand_in_the_section_that_carries_the_transport(run_virtually: RunVirtually) -> None:
    async def scene(alice: PeerConnection, bob: PeerConnection) -> None:
        alice.open_channel("chat")
        offer = (await alice.create_offer()).replace("BUNDLE 0 1", "BUNDLE 1 0")
        answer = await bob.create_answer(offer)
        first, second = re.split(r"(?m)^(?=m=)", answer)[1:]
        assert "a=group:BUNDLE 1 0" in answer and "a=candidate" not in first and "a=candidate" in second
        await alice.set_answer(answer)
        await both_connected(alice, bob)

    run_virtually(in_call(scene, connected=False))


def test_what_waits_for_its_turn_ends_with_the_connection(run_virtually: RunVirtually) -> None:
    async def scene(alice: PeerConnection, bob: PeerConnection) -> None:
        waiting = [asyncio.ensure_future(alice.create_offer()) for _ in range(3)]
        await asyncio.sleep(0)
        await alice.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, str | ConnectionClosed) for result in results), results
        assert isinstance(results[-1], ConnectionClosed)

    run_virtually(in_call(scene, connected=False))
