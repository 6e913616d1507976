"""A call as a film: MP4 (H.264, AAC) or WebM (VP8, Opus), encoded in a thread."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from media.errors import SourceError
from media.io.film import Film, suffixes
from media.io.realtime import take_ordinary_turns
from media.io.sources import SAMPLE_RATE, Samples
from media.video_frame import VideoFrame

logger = logging.getLogger(__name__)

# What may wait for the encoder: 8 raw pictures (11 MB at 1280x720), 5 s of sound. What comes beyond is left out.
MAX_PICTURES = 8
MAX_PIECES = 500
# Sound that comes this much later than its count says was missing: the ticker makes up for 0.5 s of a late loop.
_GAP_SAMPLES = round(0.6 * SAMPLE_RATE)
_CLOSE_TIMEOUT = 10.0

# ("audio", position in samples, samples) or ("video", milliseconds, picture)
_Item = tuple[int, Samples | VideoFrame]


class VideoRecorder:
    """`audio` is the speaker, `video` the screen; the file's suffix (.mp4, .webm) says the format.

    Pictures stand in the film at the time they were shown. The first one sets the size (or `size`); others are fitted
    into it. The film has both tracks: sound that does not come is silence, a picture that does not come is black.
    It is finished when every side that was taken has been closed, or by close(). Raises SourceError when the file
    cannot be made; when the disk fails later, recording ends and `error` says why.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in suffixes():
            raise SourceError(f"{path}: the suffix is one of {', '.join(suffixes())}")
        self.started_at: float | None = None  # monotonic time of the first write
        self.pictures = 0
        self.dropped = 0  # pictures and pieces of sound left out, because the encoder was late
        self.error: str | None = None
        self._clock = clock
        self._film = Film(self.path, size)
        self._position: int | None = None  # of the next piece of sound, in samples
        self._waiting: deque[_Item] = deque()
        self._counts = [0, 0]  # pieces of sound, pictures in the queue
        self._change = threading.Condition()
        self._closed = False
        self._audio: AudioSide | None = None
        self._video: VideoSide | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def audio(self) -> "AudioSide":
        """The speaker: 48 kHz mono int16. A new one when the last was closed and the film goes on."""
        if self._audio is None or self._audio.closed:
            self._audio = AudioSide(self)
        return self._audio

    @property
    def video(self) -> "VideoSide":
        """The screen. A new one when the last was closed and the film goes on."""
        if self._video is None or self._video.closed:
            self._video = VideoSide(self)
        return self._video

    def close(self) -> None:
        """Finish the file. Returns within 10 s, and then `error` is set; may be called twice."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join(_CLOSE_TIMEOUT)
        if self._thread.is_alive():
            self.error = self.error or "finishing the file takes too long"
            logger.warning("%s: %s", self.path, self.error)

    # -- for the sides

    def take_sound(self, samples: Samples) -> None:
        position = round(self._time() * SAMPLE_RATE)
        if self._position is None or position - self._position > _GAP_SAMPLES:
            self._position = position
        self._put(0, MAX_PIECES, (self._position, np.array(samples, np.int16)))
        self._position += len(samples)

    def take_picture(self, frame: VideoFrame) -> None:
        self._put(1, MAX_PICTURES, (round(self._time() * 1000), frame))

    def side_closed(self) -> None:
        if all(side is None or side.closed for side in (self._audio, self._video)):
            self.close()

    # -- inside

    def _time(self) -> float:
        now = self._clock()
        if self.started_at is None:
            self.started_at = now
        return now - self.started_at

    def _put(self, kind: int, limit: int, item: _Item) -> None:
        with self._change:
            if self._closed or self.error is not None:
                return
            if self._counts[kind] >= limit:
                self.dropped += 1
                return
            self._counts[kind] += 1
            self._waiting.append(item)
            self._change.notify()

    def _run(self) -> None:
        take_ordinary_turns()
        try:
            while (item := self._next()) is not None:
                at, content = item
                if isinstance(content, VideoFrame):
                    self._film.picture(content, at)
                    self.pictures += 1
                else:
                    self._film.sound(content, at)
        except SourceError as error:
            self._fail(error)
        try:
            self._film.close()
        except SourceError as error:
            self._fail(error)

    def _next(self) -> _Item | None:
        with self._change:
            self._change.wait_for(lambda: self._closed or self._waiting)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._counts[isinstance(item[1], VideoFrame)] -= 1
            return item

    def _fail(self, error: SourceError) -> None:
        """Stop recording, keep the call."""
        with self._change:
            if self.error is None:
                self.error = str(error)
                logger.warning("%s: recording ended: %s", self.path, error)
            self._waiting.clear()


class _Side:
    def __init__(self, recorder: VideoRecorder) -> None:
        self.closed = False
        self._recorder = recorder

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._recorder.side_closed()


class AudioSide(_Side):
    """The recorder as a speaker."""

    @property
    def path(self) -> Path:
        return self._recorder.path

    @property
    def error(self) -> str | None:
        """Why recording ended early."""
        return self._recorder.error

    def write(self, samples: Samples) -> None:
        if not self.closed:
            self._recorder.take_sound(samples)


class VideoSide(_Side):
    """The recorder as a screen."""

    def write(self, frame: VideoFrame) -> None:
        if not self.closed:
            self._recorder.take_picture(frame)
