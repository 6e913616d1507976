"""What the peer stops or does not take is not sent, and microphone and camera are not even read."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from media import Discard, PeerConnection
from media.io import video_pump
from media.io.video_sinks import DiscardVideo
from media.simulation.picture import Pattern
from media.simulation.profiles import get_profile
from media.streams.video_receiver import DecodeRequest
from media.streams.video_sender import EncodeRequest
from media.video_frame import VideoFrame

RunVirtually = Callable[..., Any]
PATTERN = Pattern(160, 120)


class Voice:
    """A microphone that counts how often it is asked. `live`: it hears in the meantime, too."""

    def __init__(self, live: bool = True) -> None:
        self.live = live
        self.asked = 0
        self.closed = False
        self._heard_until = asyncio.get_running_loop().time()

    async def read(self) -> np.ndarray:
        self.asked += 1
        loop = asyncio.get_running_loop()
        if not self.live:
            self._heard_until = max(self._heard_until, loop.time() - 0.02)
        self._heard_until += 0.02
        await asyncio.sleep(max(0.0, self._heard_until - loop.time()))
        # Louder with every second, so that what was heard when can be told.
        return np.full(960, min(32000, 100 * int(self._heard_until)), np.int16)

    def close(self) -> None:
        self.closed = True


class Camera:
    def __init__(self) -> None:
        self.asked = 0

    async def read(self) -> VideoFrame:
        self.asked += 1
        await asyncio.sleep(1 / 15)
        return VideoFrame(PATTERN.picture(self.asked), asyncio.get_running_loop().time())

    def close(self) -> None:
        pass


class Workers:
    """Codecs of no time and no thread: threads know nothing of virtual time."""

    def __init__(self, *, encoded: Callable[..., None], decoded: Callable[..., None]) -> None:
        self._encoded, self._decoded = encoded, decoded
        self._loop = asyncio.get_running_loop()

    def encode(self, request: EncodeRequest) -> None:
        self._loop.call_soon(self._encoded, request, bytes(300), True, 0.001)

    def decode(self, request: DecodeRequest) -> None:
        self._loop.call_soon(self._decoded, request, [], 0.001)

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def codecs_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_pump, "VideoWorkers", Workers)


class Scene:
    """Alice, whom we watch, and a peer whose descriptions are changed on their way."""

    def __init__(self) -> None:
        self.microphone, self.camera = Voice(), Camera()
        # A network in virtual time, too: the system's own stamps of arrivals would look like a queue.
        links = get_profile("clean").links(0)
        self.alice = PeerConnection(
            microphone=self.microphone,
            camera=self.camera,
            speaker=Discard(),
            screen=DiscardVideo(),
            addresses=["127.0.0.1"],
            network=links[0],
        )
        self.bob = PeerConnection(
            microphone=Voice(),
            camera=Camera(),
            speaker=Discard(),
            screen=DiscardVideo(),
            addresses=["127.0.0.1"],
            network=links[1],
        )

    def _counts(self, kind: str) -> tuple[int, int]:
        """Packets that were sent, and how often their source was asked."""
        sent = self.alice.get_stats().get(f"outbound-rtp-{kind}", {}).get("packetsSent", 0)
        return int(sent), (self.microphone if kind == "audio" else self.camera).asked

    async def silent(self, kind: str) -> bool:
        """Neither is anything of this kind sent nor is its source asked."""
        before = self._counts(kind)
        await asyncio.sleep(0.3)
        return self._counts(kind) == before

    async def flows(self, *kinds: str) -> None:
        """Of each of these kinds something is sent. (Video may wait where the path seems thin.)"""
        before = {kind: self._counts(kind) for kind in kinds}
        async with asyncio.timeout(30):
            while any(  # noqa: ASYNC110 (statistics have no event; the time is virtual)
                now <= then for k in kinds for now, then in zip(self._counts(k), before[k], strict=True)
            ):
                await asyncio.sleep(0.05)


def played(
    run_virtually: RunVirtually, play: Callable[[Scene], Awaitable[None]], *, connect: bool = True
) -> None:
    async def main() -> None:
        scene = Scene()
        try:
            if connect:
                answer = await scene.alice.create_answer(await scene.bob.create_offer())
                await scene.bob.set_answer(answer)
                await asyncio.sleep(0.3)
                await scene.flows("audio", "video")
            await play(scene)
        finally:
            await scene.alice.close()
            await scene.bob.close()
            assert scene.microphone.closed

    run_virtually(main())


def changed(description: str, kind: str, change: str) -> str:
    """The description after stop() (rejected), or with a direction that takes nothing of the other end."""
    head, *sections = re.split(r"(?m)^(?=m=)", description)
    for index, section in enumerate(sections):
        if section.startswith(f"m={kind} "):
            if change == "stopped":
                mid = re.search(r"a=mid:(\S+)", section)[1]  # type: ignore[index]
                head = re.sub(rf"(a=group:BUNDLE.*?) {mid}\b", r"\1", head)
                section = re.sub(rf"m={kind} \d+", f"m={kind} 0", section)
                change_to = "inactive"
            else:
                change_to = change
            sections[index] = re.sub(r"a=(sendrecv|recvonly)", f"a={change_to}", section)
    return head + "".join(sections)


@pytest.mark.parametrize(
    ("kind", "other", "change"),
    [
        ("audio", "video", "stopped"),
        ("video", "audio", "stopped"),
        ("audio", "video", "inactive"),
        ("video", "audio", "sendonly"),
    ],
)
def test_the_peer_stops_what_we_send(run_virtually: RunVirtually, kind: str, other: str, change: str) -> None:
    """By its offer; whether or not the section carries the BUNDLE. Then it takes it again."""

    async def play(scene: Scene) -> None:
        offer = await scene.bob.create_offer()
        await scene.alice.create_answer(changed(offer, kind, change))
        assert await scene.silent(kind)
        await scene.flows(other)
        assert scene.alice.state == "connected"
        await scene.alice.create_answer(await scene.bob.create_offer())
        await scene.flows(kind, other)

    played(run_virtually, play)


@pytest.mark.parametrize(
    ("kind", "change"), [("audio", "stopped"), ("video", "stopped"), ("video", "inactive")]
)
def test_the_peer_s_answer_does_not_take_it(run_virtually: RunVirtually, kind: str, change: str) -> None:
    async def play(scene: Scene) -> None:
        answer = await scene.bob.create_answer(await scene.alice.create_offer())
        await scene.alice.set_answer(changed(answer, kind, change))
        assert await scene.silent(kind)
        # whatever the user does with the camera: nobody takes it
        scene.alice.set_camera_on(False)
        scene.alice.set_camera_on(True)
        scene.alice.hold(True)
        scene.alice.hold(False)
        assert await scene.silent(kind)

    played(run_virtually, play)


@pytest.mark.parametrize("change", ["stopped", "inactive", "sendonly"])
def test_what_the_first_answer_does_not_take_is_never_read(run_virtually: RunVirtually, change: str) -> None:
    async def play(scene: Scene) -> None:
        answer = await scene.bob.create_answer(await scene.alice.create_offer())
        answer = changed(
            changed(answer, "video", change), "audio", change if change != "stopped" else "inactive"
        )
        await scene.alice.set_answer(answer)
        await asyncio.sleep(1.0)
        assert scene.alice.state == "connected"
        assert scene.microphone.asked == scene.camera.asked == 0

    played(run_virtually, play, connect=False)


def test_everything_is_stopped_and_the_connection_stands(run_virtually: RunVirtually) -> None:
    async def play(scene: Scene) -> None:
        offer = await scene.bob.create_offer()
        await scene.alice.create_answer(changed(changed(offer, "audio", "stopped"), "video", "stopped"))
        assert await scene.silent("audio") and await scene.silent("video")
        await asyncio.sleep(2.0)
        assert scene.alice.state == "connected"
        await scene.alice.create_answer(await scene.bob.create_offer())
        await scene.flows("audio", "video")

    played(run_virtually, play)


def test_what_a_microphone_heard_while_it_was_stopped_is_never_said(run_virtually: RunVirtually) -> None:
    """A sound card keeps what nobody fetches; it is thrown away when the peer takes sound again."""

    async def play(scene: Scene) -> None:
        said: list[int] = []
        push = scene.alice._engine.push_audio

        def watch(samples: np.ndarray, now: float) -> None:
            said.append(int(samples[0]) // 100)
            push(samples, now)

        offer = await scene.bob.create_offer()
        await scene.alice.create_answer(changed(offer, "audio", "stopped"))
        await asyncio.sleep(1.0)
        scene.microphone._heard_until -= 0.3
        scene.alice._engine.push_audio = watch  # type: ignore[method-assign]
        begun = asyncio.get_running_loop().time()
        await scene.alice.create_answer(await scene.bob.create_offer())
        await asyncio.sleep(0.5)
        assert said and min(said) >= int(begun) and len(said) <= 26

    played(run_virtually, play)


def test_a_camera_that_is_new_after_a_stop_is_offered(run_virtually: RunVirtually) -> None:
    async def play(scene: Scene) -> None:
        offer = await scene.bob.create_offer()
        await scene.alice.create_answer(changed(offer, "video", "stopped"))
        assert "m=video 0" in await scene.alice.create_offer(), (
            "not by an ICE restart or what else renews the offer"
        )
        scene.alice.set_camera(scene.camera)
        assert "m=video 9" in await scene.alice.create_offer()

    played(run_virtually, play)


@pytest.mark.parametrize("alice_is_client", [True, False])
def test_a_peer_that_makes_its_transport_anew(run_virtually: RunVirtually, alice_is_client: bool) -> None:
    """libwebrtc does, when the section that carries the BUNDLE is stopped: another handshake, other keys."""

    async def play(scene: Scene) -> None:
        alice, bob = scene.alice, scene.bob
        if alice_is_client:
            await bob.set_answer(await alice.create_answer(await bob.create_offer()))
        else:
            await alice.set_answer(await bob.create_answer(await alice.create_offer()))
        await scene.flows("audio", "video")
        assert alice._transport is not None and bob._transport is not None
        before = alice._transport._dtls, bob._transport._dtls
        await alice.create_answer(changed(await bob.create_offer(), "audio", "stopped"))
        bob._transport.renew_dtls()  # what libwebrtc does by itself
        await asyncio.sleep(2.0)
        assert before[0] is not alice._transport._dtls and before[1] is not bob._transport._dtls
        assert alice.state == bob.state == "connected"
        refused = alice.get_stats()["transport"]["packetsRefused"]
        await scene.flows("video")
        await asyncio.sleep(0.5)
        assert alice.get_stats()["transport"]["packetsRefused"] == refused, "by the keys of the new one"
        assert alice.get_stats()["inbound-rtp-video"]["packetsReceived"]

    played(run_virtually, play, connect=False)
