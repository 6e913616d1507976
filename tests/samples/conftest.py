"""Both packages together: a server in the test's process, and people who call each other with the real engine."""

import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from media import PeerConnection
from media.io.sources import AudioSink, AudioSource, Discard, Tone
from media.simulation.link import Link
from signaling import Client
from signaling.client.registration import Progress, register
from signaling.server.app import Server
from signaling.server_config import ServerConfig

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"


@dataclass
class Town:
    """A server and its registered people, by number."""

    folder: Path
    config: ServerConfig
    server: Server | None = None

    async def start(self) -> None:
        self.server = await Server.start(self.config)
        self.config = replace(self.config, port=int(self.server.url.rpartition(":")[2]))

    async def stop(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            await server.stop()

    async def register(self, number: str) -> None:
        assert self.server is not None

        async def read_sms(_: Progress) -> str:
            lines = [json.loads(line) for line in (self.folder / "sms.jsonl").read_text().splitlines()]
            return re.findall(r"\b\d{6}\b", next(m["text"] for m in reversed(lines) if m["to"] == number))[0]

        (await register(number, self.server.url, self.profile(number), read_sms)).close()

    def profile(self, number: str) -> Path:
        return self.folder / f"{number}.profile"

    @contextlib.asynccontextmanager
    async def online(self, number: str, **options: Any) -> AsyncIterator[Client]:
        async with Client.open(self.profile(number), ring_unknown=True, **options) as client:
            await client.wait_online(5)
            yield client


def connection(
    microphone: AudioSource | None = None, speaker: AudioSink | None = None, network: Link | None = None
) -> PeerConnection:
    """A voice connection on loopback; a tone, nobody listening, unless told otherwise."""
    return PeerConnection(
        microphone=microphone or Tone(),
        speaker=speaker or Discard(),
        addresses=["127.0.0.1"],
        network=network,
    )


@pytest.fixture
def connect():  # the helper, for tests
    return connection


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    config = ServerConfig(data=tmp_path / "data", port=0, sms=f"file:{tmp_path / 'sms.jsonl'}")
    town = Town(tmp_path, config)
    await town.start()
    for number in (ALICE, BOB, CAROL):
        await town.register(number)
    yield town
    await town.stop()
