"""What the server has acknowledged outlives `kill -9` in the very moment in which the acknowledgement arrives.

One sender writes to somebody who reads, to somebody who is online and reads nothing, and to somebody who is away; the
server is killed as soon as a drawn number of stanzas is acknowledged. After it came back each of the three has
everything that was acknowledged, in order, and over no stream twice.
"""

import random
from pathlib import Path

from healthy import make_profile
from phone import SM, Phone
from victim import Victim
from wire import Failure
from world import Account, World

from signaling.client.profile import Profile

NUMBERS = tuple(f"+1202555{n:04d}" for n in range(180, 184))
BURST = 60  # of messages a round, in turns to each of the three
LIMITS = "resumable = 5.0\nstanzas = [100000, 0.00001]\nbytes = [1000000000, 0.000000001]\nmessages_kept_of_one = 1000\n"


async def kill_when_acknowledged(
    rounds: int, seed: int, folder: Path, plant: str = ""
) -> tuple[int, list[str]]:
    """How many messages were acknowledged, and what became untrue."""
    victim, rng = Victim(folder, LIMITS, plant), random.Random(seed)
    await victim.start()
    paths = [await make_profile(victim, number, folder) for number in NUMBERS]
    world = World.of(victim.url, [Account(Profile.open(path)) for path in paths])
    test = _Rounds(victim, world, rng)
    try:
        for n in range(rounds):
            try:
                await test.round(n)
            except (Failure, EOFError, OSError) as failure:
                test.problems.append(f"round {n}: {type(failure).__name__}: {failure}")
    finally:
        for phone in test.open:
            await phone.close(orderly=False)
        world.close()
        await victim.stop()
    return test.acknowledged, test.problems


class _Rounds:
    def __init__(self, victim: Victim, world: World, rng: random.Random) -> None:
        self.victim, self.world, self.rng = victim, world, rng
        self.acknowledged = 0
        self.problems: list[str] = []
        self.open: list[Phone] = []

    async def sign_in(self, n: int) -> Phone:
        phone = Phone(self.world, self.world.accounts[n], self.rng.getrandbits(32))
        self.open.append(phone)
        await phone.sign_in()
        return phone

    async def round(self, n: int) -> None:
        sender, reader, deaf = [await self.sign_in(k) for k in range(3)]
        deaf.wire.writer.transport.pause_reading()
        before, enough = sender.sent, self.rng.randint(1, BURST)
        for k in range(BURST):
            await sender.message(self.world.accounts[1 + k % 3].bare, f"{n}-{k:03}")
            await sender.say(f"<r xmlns='{SM}'/>")
        await sender.until(lambda: sender.acknowledged >= before + enough, "acknowledgement")
        await self.victim.kill()
        count = sender.acknowledged - before
        self.acknowledged += count
        came = {1: reader.messages, 2: [], 3: []}
        for phone in self.open:
            await phone.close(orderly=False)
        self.open.clear()
        await self.victim.start()
        for k in (1, 2, 3):
            await self._compare(
                k, [f"{n}-{m:03}" for m in range(count) if 1 + m % 3 == k], [i for i, _ in came[k]]
            )

    async def _compare(self, k: int, ids: list[str], before: list[str]) -> None:
        phone = await self.sign_in(k)
        who = ("somebody who read", "somebody who was online", "somebody who was away")[k - 1]
        try:
            await phone.until(lambda: {*ids} <= {*before, *(i for i, _ in phone.messages)}, "message", 10.0)
        except Failure as failure:
            lost = sorted({*ids} - {*before} - {i for i, _ in phone.messages})
            self.problems.append(
                f"acknowledged, and lost to {who}: {len(lost)} of {len(ids)}, {lost[:3]} ({failure})"
            )
        await phone.acknowledgement()
        came = [i for i, _ in phone.messages]
        if len({*came}) < len(came) or len({*before}) < len(before):
            self.problems.append(f"twice over one stream to {who}")
        if came != sorted(came) or before != sorted(before):
            self.problems.append(f"in another order to {who}")
        await phone.close()
        self.open.remove(phone)
