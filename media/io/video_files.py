"""A video file as a camera: its pictures at their times. Its sound is AudioFile's."""

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame as AvFrame
from numpy.typing import NDArray

from media.errors import SourceError
from media.io.containers import frames_of, open_file
from media.io.realtime import take_ordinary_turns
from media.io.video_sources import stalled
from media.pictures import fitted, from_av, rotated
from media.video_frame import VideoFrame

logger = logging.getLogger(__name__)

# A picture this late is left out, but never more than a few in a row: a slow machine shows something, too.
_SKIP_LATE, _MAX_SKIPPED = 0.05, 4
# Later than this (a suspended machine) the schedule begins anew.
_GIVE_UP_AFTER = 1.0
_DEFAULT_FPS = 30.0
_CLOSE_TIMEOUT = 2.0

Timed = tuple[NDArray[np.uint8], float]  # I420, seconds from the beginning


class VideoFile:
    """All that PyAV opens: film, animated picture, single picture. Decoded and scaled in a thread, one picture ahead.

    `size` (width, height; even, at most 4096) scales every picture. Gives at most `seconds` of the file (None: all),
    then starts again (`loop`) or stalls; `ended` says so. With the same `seconds`, AudioFile and VideoFile loop
    together. Raises SourceError when the file cannot be opened or has no picture in it.
    """

    def __init__(
        self,
        path: str | Path,
        loop: bool = False,
        seconds: float | None = None,
        size: tuple[int, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError("seconds is more than 0, or None")
        if size is not None and (min(size) < 2 or max(size) > 4096 or size[0] % 2 or size[1] % 2):
            raise ValueError(f"a size has even sides from 2 to 4096, not {size}")
        self.path = Path(path)
        self.ended = False
        self.skipped = 0  # pictures left out because they were late
        self.started_at: float | None = None  # monotonic time of the first picture
        self._loop, self._seconds, self._size, self._clock = loop, seconds, size, clock
        self._pictures = self._all()
        self._first: Timed | None = next(self._pictures, None)
        if self._first is None:
            raise SourceError(f"{path} contains no picture")
        self._worker: ThreadPoolExecutor | None = None
        self._pending: asyncio.Future[Timed | None] | None = None
        self._closed = False

    async def read(self) -> VideoFrame:
        """The next picture at its time; stalls at the end and after close()."""
        in_a_row = 0
        while (timed := await self._next()) is not None:
            data, at = timed
            now = self._clock()
            if self.started_at is None:
                self.started_at = now - at
            late = now - (self.started_at + at)
            if late > _GIVE_UP_AFTER:
                self.started_at += late
            elif late > _SKIP_LATE and in_a_row < _MAX_SKIPPED:
                in_a_row += 1
                self.skipped += 1
                continue
            await asyncio.sleep(max(0.0, -late))
            return VideoFrame(data, self.started_at + at)
        self.ended = True
        await stalled()
        raise AssertionError("unreachable")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._worker is None:
            self._pictures.close()
            return
        # The generator is the worker's, and the file is closed where it is read.
        done = self._worker.submit(self._pictures.close)
        self._worker.shutdown(wait=False)
        try:
            done.result(timeout=_CLOSE_TIMEOUT)
        except TimeoutError:
            logger.warning("%s: reading it does not end", self.path)

    async def _next(self) -> Timed | None:
        if self._closed or self.ended:
            return None
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._pending is None:
            self._pending = self._decode_ahead()
        # Shielded: a reading that is cancelled must not lose the picture.
        timed = await asyncio.shield(self._pending)
        self._pending = None if self._closed or timed is None else self._decode_ahead()
        return timed

    def _decode_ahead(self) -> "asyncio.Future[Timed | None]":
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "video-file", take_ordinary_turns)
        return asyncio.get_running_loop().run_in_executor(self._worker, next, self._pictures, None)

    def _all(self) -> Generator[Timed, None, None]:
        begin = 0.0
        while True:
            last, step = -1.0, 1 / _DEFAULT_FPS
            try:
                with closing(_read(self.path, self._size)) as pictures:
                    for data, at, step in pictures:  # noqa: B007 (the last step counts)
                        if self._seconds is not None and at >= self._seconds - 1e-6:
                            break
                        last = max(at, last + 1e-3)  # times of a damaged file may go back
                        yield data, begin + last
            except SourceError as error:
                if begin == 0.0 and last < 0:
                    raise
                logger.warning("the picture stops here: %s", error)
                return
            if not self._loop or last < 0:
                return
            begin += last + step if self._seconds is None else self._seconds


def _read(
    path: Path, size: tuple[int, int] | None
) -> Generator[tuple[NDArray[np.uint8], float, float], None, None]:
    """The pictures of a file's first video stream: I420, seconds after its first, seconds to the next."""
    with open_file(path) as container:
        if not container.streams.video:
            raise SourceError(f"{path} has no video stream")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or _DEFAULT_FPS) or _DEFAULT_FPS
        zero, expected = None, 0.0
        for frame in frames_of(container, stream):
            assert isinstance(frame, AvFrame)
            at = frame.time
            if at is not None:
                zero = at if zero is None else zero
                expected = at - zero
            picture = from_av(frame, 0.0, None)
            data = rotated(picture.data, frame.rotation)
            if size is not None:
                data = fitted(data, *size)
            yield data, expected, 1 / rate
            expected += 1 / rate
