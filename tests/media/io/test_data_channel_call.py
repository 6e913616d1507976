"""Data channels of real connections, over sockets on loopback: ours with ours, and with aiortc's."""

import asyncio
from collections.abc import AsyncIterator

import aiortc
import pytest

from media import ConnectionClosed, PeerConnection

PATIENCE = 10.0
MESSAGES = ["Grüße", b"\0\1\2", "", b"", "x" * 100_000]


@pytest.fixture
async def pair() -> AsyncIterator[tuple[PeerConnection, PeerConnection]]:
    connections = PeerConnection(addresses=["127.0.0.1"]), PeerConnection(addresses=["127.0.0.1"])
    async with asyncio.timeout(PATIENCE):
        yield connections
    for connection in connections:
        await connection.close()


async def negotiate(offerer: PeerConnection, answerer: PeerConnection) -> None:
    await offerer.set_answer(await answerer.create_answer(await offerer.create_offer()))


async def test_messages_both_ways_and_the_end(pair: tuple[PeerConnection, PeerConnection]) -> None:
    a, b = pair
    here = a.open_channel("chat", protocol="text")
    await negotiate(a, b)
    there = await anext(b.channels())
    assert (there.label, there.protocol) == ("chat", "text")
    for message in MESSAGES:
        await here.send(message)
        assert await there.receive() == message
        await there.send(message)
        assert await here.receive() == message
    back = b.open_channel("from the answerer")  # the section is there: no new offer is needed
    await back.send("hello")
    assert await (await anext(a.channels())).receive() == "hello"
    await a.close()
    assert [m async for m in there] == [m async for m in here] == []
    with pytest.raises(ConnectionClosed):
        await there.send("?")
    with pytest.raises(ConnectionClosed):
        a.open_channel("late")


async def test_a_channel_in_the_middle_of_a_call(pair: tuple[PeerConnection, PeerConnection]) -> None:
    a, b = pair
    await negotiate(a, b)
    connected = asyncio.ensure_future(_connected(a))
    await connected
    here = a.open_channel("later")
    await negotiate(a, b)
    await here.send("now")
    assert await (await anext(b.channels())).receive() == "now"


async def test_the_answerer_asks_for_it_later(pair: tuple[PeerConnection, PeerConnection]) -> None:
    a, b = pair
    await negotiate(a, b)
    here = b.open_channel("mine")
    await negotiate(b, a)
    await here.send("now")
    assert await (await anext(a.channels())).receive() == "now"


async def _connected(connection: PeerConnection) -> None:
    async for event in connection.events():
        if event[:2] == ("state", "connected"):
            return


async def test_with_aiortc() -> None:
    theirs = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    theirs.addTransceiver("audio")
    answers: asyncio.Queue[str | bytes] = asyncio.Queue()
    channel = theirs.createDataChannel("theirs")
    channel.on("message", answers.put_nowait)

    @theirs.on("datachannel")
    def on_channel(incoming: aiortc.RTCDataChannel) -> None:
        incoming.on("message", incoming.send)

    ours = PeerConnection(addresses=["127.0.0.1"])
    try:
        async with asyncio.timeout(PATIENCE):
            await theirs.setLocalDescription(await theirs.createOffer())
            answer = await ours.create_answer(theirs.localDescription.sdp)
            await theirs.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
            here = await anext(ours.channels())
            mine = ours.open_channel("ours")
            await here.opened()
            for message in MESSAGES:
                await here.send(message)
                assert await answers.get() == message
                await mine.send(message)
                assert await mine.receive() == message
            channel.close()
            assert [m async for m in here] == []
    finally:
        await ours.close()
        await theirs.close()
