"""The engines that are called, each behind the same few methods: ours, aiortc, and libwebrtc by the package wrtc."""

import asyncio
import fractions
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Protocol

import av
import numpy as np

from media import PeerConnection
from media.io.sources import Tone
from media.video_frame import VideoFrame
from tests.interop.material import FPS, HEIGHT, RATE, WIDTH, Card, CountedTone, Ears, Eyes, Plan, Side, echo

# These gather no address of loopback, and libnice pairs none with it: they are called at the addresses that others use.
ABROAD = ("firefox", "gstreamer")
OnCandidate = Callable[[str, str], Awaitable[None]]


class Peer(Protocol):
    """One end of a call, whatever the engine. It sends what `side` is, and answers messages with themselves."""

    async def offer(self) -> str: ...
    async def answer(self, offer: str) -> str: ...
    async def accept(self, answer: str) -> None: ...
    async def candidate(self, mid: str, line: str) -> None: ...
    async def heard(self) -> None: ...
    async def seen(self) -> None: ...
    async def ask(self, message: str | bytes) -> str | bytes: ...
    async def close(self) -> None: ...


class ChangingPeer(Peer, Protocol):
    """A peer that also changes in the middle of a call; each change but `again` waits for its next offer."""

    async def again(self) -> None:
        """Forget what was heard and seen up to now."""

    async def decoded(self) -> int:
        """How many pictures."""

    async def start(self, kind: str) -> None: ...
    async def stop(self, kind: str) -> None: ...
    async def restart_ice(self) -> None: ...


class _Python:
    """What the engines in this process have in common."""

    def __init__(self, plan: Plan, side: Side, other: Side, on_candidate: OnCandidate) -> None:
        self.plan, self.side = plan, side
        self.ears, self.eyes = Ears(other.hz), Eyes(other)
        self.on_candidate = on_candidate
        self.tasks: list[asyncio.Task[None]] = []

    def spawn(self, coroutine: Any) -> None:
        self.tasks.append(asyncio.ensure_future(coroutine))

    async def end_tasks(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def heard(self) -> None:
        await self.ears.heard.wait()

    async def seen(self) -> None:
        await self.eyes.seen.wait()


class Ours(_Python):
    """media.PeerConnection."""

    def __init__(
        self,
        plan: Plan,
        side: Side,
        other: Side,
        on_candidate: OnCandidate,
        addresses: list[str] | None = None,
    ) -> None:
        super().__init__(plan, side, other, on_candidate)
        self.microphone, self.camera = CountedTone(side.hz), Card(side)
        video: dict[str, Any] = {}
        if plan.codec:
            video = {"camera": self.camera, "screen": self.eyes, "video_codecs": list(plan.codecs)}
        if addresses is None and not {plan.offerer, plan.answerer} & set(ABROAD):
            addresses = ["127.0.0.1"]
        self.connection = PeerConnection(
            microphone=self.microphone, speaker=self.ears, addresses=addresses, **video
        )
        self.channel: Any = None
        self._restart = False  # whether the next offer restarts ICE
        self.spawn(self._events())
        if plan.data:
            self.spawn(self._echo())

    async def _events(self) -> None:
        async for event in self.connection.events():
            if event[0] == "candidate":
                await self.on_candidate(event[1], event[2])

    async def _echo(self) -> None:
        async for channel in self.connection.channels():
            self.spawn(echo(channel))

    async def ask(self, message: str | bytes) -> str | bytes:
        if self.channel is None:
            self.channel = self.connection.open_channel("ours")
        await self.channel.send(message)
        answer: str | bytes = await self.channel.receive()
        return answer

    async def offer(self) -> str:
        if self.plan.data:
            self.channel = self.connection.open_channel("ours")
        restart, self._restart = self._restart, False
        return await self.connection.create_offer(ice_restart=restart)

    async def answer(self, offer: str) -> str:
        return await self.connection.create_answer(offer)

    async def accept(self, answer: str) -> None:
        await self.connection.set_answer(answer)

    async def candidate(self, mid: str, line: str) -> None:
        await self.connection.add_ice_candidate(mid, line)

    async def again(self) -> None:
        self.ears.again()
        self.eyes.again()

    async def decoded(self) -> int:
        stats = self.connection.get_stats().values()
        return sum(int(s.get("framesDecoded", 0)) for s in stats if s["type"] == "inbound-rtp")

    async def start(self, kind: str) -> None:
        assert kind == "video"
        self.camera = Card(self.side)
        self.connection.set_camera(self.camera)
        self.connection.set_screen(self.eyes)

    async def stop(self, kind: str) -> None:
        assert kind == "video"
        self.connection.set_camera(None)

    async def restart_ice(self) -> None:
        self._restart = True

    async def close(self) -> None:
        await self.connection.close()
        await self.end_tasks()


class Aiortc(_Python):
    """aiortc's RTCPeerConnection. It trickles nothing: its candidates are in its descriptions."""

    def __init__(self, plan: Plan, side: Side, other: Side, on_candidate: OnCandidate) -> None:
        super().__init__(plan, side, other, on_candidate)
        import aiortc

        self._rtc = aiortc
        self._pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self._pc.addTrack(_tone_track(side.hz))
        if plan.codec:
            self._pc.addTrack(_card_track(side))
        self._channel: Any = None
        self._answers: asyncio.Queue[str | bytes] = asyncio.Queue()

        @self._pc.on("track")
        def on_track(track: Any) -> None:
            self.spawn(self._listen(track) if track.kind == "audio" else self._look(track))

        @self._pc.on("datachannel")
        def on_channel(channel: Any) -> None:
            channel.on("message", channel.send)

    async def _listen(self, track: Any) -> None:
        try:
            while True:
                frame = await track.recv()
                self.ears.write(frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)])
        except self._rtc.mediastreams.MediaStreamError:
            pass

    async def _look(self, track: Any) -> None:
        try:
            while True:
                frame = await track.recv()
                self.eyes.write(VideoFrame(np.ascontiguousarray(frame.to_ndarray(format="yuv420p")), 0.0))
        except self._rtc.mediastreams.MediaStreamError:
            pass

    def _open(self) -> None:
        self._channel = self._pc.createDataChannel("theirs")
        self._channel.on("message", self._answers.put_nowait)

    async def ask(self, message: str | bytes) -> str | bytes:
        if self._channel is None:
            self._open()
        if self._channel.readyState == "connecting":
            opened = asyncio.Event()
            self._channel.on("open", opened.set)
            await opened.wait()
        self._channel.send(message)
        return await self._answers.get()

    def _prefer(self) -> None:
        codecs = self._rtc.RTCRtpSender.getCapabilities("video").codecs
        wanted = [
            c for c in codecs if c.mimeType.lower() in (f"video/{self.plan.codec.lower()}", "video/rtx")
        ]
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind == "video":
                transceiver.setCodecPreferences(wanted)

    async def offer(self) -> str:
        self._prefer()
        if self.plan.data:
            self._open()
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return str(self._pc.localDescription.sdp)

    async def answer(self, offer: str) -> str:
        await self._pc.setRemoteDescription(self._rtc.RTCSessionDescription(offer, "offer"))
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return str(self._pc.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        await self._pc.setRemoteDescription(self._rtc.RTCSessionDescription(answer, "answer"))

    async def candidate(self, mid: str, line: str) -> None:
        candidate = self._rtc.sdp.candidate_from_sdp(line.removeprefix("candidate:"))
        candidate.sdpMid = mid
        await self._pc.addIceCandidate(candidate)

    async def close(self) -> None:
        await self._pc.close()
        await asyncio.gather(*self.tasks)


def _tone_track(hz: float) -> Any:
    from aiortc import MediaStreamTrack

    class ToneTrack(MediaStreamTrack):
        kind = "audio"

        def __init__(self) -> None:
            super().__init__()
            self._tone, self._position = Tone(hz), 0

        async def recv(self) -> Any:
            samples = await self._tone.read()
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
            frame.sample_rate, frame.pts = RATE, self._position
            frame.time_base = fractions.Fraction(1, RATE)
            self._position += len(samples)
            return frame

    return ToneTrack()


def _card_track(side: Side) -> Any:
    from aiortc import MediaStreamTrack

    class CardTrack(MediaStreamTrack):
        kind = "video"

        def __init__(self) -> None:
            super().__init__()
            self._card, self._number = Card(side), 0

        async def recv(self) -> Any:
            picture = await self._card.read()
            frame = av.VideoFrame.from_ndarray(picture.data, format="yuv420p")
            frame.pts, frame.time_base = self._number * 90000 // FPS, fractions.Fraction(1, 90000)
            self._number += 1
            return frame

    return CardTrack()


class Wrtc(_Python):
    """libwebrtc by the package wrtc, which has no H.264."""

    def __init__(self, plan: Plan, side: Side, other: Side, on_candidate: OnCandidate) -> None:
        super().__init__(plan, side, other, on_candidate)
        import webrtc

        self._rtc = webrtc
        self._pc = webrtc.RTCPeerConnection(webrtc.RTCConfiguration())
        self._keep: list[Any] = []
        self._channel: Any = None
        self._answers: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._opened = asyncio.Event()
        self._pc.on("icecandidate", self._candidate)
        self._pc.on("track", self._track)
        self._pc.on("datachannel", self._echo)
        generator = webrtc.MediaStreamTrackGenerator("audio")
        self._keep.append(generator)
        self._pc.add_track(generator)
        self.spawn(self._speak(side.hz, generator.writable.get_writer()))
        if plan.codec:
            pictures = webrtc.MediaStreamTrackGenerator("video")
            self._keep.append(pictures)
            self._pc.add_track(pictures)
            self.spawn(self._show(side, pictures.writable.get_writer()))

    def _candidate(self, event: Any) -> None:
        if event.candidate is not None and event.candidate.candidate:
            self.spawn(self.on_candidate(event.candidate.sdp_mid, event.candidate.candidate))

    def _track(self, event: Any) -> None:
        self.spawn(self._listen(event.track) if event.track.kind == "audio" else self._look(event.track))

    def _echo(self, event: Any) -> None:
        channel = event.channel
        self._keep.append(channel)
        channel.on("message", lambda message: channel.send(message.data))

    async def _speak(self, hz: float, writer: Any) -> None:
        tone, position = Tone(hz), 0
        while True:
            samples = await tone.read()
            for half in (samples[:480], samples[480:]):
                init = self._rtc.AudioDataInit(
                    format="s16",
                    sample_rate=RATE,
                    number_of_frames=480,
                    number_of_channels=1,
                    timestamp=position * 1000 // 48,
                    data=half.tobytes(),
                )
                await writer.write(self._rtc.AudioData(init))
                position += 480

    async def _show(self, side: Side, writer: Any) -> None:
        card, number = Card(side), 0
        while True:
            picture = await card.read()
            init = self._rtc.VideoFrameBufferInit(
                format="I420",
                coded_width=WIDTH,
                coded_height=HEIGHT,
                timestamp=number * 1_000_000 // FPS,
            )
            await writer.write(self._rtc.VideoFrame(picture.data.tobytes(), init))
            number += 1

    async def _listen(self, track: Any) -> None:
        async for data in self._read(track):
            channels = data.number_of_channels
            buffer = bytearray(data.number_of_frames * channels * 2)
            data.copy_to(buffer, self._rtc.AudioDataCopyToOptions(plane_index=0))
            data.close()
            self.ears.write(np.frombuffer(buffer, np.int16)[::channels])

    async def _look(self, track: Any) -> None:
        async for frame in self._read(track):
            buffer = bytearray(frame.allocation_size())
            await frame.copy_to(buffer)
            rows = int(frame.visible_rect.height) * 3 // 2
            frame.close()
            self.eyes.write(VideoFrame(np.frombuffer(buffer, np.uint8).reshape(rows, -1), 0.0))

    def _read(self, track: Any) -> Any:
        processor = self._rtc.MediaStreamTrackProcessor(self._rtc.MediaStreamTrackProcessorInit(track))
        self._keep.append(processor)
        return processor.readable

    def _open(self) -> None:
        self._channel = self._pc.create_data_channel("theirs")
        self._channel.on("open", lambda _: self._opened.set())
        self._channel.on("message", lambda event: self._answers.put_nowait(event.data))

    async def ask(self, message: str | bytes) -> str | bytes:
        if self._channel is None:
            self._open()
        await self._opened.wait()
        self._channel.send(message)
        return await self._answers.get()

    async def offer(self) -> str:
        if self.plan.data:
            self._open()
        await self._pc.set_local_description(await self._pc.create_offer())
        return str(self._pc.local_description.sdp)

    async def answer(self, offer: str) -> str:
        await self._pc.set_remote_description(self._rtc.RTCSessionDescriptionInit("offer", offer))
        await self._pc.set_local_description(await self._pc.create_answer())
        return str(self._pc.local_description.sdp)

    async def accept(self, answer: str) -> None:
        await self._pc.set_remote_description(self._rtc.RTCSessionDescriptionInit("answer", answer))

    async def candidate(self, mid: str, line: str) -> None:
        init = self._rtc.RTCIceCandidateInit(candidate=line, sdp_mid=mid, sdp_m_line_index=0)
        await self._pc.add_ice_candidate(init)

    async def close(self) -> None:
        await self.end_tasks()
        self._pc.close()


def versions() -> list[str]:
    """Of the engines that are packages; those that are not installed are left out."""
    found = []
    for name in ("ringline", "aiortc", "wrtc"):
        try:
            found.append(f"{name} {version(name)}")
        except ImportError:
            continue
    return found
