"""How long a call takes to its first sound: real connections and sockets, a loop that sets its clock forward."""

import asyncio
import statistics
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import numpy as np
import pytest

from media import PeerConnection
from media.codecs.base import Samples
from media.io.video_sinks import DiscardVideo
from media.simulation.profiles import get_profile

FRAME = 0.020

RunVirtually = Callable[[Coroutine[Any, Any, Any]], Any]


class Card:
    """A microphone and a speaker on the loop's clock."""

    def __init__(self) -> None:
        self.opened: float | None = None
        self.heard: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._due = 0.0

    async def read(self) -> Samples:
        now = asyncio.get_running_loop().time()
        if self.opened is None:
            self.opened = self._due = now
        self._due += FRAME
        await asyncio.sleep(max(0.0, self._due - now))
        return (3000 * np.sin(np.arange(960) / 7)).astype(np.int16)

    def write(self, samples: Samples) -> None:
        if not self.heard.done() and np.abs(samples).mean() > 30:
            self.heard.set_result(asyncio.get_running_loop().time())

    def close(self) -> None:
        pass


Times = dict[str, float | None]


async def _set_up(network: str, seed: int, *, prepared: bool) -> tuple[float, tuple[Times, Times]]:
    """Seconds from the offer to the first sound at the later end, and what each end says of the steps, in
    seconds after the offer as well."""
    loop = asyncio.get_running_loop()
    cards = Card(), Card()
    links = get_profile(network).links(seed)
    alice, bob = (
        PeerConnection(
            microphone=card, speaker=card, addresses=["127.0.0.1"], network=link, rng=Random(seed + index)
        )
        for index, (card, link) in enumerate(zip(cards, links, strict=True))
    )
    if prepared:
        alice.prepare()
        bob.prepare()
        await asyncio.sleep(0.5)
        assert [card.opened for card in cards] == [None, None]
    asked = loop.time()
    offer = await alice.create_offer()
    answer = await bob.create_answer(offer)
    await alice.set_answer(answer)
    async with asyncio.timeout(20):
        heard = await asyncio.gather(*(card.heard for card in cards))
    later = max(heard) - asked
    alices, bobs = (
        {step: None if at is None else at - asked for step, at in end.setup_times().items()}
        for end in (alice, bob)
    )
    await alice.close()
    await bob.close()
    return later, (alices, bobs)


# The seconds are what the path takes: round trips, half a round trip to the peer, 40 ms of playout, ticks.
@pytest.mark.parametrize(
    ("network", "seeds", "median", "worst"),
    [
        ("clean", 2, 0.100, 0.100),
        pytest.param("loss10", 12, 0.200, 0.500, marks=pytest.mark.long),
        pytest.param("loss20", 16, 0.240, 0.600, marks=pytest.mark.long),
        ("rtt300", 4, 0.8, 1.4),
    ],
)
def test_the_first_sound_comes_soon(
    run_virtually: RunVirtually, network: str, seeds: int, median: float, worst: float
) -> None:
    found = [run_virtually(_set_up(network, seed, prepared=True))[0] for seed in range(seeds)]
    assert statistics.median(found) <= median
    assert max(found) <= worst


def test_the_steps_of_a_clean_path(run_virtually: RunVirtually) -> None:
    """10 ms each way: media flows after one round trip of DTLS at the client and one and a half at the server."""
    _, (alice, bob) = run_virtually(_set_up("clean", 0, prepared=True))

    def after(times: Times, step: str) -> float:
        at = times[step]
        assert at is not None
        return at

    for end in (alice, bob):
        assert after(end, "candidates_gathered") == pytest.approx(-0.5, abs=0.02), "when it was prepared"
        assert after(end, "first_check") <= 0.002
        assert after(end, "ice_connected") == pytest.approx(0.020, abs=0.004)
    assert after(bob, "srtp_keys") == pytest.approx(0.020, abs=0.004)
    assert after(alice, "srtp_keys") == pytest.approx(0.030, abs=0.004)
    assert after(bob, "first_packet_sent") == pytest.approx(0.020, abs=0.005), "what the microphone has heard"
    assert after(alice, "first_packet_received") == pytest.approx(0.030, abs=0.006)
    assert after(bob, "first_packet_received") == pytest.approx(0.040, abs=0.006)


def test_without_preparation_it_works_as_well(run_virtually: RunVirtually) -> None:
    later, _ = run_virtually(_set_up("clean", 0, prepared=False))
    assert later <= 0.12


class Film:
    """A camera that is not to be opened."""

    opened = False

    async def read(self) -> Any:
        self.opened = True
        await asyncio.sleep(3600)

    def close(self) -> None:
        pass


async def _preconnect(network: str) -> tuple[float, float]:
    """A call that is connected while it rings for 12 s: seconds from the answer to the first sound at each end."""
    loop = asyncio.get_running_loop()
    cards, film = (Card(), Card()), Film()
    links = get_profile(network).links(0)
    ends = [
        PeerConnection(
            microphone=card,
            speaker=card,
            camera=film,
            screen=DiscardVideo(),
            addresses=["127.0.0.1"],
            network=link,
            rng=Random(n),
        )
        for n, (card, link) in enumerate(zip(cards, links, strict=True))
    ]
    alice, bob = ends
    channel = alice.open_channel("chat")
    for end in ends:
        end.set_media_enabled(False)
    await alice.set_answer(await bob.create_answer(await alice.create_offer()))
    await asyncio.sleep(12)
    for end in ends:  # RTCP keeps it alive; nothing else flows
        assert end.state == "connected" and end.setup_times()["srtp_keys"] is not None
        assert end.setup_times()["first_sound"] is None and end.report().duration == 0
    assert [card.opened for card in cards] == [None, None] and not film.opened
    assert channel.state == "connecting"
    answered = loop.time()
    bob.set_media_enabled(True)
    await asyncio.sleep(1.0)  # what bob says before alice knows of it is heard by nobody, and harms nobody
    assert cards[1].opened is not None and cards[0].opened is None and not cards[0].heard.done()
    knows = loop.time()
    alice.set_media_enabled(True)
    async with asyncio.timeout(5):
        at_alice, at_bob = await asyncio.gather(*(card.heard for card in cards))
    await asyncio.sleep(1.0)
    assert channel.state == "open"
    assert film.opened and answered < cards[1].opened + 0.1
    for end in ends:
        await end.close()
    return at_alice - knows, at_bob - knows


def test_connected_while_it_rings(run_virtually: RunVirtually) -> None:
    """10 ms each way: a packet is on its way already, and 40 ms of playout."""
    at_alice, at_bob = run_virtually(_preconnect("clean"))
    assert at_alice <= 0.075 and at_bob <= 0.09
