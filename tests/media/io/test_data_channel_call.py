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


# -- channels that both ends open by themselves (W3C: negotiated)


@pytest.mark.parametrize("opened_late", [True, False])
async def test_a_channel_that_both_ends_negotiated_before(
    pair: tuple[PeerConnection, PeerConnection], opened_late: bool
) -> None:
    a, b = pair
    here = a.open_channel("one", negotiated=True, id=7)
    there = None if opened_late else b.open_channel("two", negotiated=True, id=7)
    other = a.open_channel("told")  # takes another number
    await negotiate(a, b)
    assert (await anext(b.channels())).label == "told", "and of the first nobody is told"
    there = there or b.open_channel("two", negotiated=True, id=7)
    for message in MESSAGES:
        await here.send(message)
        assert await there.receive() == message
        await there.send(message)
        assert await here.receive() == message
    assert other.id != here.id == there.id == 7
    here.close()
    assert [message async for message in there] == []


async def test_a_negotiated_channel_with_aiortc() -> None:
    theirs = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    theirs.addTransceiver("audio")
    channel = theirs.createDataChannel("theirs", negotiated=True, id=3)
    channel.on("message", lambda message: channel.send(message))
    ours = PeerConnection(addresses=["127.0.0.1"])
    try:
        async with asyncio.timeout(PATIENCE):
            here = ours.open_channel("ours", negotiated=True, id=3)
            await theirs.setLocalDescription(await theirs.createOffer())
            answer = await ours.create_answer(theirs.localDescription.sdp)
            await theirs.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
            for message in MESSAGES:
                await here.send(message)
                assert await here.receive() == message
    finally:
        await ours.close()
        await theirs.close()


async def test_what_a_negotiated_channel_may_not_be(pair: tuple[PeerConnection, PeerConnection]) -> None:
    a, _ = pair
    a.open_channel("one", negotiated=True, id=0)
    for wrong in (
        {"negotiated": True},
        {"id": 1},
        {"negotiated": True, "id": 65535},
        {"negotiated": True, "id": -1},
    ):
        with pytest.raises(ValueError, match="id"):
            a.open_channel("wrong", **wrong)
    with pytest.raises(ValueError, match="already"):
        a.open_channel("again", negotiated=True, id=0)


async def test_the_peer_stops_the_section_for_data(pair: tuple[PeerConnection, PeerConnection]) -> None:
    """The channels end, with a reason that a reader sees; the call goes on, and may not have data again."""
    a, b = pair
    here = a.open_channel("chat")
    await negotiate(a, b)
    await here.opened()
    offer = await b.create_offer()
    head, data = offer.split("m=application 9")
    answer = await a.create_answer(head.replace("BUNDLE 0 1", "BUNDLE 0") + "m=application 0" + data)
    assert [m async for m in here] == [] and a.state == "connected"
    assert "m=application 0" in answer
    with pytest.raises(ConnectionClosed):
        a.open_channel("late")
    assert "m=application 0" in await a.create_offer()
    assert "m=application 0" in await a.create_answer(offer)
