"""Where pictures come from: the protocols, and the sources that need neither file nor device.

Pictures are VideoFrame (I420). A source is awaited for its next picture and paces itself; it may stall, and after its
material or after close() it does so for good: whoever reads it cancels the reading. A source that is read too late
leaves pictures out, as a camera does, and never delivers a burst.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from media.errors import SourceError
from media.io.sources import FRAME_SAMPLES, SAMPLE_RATE, Pace, Samples
from media.pictures import black, from_rgb
from media.quality.frame_number import MAX_NUMBER, write_frame_number
from media.simulation.picture import Pattern, beeps, is_flash
from media.video_frame import VideoFrame

logger = logging.getLogger(__name__)

# Capture times are kept for this many pictures: 20 minutes at 30 a second.
MAX_LOG = 36_000
MAX_FPS = 240.0


@runtime_checkable
class VideoSource(Protocol):
    """A camera, or something that stands for one."""

    async def read(self) -> VideoFrame:
        """The next picture, when it has been taken. May never return."""
        ...

    def close(self) -> None:
        """Give everything back; may be called twice."""
        ...


@runtime_checkable
class VideoSink(Protocol):
    """A screen or a recorder."""

    def write(self, frame: VideoFrame) -> None:
        """Called at the moment the picture is to be seen. Must not block."""
        ...

    def close(self) -> None:
        """Give everything back; may be called twice."""
        ...


class VideoPace:
    """Wakes up `fps` times a second after an absolute schedule: leaves out what was missed, never drifts."""

    def __init__(self, fps: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 < fps <= MAX_FPS:
            raise ValueError(f"fps is more than 0 and at most {MAX_FPS:.0f}, not {fps}")
        self.fps = fps
        self.started_at: float | None = None  # set it to join a schedule that has begun
        self._clock = clock
        self._next = 0

    async def wait(self) -> int:
        """Return the number of the picture that is due; 0 at once, n at n / fps after it."""
        now = self._clock()
        if self.started_at is None:
            self.started_at = now
        number = max(self._next, int((now - self.started_at) * self.fps + 1e-6))
        self._next = number + 1
        await asyncio.sleep(max(0.0, self.time_of(number) - now))
        return number

    def time_of(self, number: int) -> float:
        """When picture `number` is due, on the clock."""
        return (self.started_at or 0.0) + number / self.fps


class CaptureLog(dict[int, float]):
    """Number of a picture -> when it was taken; forgets the oldest beyond MAX_LOG."""

    def add(self, number: int, captured: float) -> None:
        self[number] = captured
        if len(self) > MAX_LOG:
            del self[next(iter(self))]


class PacedVideo:
    """A live source: `_picture(number)` makes a picture without waiting, this waits for its time."""

    def __init__(self, fps: float) -> None:
        self._pace = VideoPace(fps)
        self._closed = False

    @property
    def fps(self) -> float:
        return self._pace.fps

    async def read(self) -> VideoFrame:
        """The next picture at its time; stalls after close()."""
        number = await self._pace.wait()
        if self._closed:
            await stalled()
        return VideoFrame(self._picture(number), self._pace.time_of(number))

    def close(self) -> None:
        self._closed = True

    def _picture(self, number: int) -> NDArray[np.uint8]:
        raise NotImplementedError


class BlackFrames(PacedVideo):
    """A covered lens."""

    def __init__(self, width: int = 640, height: int = 480, fps: float = 5.0) -> None:
        super().__init__(fps)
        self._data = black(width, height)

    def _picture(self, number: int) -> NDArray[np.uint8]:
        return self._data


class TestPattern(PacedVideo):
    """Generated pictures with their number in them (media/quality/frame_number.py).

    `captured` maps numbers to the times they were taken, `reference(number)` is the picture as it was sent: what
    media/quality/video.py needs. With `flash`, every second begins with a white picture. Raises ValueError for sides
    that are odd, under 160x120 or over 4096.
    """

    __test__ = False  # pytest: not a test class

    def __init__(
        self, width: int = 640, height: int = 480, fps: float = 30.0, *, flash: bool = False
    ) -> None:
        super().__init__(fps)
        self.captured = CaptureLog()
        self._pattern = Pattern(width, height)
        self._flash = flash

    def reference(self, number: int) -> NDArray[np.uint8]:
        """The picture with this number, I420."""
        return self._pattern.picture(number, self._flash and is_flash(number, self.fps))

    def _picture(self, number: int) -> NDArray[np.uint8]:
        self.captured.add(number, self._pace.time_of(number))
        return self.reference(number)


class FlashAndBeep:
    """A camera (`video`) and a microphone (`audio`) that flash and beep at the same moment, once a second.

    media/quality/lip_sync.py finds both at the other end. Their schedule begins with the first read of either.
    """

    def __init__(self, width: int = 640, height: int = 480, fps: float = 30.0) -> None:
        self.video = _FlashVideo(self, width, height, fps)
        self.audio = _BeepAudio(self)
        self._started_at: float | None = None

    def begin(self, now: float) -> float:
        """When the schedule begins; `now` at the first call."""
        if self._started_at is None:
            self._started_at = now
        return self._started_at

    def close(self) -> None:
        self.video.close()
        self.audio.close()


class _FlashVideo(TestPattern):
    def __init__(self, pair: FlashAndBeep, width: int, height: int, fps: float) -> None:
        super().__init__(width, height, fps, flash=True)
        self._pair = pair

    async def read(self) -> VideoFrame:
        if self._pace.started_at is None:
            self._pace.started_at = self._pair.begin(time.monotonic())
        return await super().read()


class _BeepAudio:
    def __init__(self, pair: FlashAndBeep) -> None:
        self._pair = pair
        self._pace = Pace()
        self._position: int | None = None
        self._closed = False

    async def read(self) -> Samples:
        now = time.monotonic()
        due = round((now - self._pair.begin(now)) * SAMPLE_RATE)
        # The pace catches up when late, so the count is the truth, but for a machine that slept.
        if self._position is None or due - self._position > SAMPLE_RATE:
            self._position = due
        await self._pace.wait()
        position = self._position
        self._position += FRAME_SAMPLES
        return np.zeros(FRAME_SAMPLES, np.int16) if self._closed else beeps(position, FRAME_SAMPLES)

    def close(self) -> None:
        self._closed = True


class NumpyFrames(PacedVideo):
    """Pictures of the caller's at `fps`: any iterable of uint8 arrays, RGB (h, w, 3) or I420 (h * 3 // 2, w).

    The iterable runs on the loop and should take a few milliseconds a picture. After its end the source stalls
    (`ended`); an array of another shape raises SourceError.
    """

    def __init__(self, pictures: Iterable[NDArray[np.uint8]], fps: float = 30.0) -> None:
        super().__init__(fps)
        self._pictures = iter(pictures)
        self.ended = False

    async def read(self) -> VideoFrame:
        number = await self._pace.wait()
        picture = None if self._closed or self.ended else next(self._pictures, None)
        if picture is None:
            self.ended = True
            await stalled()
            raise AssertionError("unreachable")
        return as_frame(picture, self._pace.time_of(number))


class PushedFrames:
    """Pictures of the caller's, whenever there is one: `push()` it. The latest wins. One loop, one thread."""

    def __init__(self) -> None:
        self.replaced = 0  # pictures that nobody read in time
        self._latest: VideoFrame | None = None
        self._there = asyncio.Event()
        self._closed = False

    def push(self, picture: NDArray[np.uint8], captured: float | None = None) -> None:
        """uint8, RGB (h, w, 3) or I420 (h * 3 // 2, w); not copied. `captured` is monotonic time, by default now.

        Raises SourceError for another shape. Does nothing after close().
        """
        frame = as_frame(picture, time.monotonic() if captured is None else captured)
        if self._closed:
            return
        self.replaced += self._latest is not None
        self._latest = frame
        self._there.set()

    async def read(self) -> VideoFrame:
        await self._there.wait()
        frame, self._latest = self._latest, None
        self._there.clear()
        assert frame is not None
        return frame

    def close(self) -> None:
        self._closed = True
        self._latest = None
        self._there.clear()


class Numbered:
    """Any source with a number written into each picture, so that the other end can be compared with it.

    Keeps the capture times (`captured`) and the last `keep` pictures (`reference(number)`). The source is taken over.
    """

    def __init__(self, source: VideoSource, keep: int = 64) -> None:
        self.captured = CaptureLog()
        self._source = source
        self._keep = keep
        self._sent: dict[int, NDArray[np.uint8]] = {}
        self._number = 0

    async def read(self) -> VideoFrame:
        """The source's next picture. Raises SourceError for one smaller than 160x120."""
        frame = await self._source.read()
        data = frame.data.copy()
        try:
            write_frame_number(data[: frame.height], self._number)
        except ValueError as error:
            raise SourceError(str(error)) from None
        self.captured.add(self._number, frame.captured)
        self._sent[self._number] = data
        if len(self._sent) > self._keep:
            del self._sent[next(iter(self._sent))]
        self._number = (self._number + 1) & MAX_NUMBER
        return VideoFrame(data, frame.captured)

    def reference(self, number: int) -> NDArray[np.uint8] | None:
        """The picture as it was sent, I420; None when it is too old."""
        return self._sent.get(number)

    def close(self) -> None:
        self._source.close()


@runtime_checkable
class NumberedSource(VideoSource, Protocol):
    """A source whose pictures can be known again: TestPattern, FlashAndBeep's video, Numbered."""

    @property
    def captured(self) -> Mapping[int, float]: ...

    def reference(self, number: int) -> NDArray[np.uint8] | None: ...


def as_frame(picture: NDArray[np.uint8], captured: float) -> VideoFrame:
    """RGB (h, w, 3) or I420 (h * 3 // 2, w), uint8. Raises SourceError for another shape."""
    try:
        if picture.ndim == 3:
            return from_rgb(picture, captured)
        return VideoFrame(np.ascontiguousarray(picture), captured)
    except (ValueError, AttributeError) as error:
        raise SourceError(str(error)) from None


async def stalled() -> None:
    """Never returns; can be cancelled."""
    await asyncio.get_running_loop().create_future()
