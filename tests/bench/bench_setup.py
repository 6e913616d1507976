"""Time from the offer to the first sound at the later end, over emulated networks, in virtual time.

    python tests/bench/bench_setup.py --profiles clean,loss10,loss20 --seeds 200 --worst 2

Two PeerConnections with real sockets of this machine, in a loop that sets its clock forward whenever nothing is left to
read: computing takes no time, so this is what the protocol costs and nothing else. Signaling takes no time either.
`--worst N` shows the steps of the N slowest calls, ms after the offer.
"""

import argparse
import asyncio
import selectors
import statistics
from random import Random
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from media import PeerConnection
from media.codecs.base import Samples
from media.simulation.profiles import get_profile

FRAME = 0.020
PATIENCE = 30.0
Steps = dict[str, float | None]


class Selector(selectors.DefaultSelector):
    now = 100.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


class Card:
    """A microphone and a speaker on the loop's clock."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None
        self.heard: asyncio.Future[float] = self._loop.create_future()

    async def read(self) -> Samples:
        now = self._loop.time()
        self._due = (now if self._due is None else self._due) + FRAME
        await asyncio.sleep(max(0.0, self._due - now))
        return (3000 * np.sin(np.arange(960) / 7)).astype(np.int16)

    def write(self, samples: Samples) -> None:
        if not self.heard.done() and np.abs(samples).mean() > 30:
            self.heard.set_result(self._loop.time())

    def close(self) -> None:
        pass


async def set_up(network: str, seed: int) -> tuple[float | None, list[Steps]]:
    """Seconds to the first sound at the later end (None: never), and each end's steps, seconds."""
    loop = asyncio.get_running_loop()
    cards = Card(), Card()
    alice, bob = (
        PeerConnection(
            microphone=card, speaker=card, addresses=["127.0.0.1"], network=link, rng=Random(seed + index)
        )
        for index, (card, link) in enumerate(zip(cards, get_profile(network).links(seed), strict=True))
    )
    alice.prepare()
    bob.prepare()
    await asyncio.sleep(0.2)
    asked = loop.time()
    await alice.set_answer(await bob.create_answer(await alice.create_offer()))
    try:
        async with asyncio.timeout(PATIENCE):
            took = max(await asyncio.gather(*(card.heard for card in cards))) - asked
    except TimeoutError:
        took = None
    steps = [{k: v and v - asked for k, v in end.setup_times().items()} for end in (alice, bob)]
    for end in (alice, bob):
        await end.close()
    return took, steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profiles", default="clean,loss10,loss20,burst,rtt300,jitter,lowbw")
    parser.add_argument("--seeds", type=int, default=100, help="calls a profile")
    parser.add_argument("--worst", type=int, default=0, help="show the steps of so many")
    options = parser.parse_args()
    table = Table("network", "median ms", "p90", "p97", "worst", "never")
    console = Console()
    for network in options.profiles.split(","):
        found = []
        for seed in range(options.seeds):
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                found.append(runner.run(set_up(network, seed)))
        ms = sorted(1000 * took for took, _ in found if took is not None)
        if ms:
            figures = [statistics.median(ms), ms[int(0.9 * len(ms))], ms[int(0.97 * len(ms))], ms[-1]]
            table.add_row(network, *(f"{v:.0f}" for v in figures), str(len(found) - len(ms)))
        for took, ends in sorted(found, key=lambda f: -(f[0] or PATIENCE))[: options.worst]:
            console.print(network, "never" if took is None else f"{took * 1000:.0f} ms")
            for end in ends:
                console.print("   ", {k: round(v * 1000) for k, v in end.items() if v is not None})
    console.print(table)


if __name__ == "__main__":
    main()
