"""PeerConnection with real sockets on the loopback. Nothing here sleeps: events are waited for."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from media import ConnectionClosed, MediaError, NegotiationError, PeerConnection, SdpError
from media.io import ice
from media.io.sources import Tone
from media.quality.report import MEDIA_STEPS

Samples = NDArray[np.int16]


class Listener:
    """A speaker that knows when it has heard something."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.loud: list[Samples] = []
        self.closed = 0

    def write(self, samples: Samples) -> None:
        if np.abs(samples).max() > 1000:
            self.loud.append(samples.copy())
            if len(self.loud) >= 15:
                self.heard.set()

    def close(self) -> None:
        self.closed += 1

    def frequency(self) -> float:
        sound = np.concatenate(self.loud[3:])
        return float(np.argmax(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))))) * 48000 / len(sound)


class BrokenMicrophone:
    def __init__(self, error: Exception, after: int = 3) -> None:
        self.error, self.left = error, after
        self.reached = asyncio.Event()
        self.closed = False

    async def read(self) -> Samples:
        if not self.left:
            self.reached.set()
            raise self.error
        self.left -= 1
        return np.zeros(960, np.int16)

    def close(self) -> None:
        self.closed = True


class Card:
    """A sound card: a thread that pulls pieces of its own size."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int = 441) -> None:
        self.loop, self.count = loop, count
        self.heard = asyncio.Event()
        self.pulled = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, pull: Callable[[int], Samples]) -> None:
        def run() -> None:
            loud = 0
            while not self._stop.wait(self.count / 48000):
                samples = pull(self.count)
                assert len(samples) == self.count
                self.pulled += 1
                loud += bool(np.abs(samples).max() > 1000)
                if loud == 20:
                    self.loop.call_soon_threadsafe(self.heard.set)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)


Make = Callable[..., PeerConnection]


@pytest.fixture
async def make(socket_count: Callable[[], int]) -> AsyncIterator[Make]:
    """Connections that are closed at the end; then nothing of them may be left."""
    made: list[PeerConnection] = []
    sockets, threads = socket_count(), threading.active_count()
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))

    def build(**arguments: Any) -> PeerConnection:
        made.append(PeerConnection(addresses=["127.0.0.1"], rng=Random(len(made)), **arguments))
        return made[-1]

    yield build
    for connection in made:
        await asyncio.wait_for(connection.close(), 5)
        assert connection.state == "closed"
    for _ in range(3):
        await asyncio.sleep(0)  # asyncio closes sockets in the loop's next turn
    assert socket_count() == sockets
    assert threading.active_count() == threads
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert unhandled == []


async def reach(connection: PeerConnection, state: str) -> str:
    """Wait for a state; returns the reason."""
    async with asyncio.timeout(5):
        async for event in connection.events():
            if event[0] == "state" and event[1] == state:
                return event[2]
    raise AssertionError(f"{state} was not reached")


async def join(alice: PeerConnection, bob: PeerConnection) -> None:
    await alice.set_answer(await bob.create_answer(await alice.create_offer()))


async def test_a_call(make: Make) -> None:
    ears = Listener(), Listener()
    alice = make(microphone=Tone(300), speaker=ears[0])
    bob = make(microphone=Tone(500), speaker=ears[1])
    assert alice.setup_times() == dict.fromkeys(MEDIA_STEPS)
    await join(alice, bob)
    for end in (alice, bob):
        assert await reach(end, "connected") == ""
    for ear in ears:
        await asyncio.wait_for(ear.heard.wait(), 5)
    assert ears[0].frequency() == pytest.approx(500, abs=15)
    assert ears[1].frequency() == pytest.approx(300, abs=15)
    for end in (alice, bob):
        stats = end.get_stats()
        assert stats["transport"]["dtlsState"] == "connected"
        assert stats["transport"]["iceState"] == "connected"
        assert stats["transport"]["srtpCipher"] == "AEAD_AES_128_GCM"
        assert stats["candidate-pair"]["localCandidateType"] == "host"
        assert stats["inbound-rtp-audio"]["packetsLost"] == 0
        times = end.setup_times()
        assert None not in times.values()
        assert end.microphone.started_at >= times["srtp_keys"], "its beginning is not lost"  # type: ignore[union-attr]
        order = (
            "candidates_gathered",
            "first_check",
            "dtls_begun",
            "srtp_keys",
            "first_packet_sent",
            "first_sound",
        )
        assert [step for step in sorted(times, key=lambda s: times[s] or 0) if step in order] == list(order)
    await alice.close()
    assert "peer" in await reach(bob, "disconnected")
    await bob.close()
    assert [ear.closed for ear in ears] == [1, 1]
    assert alice.get_stats()["transport"]["packetsSent"] > 0, "the numbers outlive the call"
    assert str(alice.report())


async def test_states_in_order(make: Make) -> None:
    alice, bob = make(), make()
    assert alice.state == "new"
    await join(alice, bob)
    await reach(bob, "connected")
    await alice.close()
    states = [event[1] async for event in alice.events() if event[0] == "state"]
    assert states[0] == "connecting" and states[-1] == "closed"


async def test_trickled_candidates(make: Make) -> None:
    def stripped(description: str) -> tuple[str, list[str]]:
        lines = description.split("\r\n")
        found = [line.removeprefix("a=") for line in lines if line.startswith("a=candidate")]
        return "\r\n".join(line for line in lines if not line.startswith("a=candidate")), found

    alice, bob = make(), make()
    offer, ours = stripped(await alice.create_offer())
    answer, theirs = stripped(await bob.create_answer(offer))
    await alice.set_answer(answer)
    assert ours and theirs
    for line in ours:
        await bob.add_ice_candidate("0", line)
    await bob.add_ice_candidate("0", "")
    for line in theirs:
        await alice.add_ice_candidate("0", line)
    for end in (alice, bob):
        await reach(end, "connected")


async def test_without_microphone_and_speaker(make: Make) -> None:
    alice, bob = make(), make()
    await join(alice, bob)
    for end in (alice, bob):
        await reach(end, "connected")
        assert end.get_stats()["outbound-rtp-audio"]["packetsSent"] == 0


async def test_a_sound_card_pulls_from_a_thread_of_its_own(make: Make) -> None:
    card = Card(asyncio.get_running_loop())
    alice = make(microphone=Tone(300))
    bob = make(speaker=card)
    await join(alice, bob)
    await asyncio.wait_for(card.heard.wait(), 5)
    await bob.close()
    pulled = card.pulled
    assert pulled > 4, "what comes before the first sound, at least"
    await alice.close()
    assert card.pulled == pulled


# -- the end, at every stage


async def test_close_before_anything(make: Make) -> None:
    connection = make(microphone=Tone(), speaker=(listener := Listener()))
    await connection.close()
    await connection.close()
    assert listener.closed == 1
    with pytest.raises(ConnectionClosed):
        await connection.create_offer()
    with pytest.raises(ConnectionClosed):
        await make_closed_answer(make, connection)
    events = [event async for event in connection.events()]
    assert events == [("state", "closed", "")]


async def make_closed_answer(make: Make, connection: PeerConnection) -> None:
    await connection.create_answer(await make().create_offer())


async def test_close_after_the_offer(make: Make) -> None:
    connection = make()
    await connection.create_offer()
    await connection.close()


async def test_close_while_the_offer_is_made(make: Make) -> None:
    connection = make()
    offering = asyncio.ensure_future(connection.create_offer())
    await asyncio.sleep(0)
    await connection.close()
    await asyncio.wait([offering], timeout=2)
    assert offering.done()
    offering.exception()


async def test_close_during_the_checks(make: Make) -> None:
    alice, bob = make(), make()
    offer = await alice.create_offer()
    await bob.create_answer(offer)
    assert bob.state == "connecting"
    await bob.close()
    await alice.close()


async def test_close_during_the_handshake(make: Make) -> None:
    alice, bob = make(microphone=Tone()), make(microphone=Tone())
    await join(alice, bob)
    assert bob._transport is not None
    stands = asyncio.Event()
    begin = bob._transport._begin_dtls

    def connected() -> None:
        stands.set()
        begin()

    bob._transport._begin_dtls = connected  # type: ignore[method-assign]
    await asyncio.wait_for(stands.wait(), 5)
    await bob.close()


async def test_close_from_two_tasks(make: Make) -> None:
    alice, bob = make(microphone=Tone()), make(speaker=Listener())
    await join(alice, bob)
    await reach(alice, "connected")
    await asyncio.gather(alice.close(), alice.close(), bob.close())


async def test_prepared_and_never_called(make: Make, socket_count: Callable[[], int]) -> None:
    before = socket_count()
    connection = make(microphone=Tone(300))
    connection.prepare()
    connection.prepare()
    with pytest.raises(NegotiationError):
        await connection.add_ice_candidate("0", "candidate:1 1 udp 1 127.0.0.1 9 typ host")
    offer = await connection.create_offer()
    assert socket_count() == before + 1 and offer.count("a=candidate:") == 1
    await connection.close()
    connection.prepare()


async def test_nobody_listens_to_the_events(make: Make) -> None:
    connection = make()
    for n in range(1000):
        connection._events.put(("candidate", "0", str(n)))
    assert connection._events._events.qsize() <= 300
    await connection.close()
    async with asyncio.timeout(2):
        events = [event async for event in connection.events()]
    assert events[-1] == ("state", "closed", ""), "whoever comes late is told the end, too"


# -- a peer that vanishes


async def test_a_peer_that_vanishes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "DISCONNECTED_AFTER", 0.2)
    monkeypatch.setattr(ice, "CONSENT_EXPIRY", 0.35)
    monkeypatch.setattr(ice, "WATCH_INTERVAL", 0.05)
    alice, bob = make(microphone=Tone()), make(microphone=Tone())
    await join(alice, bob)
    for end in (alice, bob):
        await reach(end, "connected")
    assert bob._transport is not None
    bob._transport.send = lambda data: False  # type: ignore[method-assign]
    await bob._transport.ice.close()  # without a word
    assert await reach(alice, "disconnected")
    assert "consent" in await reach(alice, "failed")
    assert "consent" in alice.failure


async def test_a_failed_connection_stays_failed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice, "DISCONNECTED_AFTER", 0.1)
    monkeypatch.setattr(ice, "WATCH_INTERVAL", 0.02)
    alice, bob = make(), make()
    offer, wrong = await alice.create_offer(), "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
    lines = [wrong if line.startswith("a=fingerprint") else line for line in offer.split("\r\n")]
    await alice.set_answer(await bob.create_answer("\r\n".join(lines)))
    assert "fingerprint" in await reach(bob, "failed")
    assert bob._transport is not None
    told: asyncio.Queue[str] = asyncio.Queue()
    before = bob._transport.ice.on_state

    def tell(state: str) -> None:
        before(state)
        told.put_nowait(state)

    bob._transport.ice.on_state = tell
    async with asyncio.timeout(5):
        while await told.get() != "disconnected":
            pass
    assert bob.state == "failed" and "fingerprint" in bob.failure


# -- descriptions and candidates that do not fit


@pytest.mark.parametrize("text", ["", "hello", "v=0\r\n", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"])
async def test_bad_descriptions(make: Make, text: str) -> None:
    alice, bob = make(), make()
    with pytest.raises(SdpError):
        await bob.create_answer(text)
    await alice.create_offer()
    with pytest.raises(SdpError):
        await alice.set_answer(text)
    assert alice.state == "new"


async def test_a_bad_candidate_in_a_description_does_not_end_the_call(make: Make) -> None:
    alice, bob = make(), make()
    offer = await alice.create_offer()
    bad = "a=candidate:nonsense\r\na=candidate:1 1 udp 1 0.0.0.0 9 typ host\r\n"
    answer = await bob.create_answer(offer.replace("a=candidate", bad + "a=candidate", 1))
    await alice.set_answer(answer.replace("a=candidate", bad + "a=candidate", 1))
    for end in (alice, bob):
        await reach(end, "connected")


async def test_bad_candidates(make: Make) -> None:
    alice, bob = make(), make()
    with pytest.raises(NegotiationError):
        await alice.add_ice_candidate("0", "candidate:1 1 udp 1 127.0.0.1 9 typ host")
    await join(alice, bob)
    for line in ("nonsense", "candidate:1 1 udp 1 0.0.0.0 9 typ host", "candidate:\r\na=evil"):
        with pytest.raises(SdpError):
            await alice.add_ice_candidate("0", line)
    await reach(alice, "connected")


async def test_steps_out_of_order(make: Make) -> None:
    alice, bob = make(), make()
    with pytest.raises(NegotiationError):
        await alice.set_answer("v=0\r\n")
    answer = await bob.create_answer(await alice.create_offer())
    await alice.set_answer(answer)
    with pytest.raises(NegotiationError):
        await alice.set_answer(answer)
    await reach(alice, "connected")


async def test_a_wrong_fingerprint(make: Make) -> None:
    alice_ear, bob_ear = Listener(), Listener()
    alice = make(microphone=Tone(), speaker=alice_ear)
    bob = make(microphone=Tone(), speaker=bob_ear)
    answer = await bob.create_answer(await alice.create_offer())
    wrong = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
    lines = [wrong if line.startswith("a=fingerprint") else line for line in answer.split("\r\n")]
    await alice.set_answer("\r\n".join(lines))
    assert "fingerprint" in await reach(alice, "failed")
    assert "fingerprint" in alice.failure
    assert "alert" in await reach(bob, "failed")
    for end, ear in ((alice, alice_ear), (bob, bob_ear)):
        assert not ear.loud
        assert end.get_stats()["outbound-rtp-audio"]["packetsSent"] == 0


# -- devices that fail


@pytest.mark.parametrize("error", [MediaError("unplugged"), OSError("unplugged"), RuntimeError("unplugged")])
async def test_a_microphone_that_fails(
    make: Make, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    microphone, listener = BrokenMicrophone(error), Listener()
    alice = make(microphone=microphone, speaker=listener)
    bob = make(microphone=Tone(500))
    await join(alice, bob)
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(microphone.reached.wait(), 5)
        await asyncio.wait_for(listener.heard.wait(), 5)
    assert alice.state == "connected", "the call goes on without it"
    messages = [r.getMessage() for r in caplog.records if r.name.startswith("media")]
    assert messages == ["the microphone failed, the call goes on without it: unplugged"]
    await alice.close()
    assert microphone.closed


async def test_a_speaker_that_fails(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    class BrokenSpeaker(Listener):
        def write(self, samples: Samples) -> None:
            raise OSError("no space left on device")

    listener = Listener()
    alice = make(microphone=Tone(300), speaker=BrokenSpeaker())
    bob = make(microphone=Tone(500), speaker=listener)
    await join(alice, bob)
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(listener.heard.wait(), 5)
    assert alice.state == "connected"
    assert alice.get_stats()["inbound-rtp-audio"]["totalSamplesReceived"] > 0, "it is still measured"
    assert len([r for r in caplog.records if "no space left" in r.getMessage()]) == 1


async def test_a_sound_card_that_does_not_open(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    class Busy:
        closed = False

        def start(self, pull: Callable[[int], Samples]) -> None:
            raise OSError("device is busy")

        def close(self) -> None:
            self.closed = True

    card, listener = Busy(), Listener()
    alice = make(microphone=Tone(300), speaker=card)
    bob = make(microphone=Tone(500), speaker=listener)
    await join(alice, bob)
    with caplog.at_level(logging.ERROR):
        assert await reach(alice, "connected") == ""
        await asyncio.wait_for(listener.heard.wait(), 5)
    assert any("device is busy" in r.getMessage() for r in caplog.records)
    await alice.close()
    assert card.closed


async def test_devices_that_do_not_close(make: Make) -> None:
    class Stuck(Listener):
        def close(self) -> None:
            raise OSError("stuck")

    alice, bob = make(speaker=Stuck(), microphone=Tone()), make()
    await join(alice, bob)
    await reach(alice, "connected")
    await alice.close()
    assert alice.state == "closed"


async def test_devices_are_not_opened_before_the_connection_stands(make: Make) -> None:
    microphone = Tone()
    alice, bob = make(microphone=microphone), make()
    await alice.create_offer()
    assert microphone.started_at is None
    await alice.close()
    assert microphone.started_at is None
    await bob.close()


# -- ICE restart


async def test_an_ice_restart_moves_the_call_to_a_new_path(make: Make) -> None:
    ear = Listener()
    alice, bob = make(microphone=Tone(300)), make(speaker=ear)
    await join(alice, bob)
    for end in (alice, bob):
        await reach(end, "connected")
    assert alice._transport is not None and bob._transport is not None
    old = alice._transport.ice, bob._transport.ice
    await asyncio.wait_for(ear.heard.wait(), 5)
    await alice.set_answer(await bob.create_answer(await alice.create_offer(ice_restart=True)))
    async with asyncio.timeout(5):
        while (alice._transport.ice in old or bob._transport.ice in old) or old[0].state != "closed":
            ear.heard.clear()
            ear.loud.clear()
            await ear.heard.wait()
    assert [end.state for end in (alice, bob)] == ["connected", "connected"]
    ear.heard.clear()
    ear.loud.clear()
    await asyncio.wait_for(ear.heard.wait(), 5)
    assert bob.get_stats()["inbound-rtp-audio"]["packetsLost"] == 0


async def test_a_renewed_offer_without_restart_keeps_the_path(make: Make) -> None:
    alice, bob = make(), make()
    await join(alice, bob)
    for end in (alice, bob):
        await reach(end, "connected")
    assert alice._transport is not None
    before = alice._transport.ice
    first = await alice.create_offer()
    await alice.set_answer(await bob.create_answer(first))
    assert alice._transport.ice is before
    assert [end.state for end in (alice, bob)] == ["connected", "connected"]


async def test_a_renewed_offer_may_not_change_the_fingerprint(make: Make) -> None:
    alice, bob = make(), make()
    await join(alice, bob)
    for end in (alice, bob):
        await reach(end, "connected")
    offer, wrong = (
        await alice.create_offer(ice_restart=True),
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
    )
    lines = [wrong if line.startswith("a=fingerprint") else line for line in offer.split("\r\n")]
    with pytest.raises(NegotiationError, match="fingerprint"):
        await bob.create_answer("\r\n".join(lines))
    assert bob.state == "connected"


async def test_close_during_an_ice_restart(make: Make) -> None:
    alice, bob = make(microphone=Tone()), make(microphone=Tone())
    await join(alice, bob)
    for end in (alice, bob):
        await reach(end, "connected")
    answer = await bob.create_answer(await alice.create_offer(ice_restart=True))
    await bob.close()
    await alice.set_answer(answer)
    await alice.close()
