"""kill -9 of the signaling server in a loop, under clients that message and call; then everything is counted.

    .venv/bin/python tests/bench/kill_server.py --seconds 120 --clients 50 --out build/kill-server.json

First it is killed in the very moment of an acknowledgement, under phones that count (tests/fuzz/acknowledged.py).
Then, at any time: a message counts as accepted when `Connection.send` took it. It must arrive exactly once, or come back as an error:
the exit code is 1 if one is lost, arrives twice, or is not accounted for; or if a call hangs or ends unsaid. Clients
are whole `signaling.Client`s; only the media engine is one that negotiates and sends nothing.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fuzz"))  # what kills and what fuzzes share

from acknowledged import kill_when_acknowledged
from healthy import load_engine, make_profile
from planted import FAULTS
from victim import Victim

from signaling import stanza as st
from signaling.client import Client
from signaling.errors import SignalingError
from signaling.jid import Jid
from signaling.xml import HINTS, Element, child, element

NS = "urn:example:kill-server"
SETTLE = 90.0  # seconds for everything to arrive after the last kill
CALL_LIMIT = 120.0  # no call may take longer to say what became of it


class Phone:
    """A client with its partner: what it sent, what came in, what came back."""

    def __init__(self, client: Client, partner: str, rng: random.Random, ether: dict, engine: type) -> None:
        self.client, self.partner, self.rng = client, partner, rng
        self.connection = client._connection
        self.accepted: set[str] = set()
        self.refused = 0
        self.reported: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.order: list[int] = []  # of its partner's messages, as they came
        self.calls: Counter[str] = Counter()
        self._engine = lambda: engine(ether)
        self._dispatch = self.connection._on_stanza
        self.connection._on_stanza = self._on_stanza

    def _on_stanza(self, stanza: Element) -> None:
        body = child(stanza, NS, "m")
        if body is not None:
            self.received[body.get("id", "")] += 1
            self.order.append(int(body.get("id", "").rpartition("-")[2]))
        elif (stanza.get("id") or "").startswith("m-") and stanza.get("type") == "error":
            self.reported[stanza.get("id", "")] += 1
        else:
            self._dispatch(stanza)

    async def send(self, stop: asyncio.Event) -> None:
        to, count = Jid(self.partner, self.connection._profile.jid.domain), 0
        while not stop.is_set():
            count += 1
            id_ = f"m-{self.client.number}-{count}"
            message = st.message(to, element(NS, "m", {"id": id_}), element(HINTS, "store"), id=id_)
            if self.connection.send(message):
                self.accepted.add(id_)
            else:
                self.refused += 1
            await asyncio.sleep(self.rng.uniform(0.05, 0.3))

    async def call(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(self.rng.uniform(0.5, 4))
            try:
                async with asyncio.timeout(CALL_LIMIT):
                    call = await self.client.call(self.partner, self._engine())
                    await asyncio.sleep(self.rng.uniform(0, 2))
                    await call.hang_up()
                    self.calls[f"connected, {call.end_reason}"] += 1
            except SignalingError as error:
                self.calls[type(error).__name__] += 1
            except TimeoutError:
                self.calls["HANGS"] += 1

    async def answer(self) -> None:
        async for incoming in self.client.incoming():
            try:
                async with asyncio.timeout(CALL_LIMIT):
                    call = await incoming.accept(self._engine())
                    self.calls[f"answered, {await call.ended()}"] += 1
            except SignalingError as error:
                self.calls[f"answered, {type(error).__name__}"] += 1
            except TimeoutError:
                self.calls["HANGS"] += 1


async def _torment(server: Victim, seconds: float, every: float, rng: random.Random) -> int:
    kills, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(rng.uniform(0.3, 2 * every - 0.3))
        await server.kill()
        kills += 1
        await server.start()
    return kills


def _settled(phones: list[Phone]) -> bool:
    received = Counter[str]()
    for phone in phones:
        received.update(phone.received)
        received.update(phone.reported)
    return all(
        not phone.connection.unacknowledged and all(received[id_] for id_ in phone.accepted)
        for phone in phones
    )


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    rng, ether, engine = random.Random(arguments.seed), {}, load_engine()
    numbers = [f"+1202555{n:04d}" for n in range(100, 100 + arguments.clients)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Victim(folder, plant=arguments.plant)
        await server.start()
        clients: list[Client] = []
        for number in numbers:
            path = await make_profile(server, number, folder)
            client = await Client.open(path, ring_unknown=True).__aenter__()
            await client.wait_online(20)
            clients.append(client)
        phones = [
            Phone(client, numbers[n ^ 1], random.Random(rng.random()), ether, engine)
            for n, client in enumerate(clients)
        ]
        stop = asyncio.Event()
        senders = [asyncio.create_task(phone.send(stop)) for phone in phones]
        # One of two calls, so that every pair has at most one call.
        callers = [asyncio.create_task(phone.call(stop)) for phone in phones[::2]]
        answerers = [asyncio.create_task(phone.answer()) for phone in phones]
        kills = await _torment(server, arguments.seconds, arguments.every, rng)
        stop.set()
        await asyncio.gather(*senders, *callers)
        deadline = time.monotonic() + SETTLE
        while not _settled(phones) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        for client in clients:
            await client.close()
        await asyncio.gather(*answerers)
        await server.kill()
    return _count(phones, kills)


def _count(phones: list[Phone], kills: int) -> dict[str, object]:
    accepted = set().union(*(phone.accepted for phone in phones))
    received, reported, calls = Counter[str](), Counter[str](), Counter[str]()
    for phone in phones:
        received.update(phone.received)
        reported.update(phone.reported)
        calls.update(phone.calls)
    return {
        "kills": kills,
        "messages accepted": len(accepted),
        "messages refused by send": sum(phone.refused for phone in phones),
        "arrived exactly once": sum(received[id_] == 1 for id_ in accepted),
        "arrived more than once": sum(received[id_] > 1 for id_ in accepted),
        "reported to the sender": sum(not received[id_] and id_ in reported for id_ in accepted),
        "lost": sorted(id_ for id_ in accepted if not received[id_] and id_ not in reported),
        "came in another order": sum(phone.order != sorted(phone.order) for phone in phones),
        "never sent, but arrived": len(set(received) - accepted),
        "sign-ins": sum(phone.connection.logins for phone in phones),
        "calls": dict(calls.most_common()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=50, help="an even number")
    parser.add_argument("--every", type=float, default=7, help="mean time between kills")
    parser.add_argument(
        "--rounds", type=int, default=10, help="kills in the moment of an acknowledgement, before all else"
    )
    parser.add_argument("--plant", default="", choices=("", *FAULTS), help="a fault that must be noticed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the counts as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rounds = kill_when_acknowledged(arguments.rounds, arguments.seed, Path(name), arguments.plant)
        acknowledged, problems = asyncio.run(rounds)
    result = asyncio.run(run(arguments)) if arguments.seconds else {"kills": arguments.rounds, "calls": {}}
    result |= {"acknowledged before a kill": acknowledged, "not true of these": problems}
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
    calls = result["calls"]
    assert isinstance(calls, dict)
    wrong = [
        result.get(k)
        for k in ("lost", "arrived more than once", "came in another order", "never sent, but arrived")
    ]
    wrong += problems
    return 1 if any(wrong) or "HANGS" in calls or not result["kills"] else 0


if __name__ == "__main__":
    sys.exit(main())
