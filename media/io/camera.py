"""A camera by PyAV (v4l2, avfoundation, dshow): a thread reads it, the latest picture wins."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterator
from typing import Protocol

import av
from av.video.frame import VideoFrame as AvFrame

from media.errors import SourceError
from media.io.realtime import take_ordinary_turns
from media.io.video_sources import stalled
from media.pictures import fitted, from_av
from media.video_frame import VideoFrame

logger = logging.getLogger(__name__)

# FFmpeg's input device and its first camera, by sys.platform.
_DEVICES = {
    "linux": ("v4l2", "/dev/video0"),
    "darwin": ("avfoundation", "default:none"),
    "win32": ("dshow", ""),
}
# Pictures in a row that cannot be decoded (a loose cable) after which the camera is given up.
_MAX_DAMAGED = 50
_CLOSE_TIMEOUT = 2.0


class Container(Protocol):
    """What is used of av.container.InputContainer."""

    def decode(self, *, video: int) -> Iterator[AvFrame]: ...

    def close(self) -> None: ...


class Camera:
    """Opened on construction. `device` and `format` as FFmpeg names them; by default the first camera.

    Asks for `width` by `height` at `fps`; what the camera gives instead is scaled to that size, in proportion.
    Raises SourceError when it cannot be opened. When it fails later, the picture stops and `error` says why.
    """

    def __init__(
        self,
        device: str | None = None,
        format: str | None = None,  # FFmpeg's word
        width: int = 640,
        height: int = 480,
        fps: float = 30.0,
    ) -> None:
        if width % 2 or height % 2 or not 2 <= width <= 4096 or not 2 <= height <= 4096:
            raise ValueError(f"a picture has even sides from 2 to 4096, not {width}x{height}")
        self.device, format = _choose(device, format)
        self.error: str | None = None
        self.replaced = 0  # pictures that nobody read in time
        self._size = width, height
        self._container = _open(
            self.device, format, {"video_size": f"{width}x{height}", "framerate": f"{fps:g}"}
        )
        self._lock = threading.Lock()
        self._latest: VideoFrame | None = None
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    async def read(self) -> VideoFrame:
        """The latest picture that has not been read, or the next one. Stalls after an error and after close()."""
        loop = asyncio.get_running_loop()
        while True:
            there = asyncio.Event()
            with self._lock:
                frame, self._latest = self._latest, None
                if frame is None:
                    self._waiting = loop, there
            if frame is not None:
                return frame
            if self._closed or not self._thread.is_alive():
                await stalled()
            await there.wait()

    def close(self) -> None:
        """Returns within 2 s, whatever the driver does."""
        self._closed = True
        self._thread.join(_CLOSE_TIMEOUT)
        if self._thread.is_alive():
            logger.warning("%s does not close", self.device)

    def _run(self) -> None:
        take_ordinary_turns()
        try:
            self._read_all()
            if not self._closed:
                self.error = "the camera has gone"
        except Exception as error:  # whatever a driver does must not end a call
            self.error = str(error)
        finally:
            try:
                self._container.close()
            except Exception as error:
                logger.debug("%s: closing: %s", self.device, error)
        if self.error and not self._closed:
            logger.error("%s: the picture stops: %s", self.device, self.error)

    def _read_all(self) -> None:
        damaged = 0
        frames = iter(self._container.decode(video=0))
        while not self._closed:
            try:
                raw = next(frames, None)
                if raw is None:
                    return
                frame = from_av(raw, time.monotonic())
            except (av.FFmpegError, SourceError) as error:
                damaged += 1
                if damaged > _MAX_DAMAGED:
                    raise
                logger.debug("%s: damaged: %s", self.device, error)
                frames = iter(self._container.decode(video=0))  # a generator that raised has ended
                continue
            damaged = 0
            self._give(VideoFrame(fitted(frame.data, *self._size), frame.captured))

    def _give(self, frame: VideoFrame) -> None:
        with self._lock:
            self.replaced += self._latest is not None
            self._latest = frame
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            loop, there = waiting
            try:
                loop.call_soon_threadsafe(there.set)
            except RuntimeError:  # the loop has ended; close() will follow
                logger.debug("%s: nobody is left to look", self.device)


def _choose(device: str | None, format: str | None) -> tuple[str, str]:
    for platform, (by_default, first) in _DEVICES.items():
        if sys.platform.startswith(platform):
            if device is None and not first:
                raise SourceError(f"name the camera: {by_default} knows no default (video=NAME)")
            return device or first, format or by_default
    if device is None or format is None:
        raise SourceError(f"no camera is known on {sys.platform}: name device and format")
    return device, format


def _open(device: str, format: str, options: dict[str, str]) -> Container:
    """With the options; without them for a camera that refuses the size or rate."""
    error: Exception | None = None
    for wanted in (options, {}):
        try:
            container = av.open(device, mode="r", format=format, options=wanted)
        except (av.FFmpegError, OSError, ValueError) as refused:
            error = error or refused
            continue
        if container.streams.video:
            return container
        container.close()
        raise SourceError(f"{device} gives no picture")
    raise SourceError(f"the camera {device} cannot be opened: {getattr(error, 'strerror', None) or error}")
