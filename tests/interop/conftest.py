"""Real peers in real time. Each sends a tone; the other end must hear it."""

import asyncio
import fractions
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import numpy as np
import pytest

from media import PeerConnection
from media.io.sources import Tone

RATE = 48000
ADDRESSES = ["127.0.0.1"]


class Ears:
    """Collects what is played, and knows when a second of a tone was heard."""

    def __init__(self, hz: float) -> None:
        self.hz = hz
        self.heard = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._seconds = 0.0
        self.closed = False

    def write(self, samples: np.ndarray) -> None:
        if samples.size and self._is_tone(samples.astype(np.float64)):
            self._seconds += len(samples) / RATE
            if self._seconds >= 1.0:
                self._loop.call_soon_threadsafe(self.heard.set)

    def _is_tone(self, samples: np.ndarray) -> bool:
        if np.abs(samples).mean() < 500:
            return False
        phase = 2j * np.pi * self.hz / RATE * np.arange(len(samples))
        share = 2 * np.abs(samples @ np.exp(phase)) ** 2 / len(samples) / (samples @ samples)
        return bool(share > 0.8)

    def close(self) -> None:
        self.closed = True


class Peer(Protocol):
    """One end of a call, whatever the engine."""

    async def offer(self) -> str: ...
    async def answer(self, offer: str) -> str: ...
    async def accept(self, answer: str) -> None: ...
    async def candidate(self, mid: str, line: str) -> None: ...
    async def close(self) -> None: ...


class Ours:
    """media.PeerConnection. `on_candidate(mid, line)` gets what is trickled."""

    def __init__(self, hz: float, ears: Ears, on_candidate: Callable[[str, str], Awaitable[None]]) -> None:
        self.connection = PeerConnection(microphone=Tone(hz), speaker=ears, addresses=ADDRESSES)
        self._on_candidate = on_candidate
        self._pump = asyncio.ensure_future(self._events())

    async def _events(self) -> None:
        async for event in self.connection.events():
            if event[0] == "candidate":
                await self._on_candidate(event[1], event[2])

    async def offer(self) -> str:
        return await self.connection.create_offer()

    async def answer(self, offer: str) -> str:
        return await self.connection.create_answer(offer)

    async def accept(self, answer: str) -> None:
        await self.connection.set_answer(answer)

    async def candidate(self, mid: str, line: str) -> None:
        await self.connection.add_ice_candidate(mid, line)

    async def close(self) -> None:
        await self.connection.close()
        await self._pump


class Aiortc:
    """aiortc's RTCPeerConnection."""

    def __init__(self, hz: float, ears: Ears, on_candidate: Callable[[str, str], Awaitable[None]]) -> None:
        import aiortc

        self._rtc = aiortc
        self._pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self._pc.addTrack(_tone_track(hz))
        self._tasks: list[asyncio.Task[None]] = []

        @self._pc.on("track")
        def on_track(track: Any) -> None:
            self._tasks.append(asyncio.ensure_future(self._listen(track, ears)))

    async def _listen(self, track: Any, ears: Ears) -> None:
        try:
            while True:
                frame = await track.recv()
                ears.write(frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)])
        except self._rtc.mediastreams.MediaStreamError:
            pass

    async def offer(self) -> str:
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
        await asyncio.gather(*self._tasks)


def _tone_track(hz: float) -> Any:
    import av
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


class Wrtc:
    """libwebrtc by the package wrtc."""

    def __init__(self, hz: float, ears: Ears, on_candidate: Callable[[str, str], Awaitable[None]]) -> None:
        import webrtc

        self._rtc = webrtc
        self._pc = webrtc.RTCPeerConnection(webrtc.RTCConfiguration())
        self._on_candidate = on_candidate
        self._tasks: list[asyncio.Task[None]] = []
        self._keep: list[Any] = []
        self._pc.on("icecandidate", self._candidate)
        self._pc.on("track", lambda e: self._spawn(self._listen(e.track, ears)))
        generator = webrtc.MediaStreamTrackGenerator("audio")
        self._keep.append(generator)
        self._pc.add_track(generator)
        self._spawn(self._speak(hz, generator.writable.get_writer()))

    def _spawn(self, coroutine: Any) -> None:
        self._tasks.append(asyncio.ensure_future(coroutine))

    def _candidate(self, event: Any) -> None:
        if event.candidate is not None and event.candidate.candidate:
            self._spawn(self._on_candidate(event.candidate.sdp_mid, event.candidate.candidate))

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

    async def _listen(self, track: Any, ears: Ears) -> None:
        processor = self._rtc.MediaStreamTrackProcessor(self._rtc.MediaStreamTrackProcessorInit(track))
        self._keep.append(processor)
        async for data in processor.readable:
            channels = data.number_of_channels
            buffer = bytearray(data.number_of_frames * channels * 2)
            data.copy_to(buffer, self._rtc.AudioDataCopyToOptions(plane_index=0))
            data.close()
            ears.write(np.frombuffer(buffer, np.int16)[::channels])

    async def offer(self) -> str:
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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pc.close()


ENGINES: dict[str, Callable[..., Peer]] = {"ours": Ours, "aiortc": Aiortc, "wrtc": Wrtc}


class Call:
    """An offerer and an answerer, joined; candidates wait until both descriptions are there."""

    def __init__(self, offerer: str, answerer: str) -> None:
        self.ears = {"offerer": Ears(1000.0), "answerer": Ears(400.0)}
        self._described = asyncio.Event()
        self.offerer = ENGINES[offerer](400.0, self.ears["offerer"], self._relay("answerer"))
        self.answerer = ENGINES[answerer](1000.0, self.ears["answerer"], self._relay("offerer"))

    def _relay(self, to: str) -> Callable[[str, str], Awaitable[None]]:
        async def relay(mid: str, line: str) -> None:
            await self._described.wait()
            await getattr(self, to).candidate(mid, line)

        return relay

    async def connect(self) -> None:
        offer = await self.offerer.offer()
        await self.offerer.accept(await self.answerer.answer(offer))
        self._described.set()

    async def heard(self, timeout: float = 15.0) -> None:
        """Both ends heard a second of the other's tone."""
        waits = (ears.heard.wait() for ears in self.ears.values())
        await asyncio.wait_for(asyncio.gather(*waits), timeout)

    async def close(self) -> None:
        await self.offerer.close()
        await self.answerer.close()


@pytest.fixture
async def make_call() -> Any:
    calls: list[Call] = []

    def make(offerer: str, answerer: str) -> Call:
        calls.append(Call(offerer, answerer))
        return calls[-1]

    yield make
    for call in calls:
        await call.close()
