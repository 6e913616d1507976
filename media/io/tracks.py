"""aiortc's MediaStreamTrack as a source, and what our connection plays as a MediaStreamTrack.

So code written for aiortc (MediaPlayer, MediaRelay, MediaRecorder, a track of one's own) comes along.
"""

import asyncio
import logging
import time
from collections import deque
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, MediaStreamError, MediaStreamTrack
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame as AvFrame

from media.errors import SourceError
from media.io.sources import FRAME_SAMPLES, SAMPLE_RATE, AudioSource, Pace, Samples
from media.io.video_sources import VideoSource, stalled
from media.pictures import from_av, to_av
from media.video_frame import VideoFrame

logger = logging.getLogger(__name__)

# What an output track keeps for a reader that is late: 1 s of sound, 4 pictures; the oldest is left out.
MAX_SAMPLES = SAMPLE_RATE
MAX_PICTURES = 4
# aiortc's MediaRecorder counts in 1/30 s and fails at two pictures in one, so pictures that are shown sooner after
# each other than that are dated later; by no more than 0.1 s, or a faster camera would run away from its sound.
_SPACING = VIDEO_CLOCK_RATE // 30
_MAX_AHEAD = VIDEO_CLOCK_RATE // 10
# A track may give frames of any length; longer ones (a broken track) end it.
_MAX_FRAME_SAMPLES = 10 * SAMPLE_RATE


AudioInput = AudioSource | MediaStreamTrack
VideoInput = VideoSource | MediaStreamTrack


class TrackAudioSource:
    """An audio track as a microphone: any format, rate and channels; the track's own pace.

    After the track's end, or an error of it, silence (`ended`, `error`). The track is taken over: close() stops it.
    Raises ValueError for a track of another kind.
    """

    def __init__(self, track: MediaStreamTrack) -> None:
        _check_kind(track, "audio")
        self.ended = False
        self.error: str | None = None
        self._track = track
        self._rest: Samples = np.zeros(0, np.int16)
        self._resampler: AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None
        self._pace = Pace()

    async def read(self) -> Samples:
        while len(self._rest) < FRAME_SAMPLES and not self.ended:
            frame = await _receive(self, self._track, AudioFrame)
            if frame is not None:
                try:
                    self._rest = np.concatenate([self._rest, self._convert(frame)])
                except (av.FFmpegError, ValueError) as error:
                    _end(self, str(error))
        if self.ended:
            await self._pace.wait()
        samples, self._rest = self._rest[:FRAME_SAMPLES], self._rest[FRAME_SAMPLES:]
        return np.pad(samples, (0, FRAME_SAMPLES - len(samples)))

    def close(self) -> None:
        self.ended = True
        self._rest = np.zeros(0, np.int16)
        self._track.stop()

    def _convert(self, frame: AudioFrame) -> Samples:
        if frame.samples > _MAX_FRAME_SAMPLES:
            raise ValueError(f"a frame of {frame.samples} samples")
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:  # the resampler is set up by its first frame
            self._shape = shape
            self._resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        assert self._resampler is not None
        # By its count, not its time stamps. The frame is not ours: a relay gives it to others, too.
        pts, frame.pts = frame.pts, None
        try:
            parts: list[Samples] = [out.to_ndarray()[0] for out in self._resampler.resample(frame)]
        finally:
            frame.pts = pts
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)


class TrackVideoSource:
    """A video track as a camera: any pixel format and size (odd sides lose a pixel, over 4096 is scaled down).

    After the track's end, or an error of it, the picture stalls (`ended`, `error`). The track is taken over: close()
    stops it. Raises ValueError for a track of another kind.
    """

    def __init__(self, track: MediaStreamTrack) -> None:
        _check_kind(track, "video")
        self.ended = False
        self.error: str | None = None
        self._track = track

    async def read(self) -> VideoFrame:
        while not self.ended:
            frame = await _receive(self, self._track, AvFrame)
            if frame is not None:
                try:
                    return from_av(frame, time.monotonic())
                except SourceError as error:
                    _end(self, str(error))
        await stalled()
        raise AssertionError("unreachable")

    def close(self) -> None:
        self.ended = True
        self._track.stop()


def as_microphone(source: AudioInput | None) -> AudioSource | None:
    """The source itself, or one of the audio track. Raises TypeError for what is neither."""
    if isinstance(source, MediaStreamTrack):
        return TrackAudioSource(source)
    _check_source(source, "microphone", "an AudioSource or an audio MediaStreamTrack")
    return source


def as_camera(source: VideoInput | None) -> VideoSource | None:
    """The source itself, or one of the video track. Raises TypeError for what is neither."""
    if isinstance(source, MediaStreamTrack):
        return TrackVideoSource(source)
    _check_source(source, "camera", "a VideoSource or a video MediaStreamTrack")
    return source


def _check_source(source: object, role: str, wanted: str) -> None:
    if source is not None and not all(callable(getattr(source, name, None)) for name in ("read", "close")):
        raise TypeError(f"a {role} is {wanted}, not {source!r}")


async def _receive(source: TrackAudioSource | TrackVideoSource, track: Any, wanted: type[Any]) -> Any:
    """The track's next frame, or None at its end, which it notes."""
    try:
        frame = await track.recv()
    except MediaStreamError:
        _end(source, None)
    except Exception as error:  # a track is the caller's code
        _end(source, repr(error))
    else:
        if isinstance(frame, wanted):
            return frame
        _end(source, f"it gives {type(frame).__name__}, not {wanted.__name__}")
    return None


def _end(source: TrackAudioSource | TrackVideoSource, error: str | None) -> None:
    if error is not None and not source.ended:
        source.error = error
        logger.error("a track failed, the call goes on without it: %s", error)
    source.ended = True


def _check_kind(track: Any, kind: str) -> None:
    if getattr(track, "kind", None) != kind:
        raise ValueError(f"not a track of kind {kind}: {track!r}")


class AudioOutputTrack(MediaStreamTrack):
    """A speaker that is an audio track: recv() gives what the connection plays, 20 ms of 48 kHz mono s16 each.

    `pts` counts the samples played, those that a late reader missed included (`missed_samples`).
    """

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.missed_samples = 0
        self._pieces: deque[Samples] = deque()
        self._waiting_samples = 0
        self._position = 0  # of the next sample to be read
        self._change = asyncio.Event()

    def write(self, samples: Samples) -> None:
        """From the loop's thread. Does nothing after close()."""
        if self.readyState != "live":
            return
        self._pieces.append(np.array(samples, np.int16))
        self._waiting_samples += len(samples)
        while self._waiting_samples > MAX_SAMPLES and len(self._pieces) > 1:
            lost = len(self._pieces.popleft())
            self._waiting_samples -= lost
            self._position += lost
            self.missed_samples += lost
        self._change.set()

    async def recv(self) -> AudioFrame:
        """Raises MediaStreamError when the connection has been closed and all has been read."""
        while self._waiting_samples < FRAME_SAMPLES:
            if self.readyState != "live":
                raise MediaStreamError
            self._change.clear()
            await self._change.wait()
        joined = np.concatenate(self._pieces)
        self._pieces.clear()
        if len(joined) > FRAME_SAMPLES:
            self._pieces.append(joined[FRAME_SAMPLES:])
        self._waiting_samples -= FRAME_SAMPLES
        frame = AudioFrame.from_ndarray(joined[None, :FRAME_SAMPLES], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = self._position
        self._position += FRAME_SAMPLES
        return frame

    def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        super().stop()
        self._change.set()


class VideoOutputTrack(MediaStreamTrack):
    """A screen that is a video track: recv() gives each picture (yuv420p) when it is to be shown.

    `pts` is its time in 1/90000 s since the first, evened out by up to 0.1 s. A late reader misses the oldest
    (`missed_pictures`).
    """

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.missed_pictures = 0
        self._pictures: deque[tuple[int, VideoFrame]] = deque()
        self._started_at: float | None = None
        self._last_pts: int | None = None
        self._change = asyncio.Event()

    def write(self, frame: VideoFrame) -> None:
        """From the loop's thread. Does nothing after close()."""
        if self.readyState != "live":
            return
        now = time.monotonic()
        if self._started_at is None:
            self._started_at = now
        if len(self._pictures) >= MAX_PICTURES:
            self._pictures.popleft()
            self.missed_pictures += 1
        shown = round((now - self._started_at) * VIDEO_CLOCK_RATE)
        if self._last_pts is not None:
            ahead = self._last_pts - shown
            shown = max(shown, self._last_pts + (_SPACING if ahead < _MAX_AHEAD - _SPACING else 1))
        self._last_pts = shown
        self._pictures.append((shown, frame))
        self._change.set()

    async def recv(self) -> AvFrame:
        """Raises MediaStreamError when the connection has been closed and all has been read."""
        while not self._pictures:
            if self.readyState != "live":
                raise MediaStreamError
            self._change.clear()
            await self._change.wait()
        pts, picture = self._pictures.popleft()
        frame = to_av(picture.data)
        frame.pts, frame.time_base = pts, VIDEO_TIME_BASE
        return frame

    def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        super().stop()
        self._change.set()
