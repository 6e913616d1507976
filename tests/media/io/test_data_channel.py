"""Data channels over a DTLS that is a deque: ours with ours, and ours with aiortc's own SCTP. In virtual time."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

import pytest
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from media.errors import ConnectionClosed
from media.io.data_channel import MAX_BUFFERED, MAX_CHANNELS, MAX_MESSAGE, DataChannel, DataChannels
from media.io.sctp import RECEIVE_WINDOW


class _Selector(selectors.SelectSelector):
    """Waits by setting the clock forward."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everybody waits for something that will not come"
        self.now += timeout
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Coroutine[Any, Any, None]) -> float:
    """Run to the end; the virtual seconds that it took. Errors in tasks and timers fail the test."""
    errors: list[Any] = []
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))

        async def bounded() -> None:
            async with asyncio.timeout(600):
                await main

        runner.run(bounded())
        took = loop.time()
    assert not errors
    return took


class Wire:
    """Carries packets both ways in 10 ms, and loses some."""

    def __init__(self, loss: float = 0.0) -> None:
        self.loss, self.rng = loss, Random(7)
        self.sent = 0

    def to(self, receive: Callable[[], Callable[[bytes], Any]]) -> Callable[[bytes], None]:
        def send(data: bytes) -> None:
            self.sent += 1
            if self.rng.random() >= self.loss:
                asyncio.get_running_loop().call_later(0.01, lambda: receive()(data))

        return send


def pair(loss: float = 0.0) -> tuple[DataChannels, DataChannels]:
    wire = Wire(loss)
    a: DataChannels = DataChannels(wire.to(lambda: b.receive))
    b: DataChannels = DataChannels(wire.to(lambda: a.receive))
    return a, b


def start(a: DataChannels, b: DataChannels) -> None:
    a.start(client=True, max_message=MAX_MESSAGE)
    b.start(client=False, max_message=MAX_MESSAGE)


async def first(channels: DataChannels) -> DataChannel:
    return await anext(channels.incoming())


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_messages_both_ways(loss: float) -> None:
    messages = [
        "hello",
        "",
        b"",
        "Grüße 🎉",
        bytes(range(256)),
        Random(1).randbytes(MAX_MESSAGE),
        "x" * 70_000,
    ]

    async def main() -> None:
        a, b = pair(loss)
        there = a.open("chat – ü", protocol="text/ß")
        assert a.used and not b.used
        start(a, b)
        here = await first(b)
        assert (here.label, here.protocol, here.ordered, here.state) == ("chat – ü", "text/ß", True, "open")

        async def speak(channel: DataChannel) -> None:
            for message in messages:
                await channel.send(message)

        async def hear(channel: DataChannel) -> None:
            assert [await channel.receive() for _ in messages] == messages

        await asyncio.gather(speak(there), speak(here), hear(there), hear(here))
        assert here.id == there.id == 0  # RFC 8832: the DTLS client has the even streams
        await a.close()
        assert [m async for m in here] == []
        assert (a.state, b.state, there.state, here.state) == ("closed",) * 4
        await b.close()

    run(main())


def test_both_ends_open_channels_and_streams_do_not_collide() -> None:
    async def main() -> None:
        a, b = pair()
        start(a, b)
        ours = [a.open(f"a{i}") for i in range(20)]
        theirs = [b.open(f"b{i}") for i in range(20)]
        for channel in ours + theirs:
            await channel.send(channel.label)
        at_b, at_a = b.incoming(), a.incoming()
        for _ in range(20):
            for incoming in (at_a, at_b):
                channel = await anext(incoming)
                assert await channel.receive() == channel.label
        assert {c.id for c in ours} == set(range(0, 40, 2))
        assert {c.id for c in theirs} == set(range(1, 41, 2))
        await a.close()
        await b.close()

    run(main())


def test_an_unreliable_unordered_channel_gives_up_messages_and_goes_on() -> None:
    async def main() -> None:
        a, b = pair(loss=0.3)
        sender = a.open("state", ordered=False, max_retransmits=0)
        reliable = a.open("end")
        start(a, b)
        channels = b.incoming()
        there = {}
        for _ in range(2):
            channel = await anext(channels)
            there[channel.label] = channel
        assert not there["state"].ordered
        for i in range(200):
            await sender.send(f"{i:05}")
        await reliable.send("done")
        assert await there["end"].receive() == "done"
        sender.close()
        got = [m async for m in there["state"]]
        assert 50 < len(got) < 200
        assert len(set(got)) == len(got)
        await a.close()
        await b.close()

    run(main())


@pytest.mark.parametrize("closer", ["opener", "other"])
def test_closing_one_channel(closer: str) -> None:
    async def main() -> None:
        a, b = pair()
        ours, other = a.open("one"), a.open("two")
        start(a, b)
        theirs = await first(b)
        mine, peer = (ours, theirs) if closer == "opener" else (theirs, ours)
        await mine.send("last words")
        mine.close()
        assert [m async for m in peer] == ["last words"]
        assert mine.state in ("closing", "closed") and peer.state == "closed"
        with pytest.raises(ConnectionClosed):
            await peer.send("too late")
        with pytest.raises(ConnectionClosed):
            await mine.receive()
        mine.close()
        await other.send("still there")
        assert await (await first(b)).receive() == "still there"
        await a.close()
        await b.close()

    run(main())


def test_a_slow_reader_stops_the_sender_and_loses_nothing() -> None:
    total = 64

    async def main() -> None:
        a, b = pair()
        sender = a.open("bulk")
        start(a, b)
        receiver = await first(b)
        sent = 0

        async def speak() -> None:
            nonlocal sent
            for i in range(total):
                await sender.send(i.to_bytes(2, "big") * 32768)
                sent += 1

        speaking = asyncio.ensure_future(speak())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(speaking), 60)
        waiting = sum(len(m) for m in receiver._received)
        assert RECEIVE_WINDOW * 0.8 < waiting <= RECEIVE_WINDOW + 65536
        assert sent * 65536 <= waiting + MAX_BUFFERED + 4 * 65536
        began = asyncio.get_running_loop().time()
        for i in range(total):
            assert await receiver.receive() == i.to_bytes(2, "big") * 32768
        await speaking
        # When the reader wakes up, the sender is told: no retransmission timer is waited for each time.
        assert asyncio.get_running_loop().time() - began < 10
        await a.close()
        await b.close()

    run(main())


def test_early_packets_and_early_messages() -> None:
    async def main() -> None:
        a, b = pair()
        channel = a.open("early")
        sending = asyncio.ensure_future(channel.send("before the handshake"))
        a.start(client=True)
        for _ in range(3):
            await asyncio.wait([sending], timeout=0.02)
        assert b.state == "new" and not sending.done()
        b.start(client=False)
        assert await (await first(b)).receive() == "before the handshake"
        await sending
        await a.close()
        await b.close()

    assert run(main()) < 1.0  # an INIT that comes again after 3 s was not needed


def test_a_peer_that_does_not_answer() -> None:
    async def main() -> None:
        a = DataChannels(lambda _: None)
        channel = a.open("nobody")
        waiting: list[Awaitable[Any]] = [channel.send("?"), channel.receive(), channel.opened()]
        a.start(client=True)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(r) for r in results] == [ConnectionClosed] * 3
        assert a.state == channel.state == "closed"
        with pytest.raises(ConnectionClosed):
            a.open("late")
        assert [c async for c in a.incoming()] == []
        assert [c async for c in a.incoming()] == []
        await a.close()

    assert 20 < run(main()) < 40


def test_a_transport_that_refuses_is_a_lost_packet() -> None:
    async def main() -> None:
        up = False

        def send(data: bytes) -> None:
            if not up:
                raise ConnectionError("DTLS is not connected")
            to_b(data)

        to_b = Wire().to(lambda: b.receive)
        a = DataChannels(send)
        b = DataChannels(Wire().to(lambda: a.receive))
        channel = a.open("x")
        start(a, b)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.opened(), 5)
        up = True
        await channel.send("y")
        assert await (await first(b)).receive() == "y"
        up = False
        await a.close()
        await b.close()

    run(main())


def test_a_peer_without_data_channels() -> None:
    async def main() -> None:
        a, b = pair()
        channel = a.open("x")
        waiting = asyncio.ensure_future(channel.send("y"))
        await asyncio.sleep(0)
        a.refused()
        with pytest.raises(ConnectionClosed):
            await waiting
        assert not a.used
        again = a.open("z")  # a later description may have them
        start(a, b)
        a.refused()  # too late to mean anything
        await again.send("there")
        assert await (await first(b)).receive() == "there"
        await a.close()
        await b.close()

    run(main())


def test_misuse() -> None:
    async def main() -> None:
        a, b = pair()
        for wrong in (
            {"max_retransmits": 1, "max_lifetime_ms": 1},
            {"max_retransmits": -1},
            {"max_lifetime_ms": 65536},
            {"protocol": "ü" * 32768},
        ):
            with pytest.raises(ValueError):
                a.open("x", **wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="label"):
            a.open("ü" * 32768)
        channel = a.open("x" * 65535)
        a.start(client=True, max_message=1000)
        b.start(client=False)
        assert (await first(b)).label == "x" * 65535
        with pytest.raises(TypeError):
            await channel.send(5)  # type: ignore[arg-type]
        with pytest.raises(ValueError):
            await channel.send("x" * 1001)
        with pytest.raises(ValueError):
            await channel.send(bytes(MAX_MESSAGE + 1))
        await channel.send("x" * 1000)
        for i in range(MAX_CHANNELS - 1):
            a.open(str(i))
        with pytest.raises(ValueError, match="256"):
            a.open("one more")
        await a.close()
        await a.close()
        await b.close()

    run(main())


def test_a_peer_may_not_open_channels_without_end() -> None:
    async def main() -> None:
        peer, ours = _aiortc(Wire(), client=True)
        opened = [
            RTCDataChannel(peer, RTCDataChannelParameters(label=str(i))) for i in range(MAX_CHANNELS + 40)
        ]
        ours.start(client=False)
        await peer.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE), 5000)
        closed: asyncio.Queue[None] = asyncio.Queue()
        for channel in opened:
            channel.on("close", lambda: closed.put_nowait(None))
        for _ in range(40):
            await closed.get()
        assert sum(c.readyState == "closed" for c in opened) == 40
        assert len(ours._channels) == MAX_CHANNELS
        await ours.close()
        await peer.stop()

    run(main())


def _aiortc(wire: Wire, *, client: bool) -> tuple[RTCSctpTransport, DataChannels]:
    """aiortc's own SCTP, unchanged, as the peer of ours."""

    class Pipe:
        state = "connected"
        _role = "client" if client else "server"

        async def _send_data(self, data: bytes) -> None:
            to_ours(data)

        def _register_data_receiver(self, receiver: Any) -> None: ...

        def _unregister_data_receiver(self, receiver: Any) -> None: ...

    to_ours = wire.to(lambda: ours.receive)
    peer = RTCSctpTransport(Pipe())  # type: ignore[arg-type]
    ours = DataChannels(wire.to(lambda: partial(_deliver, peer)))
    return peer, ours


def _deliver(peer: RTCSctpTransport, data: bytes) -> None:
    asyncio.ensure_future(peer._handle_data(data))  # noqa: RUF006


@pytest.mark.parametrize("client", [True, False], ids=["aiortc-client", "aiortc-server"])
@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_with_aiortc(client: bool, loss: float) -> None:
    messages = ["hello", b"\0\1", "", b"", "x" * 60_000]

    async def main() -> None:
        peer, ours = _aiortc(Wire(loss), client=client)
        heard: dict[str, list[Any]] = {"mine": [], "theirs": []}
        done = asyncio.Event()

        def listen(channel: RTCDataChannel) -> None:
            @channel.on("message")
            def on_message(message: Any) -> None:
                heard[channel.label].append(message)
                if len(heard["mine"]) == len(heard["theirs"]) == len(messages):
                    done.set()

        peer.on("datachannel", listen)
        theirs = RTCDataChannel(peer, RTCDataChannelParameters(label="theirs"))
        listen(theirs)
        theirs.on("open", lambda: [theirs.send(m) for m in messages])
        mine = ours.open("mine")
        ours.start(client=not client, max_message=65536)
        await peer.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE), 5000)
        here = await first(ours)
        for message in messages:
            assert await here.receive() == message
            await here.send(message)
            await mine.send(message)
        await done.wait()
        assert heard == {"mine": messages, "theirs": messages}
        await ours.close()
        assert ours.malformed == 0
        await peer.stop()

    run(main())


def test_a_flood_that_ignores_the_window_is_bounded_and_nothing_is_lost() -> None:
    """aiortc sends whatever the window; what does not fit is dropped and comes again."""
    count = 40

    async def main() -> None:
        peer, ours = _aiortc(Wire(), client=True)
        theirs = RTCDataChannel(peer, RTCDataChannelParameters(label="flood"))
        ours.start(client=False)
        await peer.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE), 5000)
        here = await first(ours)
        opened = asyncio.Event()
        theirs.on("open", opened.set)
        await opened.wait()
        for i in range(count):
            theirs.send(bytes([i]) * 65536)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(here._until(lambda: here.state == "closed"), 30)
        assert sum(len(m) for m in here._received) <= RECEIVE_WINDOW + 65536
        for i in range(count):
            assert await here.receive() == bytes([i]) * 65536
        await ours.close()
        await peer.stop()

    run(main())
