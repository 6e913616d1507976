"""Ringline as an engine of the measurement lab: see its engines/__init__.py for the interface."""

import asyncio
import importlib.metadata
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# The lab has a module `media` of its own, which it has imported by now and does not ask for again.
sys.modules.pop("media", None)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from media import PeerConnection, avoid_pauses
from media.codecs.libopus import version
from media.video_frame import VideoFrame


class Microphone:
    """The lab's microphone as an AudioSource."""

    def __init__(self, mic: Any) -> None:
        self._mic = mic

    async def read(self) -> np.ndarray:
        data, _ = await self._mic.read(960)
        return np.frombuffer(data, np.int16)

    def close(self) -> None:
        pass


class SoundCard:
    """The process's one: the first speaker's thread, which pulls 10 ms every 10 ms, plays the others', too.

    A thread for each would have them fight over the interpreter (docs/performance.md).
    """

    def __init__(self) -> None:
        self._playing: dict[
            Any, Callable[[int], np.ndarray]
        ] = {}  # the lab's speakers; the first has the thread
        self._lock = threading.Lock()

    def start(self, speaker: Any, pull: Callable[[int], np.ndarray]) -> None:
        with self._lock:
            self._playing = {**self._playing, speaker: pull}
            if len(self._playing) == 1:
                speaker.attach(self._pull)

    def stop(self, speaker: Any) -> None:
        with self._lock:
            had_thread = next(iter(self._playing), None) is speaker
            self._playing = {s: pull for s, pull in self._playing.items() if s is not speaker}
            speaker.stop()
            if had_thread and self._playing:
                next(iter(self._playing)).attach(self._pull)

    def _pull(self, count: int) -> np.ndarray:
        first, *others = list(self._playing.items()) or [(None, _silence)]  # its thread ends after one more
        samples = first[1](count)
        for speaker, pull in others:
            speaker.push(pull(count))
        return samples


def _silence(count: int) -> np.ndarray:
    return np.zeros(count, np.int16)


SOUND_CARD = SoundCard()


class Speaker:
    """The lab's sound card as a PullSink."""

    def __init__(self, speaker: Any) -> None:
        self._speaker = speaker

    def start(self, pull: Callable[[int], np.ndarray]) -> None:
        SOUND_CARD.start(self._speaker, pull)

    def close(self) -> None:
        SOUND_CARD.stop(self._speaker)


class Camera:
    """The lab's camera as a VideoSource."""

    def __init__(self, camera: Any) -> None:
        self._camera = camera

    async def read(self) -> VideoFrame:
        index, picture = await self._camera.read()
        return VideoFrame(np.ascontiguousarray(picture), self._camera.t0 + index / self._camera.fps)

    def close(self) -> None:
        pass


class Screen:
    """The lab's screen as a VideoSink."""

    def __init__(self, screen: Any) -> None:
        self._screen = screen

    def write(self, frame: VideoFrame) -> None:
        self._screen.push(frame.luma)

    def close(self) -> None:
        pass


class Endpoint:
    def __init__(self, send: Callable[[dict], None]) -> None:
        self._send = send
        self._described = asyncio.Event()

    @staticmethod
    def version() -> str:
        try:
            ours = importlib.metadata.version("ringline")
        except importlib.metadata.PackageNotFoundError:
            ours = "(checkout)"
        return f"ringline {ours}, {version()}"

    async def setup(self, mic=None, speaker=None, camera=None, screen=None) -> None:
        avoid_pauses()  # as the samples do
        self._connection = PeerConnection(
            microphone=Microphone(mic) if mic is not None else None,
            speaker=Speaker(speaker) if speaker is not None else None,
            camera=Camera(camera) if camera is not None else None,
            screen=Screen(screen) if screen is not None else None,
        )
        self._connection.prepare()  # as a call that rings does

    async def start(self) -> None:
        self._send({"type": "offer", "sdp": await self._connection.create_offer()})

    async def on_signal(self, message: dict) -> None:
        if message["type"] == "offer":
            self._send({"type": "answer", "sdp": await self._connection.create_answer(message["sdp"])})
            self._described.set()
        elif message["type"] == "answer":
            await self._connection.set_answer(message["sdp"])
            self._described.set()
        else:  # a candidate of a foreign engine, which may be faster than its description
            await self._described.wait()
            await self._connection.add_ice_candidate(message["mid"] or "0", message["candidate"])

    async def stats(self) -> dict:
        return self._connection.get_stats() | {"setup": self._connection.setup_times()}

    async def close(self) -> None:
        await self._connection.close()
