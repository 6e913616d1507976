"""What the peers send, and how the other end knows it again: a tone, a coloured card, messages."""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from media.io.sources import Tone
from media.video_frame import VideoFrame

RATE = 48000
FPS = 20
WIDTH, HEIGHT = 320, 240
MESSAGES: list[str | bytes] = ["Grüße", "", bytes(range(256)), b"", "x" * 60_000, b"\0" * 60_000]


@dataclass(frozen=True)
class Side:
    """What one end shows of itself."""

    hz: float
    rgb: tuple[int, int, int]

    @property
    def yuv(self) -> tuple[int, int, int]:
        """BT.601, limited range."""
        r, g, b = self.rgb
        return (
            round(16 + 0.257 * r + 0.504 * g + 0.098 * b),
            round(128 - 0.148 * r - 0.291 * g + 0.439 * b),
            round(128 + 0.439 * r - 0.368 * g - 0.071 * b),
        )


OFFERER = Side(400.0, (200, 40, 40))
ANSWERER = Side(1000.0, (40, 40, 200))


@dataclass(frozen=True)
class Plan:
    """A call of two engines. `codec` is VP8 or H264, or empty for no video.

    `trickle`: no candidate is in a description, all come after it. `devices`: the browser's (fake) microphone and
    camera, as a page asks for them. `scenario`: what the test is about, when it is about one thing. `rejects`: audio or video,
    of which the peer wants none from the start.
    """

    offerer: str
    answerer: str
    codec: str = ""
    data: bool = False
    trickle: bool = False
    devices: bool = False
    scenario: str = ""
    rejects: str = ""

    @property
    def codecs(self) -> tuple[str, ...]:
        """Ours, the one of the plan first; in a scenario the other may come into its place."""
        others = ("VP8", "H264") if self.scenario else ()
        return (self.codec, *(name for name in others if name != self.codec))

    @property
    def features(self) -> list[str]:
        if self.scenario:
            return [self.scenario]
        extras = (("trickle", self.trickle), (self.codec, self.codec), ("data", self.data))
        return ["voice", *(name for name, there in extras if there)]

    @property
    def messages(self) -> list[str | bytes]:
        """webrtcbin cannot send an empty message: its SCTP association ends at the try (1.22)."""
        return [m for m in MESSAGES if m or "gstreamer" not in (self.offerer, self.answerer)]

    def __str__(self) -> str:
        words = [self.offerer, self.answerer, *self.features, *([self.rejects] if self.rejects else [])]
        return "-".join(words).replace(" ", "_")


class Ears:
    """Knows when a second of a tone was heard, and when anything was."""

    def __init__(self, hz: float) -> None:
        self.hz = hz
        self.heard, self.anything = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._seconds = 0.0

    def again(self) -> None:
        """Listen anew."""
        self._seconds = 0.0
        self.heard.clear()

    def write(self, samples: np.ndarray) -> None:
        if not samples.size or np.abs(samples.astype(np.float64)).mean() < 500:
            return
        self._loop.call_soon_threadsafe(self.anything.set)
        if self._is_tone(samples.astype(np.float64)):
            self._seconds += len(samples) / RATE
            if self._seconds >= 1.0:
                self._loop.call_soon_threadsafe(self.heard.set)

    def _is_tone(self, samples: np.ndarray) -> bool:
        phase = 2j * np.pi * self.hz / RATE * np.arange(len(samples))
        share = 2 * np.abs(samples @ np.exp(phase)) ** 2 / len(samples) / (samples @ samples)
        return bool(share > 0.8)

    def close(self) -> None:
        pass


class Eyes:
    """Knows when a second of moving pictures of one colour was seen, and when anything moved as long."""

    def __init__(self, side: Side) -> None:
        self._u, self._v = side.yuv[1:]
        self.seen, self.anything = asyncio.Event(), asyncio.Event()
        self.pictures = self._moves = 0
        self._last: np.ndarray | None = None

    def again(self) -> None:
        """Look anew."""
        self.pictures = self._moves = 0
        self.seen.clear()

    def write(self, frame: VideoFrame) -> None:
        height = frame.height
        luma = frame.data[:height]
        u, v = frame.data[height : height * 5 // 4], frame.data[height * 5 // 4 :]
        last, self._last = self._last, luma.astype(int)
        if last is None or last.shape != luma.shape or np.abs(self._last - last).max() <= 60:
            return
        self._moves += 1
        # The median: the moving square is white.
        self.pictures += bool(abs(np.median(u) - self._u) <= 16 and abs(np.median(v) - self._v) <= 16)
        if self.pictures >= FPS:
            self.seen.set()
        if self._moves >= FPS:
            self.anything.set()

    def close(self) -> None:
        pass


class CountedTone(Tone):
    """A microphone that knows how often it was read."""

    reads = 0

    async def read(self) -> np.ndarray:
        self.reads += 1
        return await super().read()


class Card:
    """A camera in front of a card with a white square that moves along; knows how often it was read."""

    reads = 0

    def __init__(self, side: Side) -> None:
        self._side = side
        self._number = 0
        self._loop = asyncio.get_running_loop()
        self._began: float | None = None

    async def read(self) -> VideoFrame:
        self.reads += 1
        if self._began is None:
            self._began = self._loop.time()
        due = self._began + self._number / FPS
        await asyncio.sleep(max(0.0, due - self._loop.time()))
        y, u, v = self._side.yuv
        data = np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
        data[:HEIGHT], data[HEIGHT : HEIGHT * 5 // 4], data[HEIGHT * 5 // 4 :] = y, u, v
        left = self._number * 8 % (WIDTH - 48)
        data[96:144, left : left + 48] = 235
        self._number += 1
        return VideoFrame(data, captured=self._loop.time())

    def close(self) -> None:
        pass


async def echo(channel: Any) -> None:
    """Send every message of one of our own channels back."""
    async for message in channel:
        await channel.send(message)
