"""stanza.js, a Jingle client that knows nothing of us, calls and is called through our signaling server."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from media import PeerConnection
from media.io.sources import Tone
from signaling import Client
from signaling.client.api import AccessTokens, ServerApi
from signaling.client.profile import Profile
from signaling.client.registration import Progress, register
from signaling.client.websocket import StanzaError
from signaling.jid import Jid
from signaling.server.app import Server
from signaling.server_config import ServerConfig
from signaling.xml import PING, element
from tests.interop.material import ANSWERER, OFFERER, Card, Ears, Eyes, Plan, Side
from tests.interop.stanza import Stanza

ALICE, FOREIGN = "+12025550100", "+12025550101"
PATIENCE = 25.0


@dataclass
class Town:
    """A server, Alice with our client, and an account for the foreign one."""

    alice: Client
    alice_jid: str
    account: dict[str, str]


@pytest.fixture
async def town(tmp_path: Path, foreign: Stanza) -> AsyncIterator[Town]:
    sms = tmp_path / "sms.jsonl"
    origins = frozenset({foreign.page.origin})
    server = await Server.start(
        ServerConfig(data=tmp_path / "data", port=0, sms=f"file:{sms}", origins=origins)
    )

    async def enrol(number: str) -> Profile:
        async def read_sms(_: Progress) -> str:
            lines = [json.loads(line) for line in sms.read_text().splitlines()]
            return re.findall(r"\b\d{6}\b", next(m["text"] for m in lines if m["to"] == number))[0]

        return await register(number, server.url, tmp_path / f"{number}.profile", read_sms)

    try:
        with await enrol(ALICE) as profile:
            alice_jid = str(profile.jid)
        with await enrol(FOREIGN) as profile:
            async with aiohttp.ClientSession() as session:
                api = ServerApi(session, server.url)
                info = await api.server()
                account = {
                    "jid": str(profile.jid),
                    "server": info.domain,
                    "url": info.websocket,
                    "password": await AccessTokens(api, profile).password(info.websocket),
                }
        path = tmp_path / f"{ALICE}.profile"
        async with Client.open(path, ring_unknown=True, allow_unsigned=True) as alice:
            await alice.wait_online(5)
            yield Town(alice, alice_jid, account)
    finally:
        await server.stop()


@dataclass
class Phone:
    """Our end of the call."""

    connection: PeerConnection
    ears: Ears
    eyes: Eyes


def phone(codec: str, side: Side, other: Side) -> Phone:
    ears, eyes = Ears(other.hz), Eyes(other)
    video = {"camera": Card(side), "screen": eyes, "video_codecs": [codec]} if codec else {}
    connection = PeerConnection(microphone=Tone(side.hz), speaker=ears, addresses=["127.0.0.1"], **video)
    return Phone(connection, ears, eyes)


@pytest.fixture
async def foreign(browser, stanza_ready) -> AsyncIterator[Stanza]:
    client = Stanza()
    yield client
    await client.close()


async def talk(ours: Phone, foreign: Stanza, codec: str) -> None:
    waits = [ours.ears.heard.wait(), foreign.heard.wait()]
    if codec:
        waits += [ours.eyes.seen.wait(), foreign.seen.wait()]
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waits)


@pytest.mark.parametrize("codec", ["", "VP8", "H264"], ids=["voice", "VP8", "H264"])
async def test_our_client_calls_stanza(town: Town, foreign: Stanza, browser, note_plan, codec: str) -> None:
    plan = Plan("ours", "stanza.js", codec)
    note_plan(plan)
    await foreign.log_in(browser, plan, ANSWERER, OFFERER, town.account)
    ours = phone(codec, OFFERER, ANSWERER)
    media = ("audio", "video") if codec else ("audio",)
    async with asyncio.timeout(PATIENCE):
        call = await town.alice.call(FOREIGN, ours.connection, media=media)
    await talk(ours, foreign, codec)
    await call.hang_up()
    async with asyncio.timeout(PATIENCE):
        assert await foreign.terminated == "success"
    assert call.end_reason == "hung_up"


@pytest.mark.parametrize("codec", ["", "VP8", "H264"], ids=["voice", "VP8", "H264"])
async def test_stanza_calls_our_client(town: Town, foreign: Stanza, browser, note_plan, codec: str) -> None:
    plan = Plan("stanza.js", "ours", codec)
    note_plan(plan)
    await foreign.log_in(browser, plan, OFFERER, ANSWERER, town.account)
    # It calls without a proposal (XEP-0353): only whom she has shown herself to can do that (docs/protocol.md section 3).
    with pytest.raises(StanzaError):  # it has not shown itself to her
        await town.alice._connection.ask("get", element(PING, "ping"), Jid.parse(town.account["jid"]))
    await foreign.call(town.alice_jid)
    async with asyncio.timeout(PATIENCE):
        incoming = await town.alice.next_incoming()
        assert (incoming.number, incoming.media) == (FOREIGN, ("audio", "video") if codec else ("audio",))
        ours = phone(codec, ANSWERER, OFFERER)
        call = await incoming.accept(ours.connection)
    await talk(ours, foreign, codec)
    await foreign.hang_up()
    async with asyncio.timeout(PATIENCE):
        assert await call.ended() == "hung_up"
