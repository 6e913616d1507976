"""ICE restart of a running call: new credentials and sockets, the sound goes on."""

import asyncio

import numpy as np
import pytest

from media import NegotiationError, PeerConnection, Tone


class Ear:
    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def write(self, samples: np.ndarray) -> None:
        if np.abs(samples.astype(int)).mean() > 1000:
            self.heard.set()

    def close(self) -> None:
        pass


@pytest.fixture
async def call():
    ears = Ear(), Ear()
    ends = [PeerConnection(microphone=Tone(), speaker=ear, addresses=["127.0.0.1"]) for ear in ears]
    offer = await ends[0].create_offer()
    await ends[0].set_answer(await ends[1].create_answer(offer))
    await asyncio.wait_for(asyncio.gather(*(e.heard.wait() for e in ears)), 5)
    yield ends, ears
    for end in ends:
        await end.close()


def local_address(end: PeerConnection) -> str:
    return end.get_stats()["candidate-pair"]["localAddress"]


async def moved(end: PeerConnection, old: str) -> None:
    """The end has another path; polled by its own events of statistics."""
    while local_address(end) == old:  # noqa: ASYNC110 (statistics have no event)
        await asyncio.sleep(0)


async def test_sound_goes_on_over_a_new_path(call) -> None:
    ends, ears = call
    before = [local_address(e) for e in ends]
    offer = await ends[0].create_offer(ice_restart=True)
    await ends[0].set_answer(await ends[1].create_answer(offer))
    await asyncio.wait_for(asyncio.gather(*map(moved, ends, before)), 5)
    for ear in ears:
        ear.heard.clear()
    await asyncio.wait_for(asyncio.gather(*(e.heard.wait() for e in ears)), 5)
    assert [e.state for e in ends] == ["connected", "connected"]


async def test_a_later_offer_without_restart_keeps_the_path(call) -> None:
    ends, _ = call
    before = [local_address(e) for e in ends]
    offer = await ends[0].create_offer()
    await ends[0].set_answer(await ends[1].create_answer(offer))
    assert [local_address(e) for e in ends] == before


async def test_a_restart_may_not_change_the_identity(call) -> None:
    ends, _ = call
    stranger = PeerConnection(addresses=["127.0.0.1"])
    with pytest.raises(NegotiationError, match="fingerprint"):
        await ends[1].create_answer(await stranger.create_offer())
    await stranger.close()


async def test_an_unanswered_restart_leaves_the_call_alone(call) -> None:
    ends, ears = call
    await ends[0].create_offer(ice_restart=True)
    await ends[0].create_offer(ice_restart=True)
    ears[1].heard.clear()
    await asyncio.wait_for(ears[1].heard.wait(), 5)
