"""The film that a recorder writes: two encoders and a container. Blocking; for one thread."""

import logging
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from media.errors import SourceError
from media.io.containers import reason
from media.io.outputs import OutputFile
from media.io.sources import SAMPLE_RATE, Samples
from media.pictures import black, fitted, to_av
from media.video_frame import VideoFrame

logger = logging.getLogger(__name__)

_MILLISECONDS = Fraction(1, 1000)
_DEFAULT_SIZE = (640, 480)
# When no picture has come in this much sound, the film begins with a black one.
_WAIT_SAMPLES = 5 * SAMPLE_RATE
# A longer silence is left out of the file, not written.
_MAX_SILENCE = 60 * SAMPLE_RATE
_NOMINAL_FPS = 30


@dataclass(frozen=True, slots=True)
class _Format:
    container: str
    video: str
    audio: str
    video_options: dict[str, str]
    container_options: dict[str, str] = field(default_factory=dict)


_FORMATS = {
    ".mp4": _Format(
        "mp4", "libx264", "aac",
        {"preset": "veryfast", "tune": "zerolatency", "crf": "23", "g": "60"},
        # Readable as far as it got when the process dies; an ordinary MP4 when it is closed. delay_moov: without
        # it the AAC encoder's delay moves everything by 21 ms.
        {"movflags": "hybrid_fragmented+frag_keyframe+delay_moov", "flush_packets": "1"},
    ),
    ".webm": _Format(
        "webm", "libvpx", "libopus",
        # No crf: with it libvpx takes 10 to 100 ms a picture of 640x480, without it 2.4 (measured). A speed below 0 is
        # fixed; above it libvpx chooses one by the time that it takes.
        {"deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0", "b": "2M"},
        {"flush_packets": "1"},
    ),
}  # fmt: skip


def suffixes() -> list[str]:
    return sorted(_FORMATS)


class Film:
    """Begun by its first picture; what sound came before waits (5 s at most). Every method raises SourceError."""

    def __init__(self, path: Path, size: tuple[int, int] | None = None) -> None:
        self._size = size
        self._format = _FORMATS[path.suffix.lower()]
        self._file = OutputFile(path)
        self._container: OutputContainer | None = None
        self._video: VideoStream | None = None
        self._audio: AudioStream | None = None
        self._early: list[tuple[Samples, int]] = []
        self._rest: Samples = np.zeros(0, np.int16)
        self._written = 0  # samples given to the encoder
        self._last_ms = -1

    def picture(self, frame: VideoFrame, at_ms: int) -> None:
        """A picture at this time of the film; of equal or falling times each is put behind the one before."""
        try:
            self._open(self._size or (frame.width, frame.height))
            self._encode_picture(frame, at_ms)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(reason(error)) from None
        self._check_disk()

    def sound(self, samples: Samples, at: int) -> None:
        """Samples at a position (samples from the beginning); what is missing before them becomes silence."""
        try:
            if self._container is None:
                self._early.append((samples, at))
                if at < _WAIT_SAMPLES:
                    return
                self._begin_black()
            else:
                self._encode_sound(samples, at)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(reason(error)) from None
        self._check_disk()

    def close(self) -> None:
        """Finish the file; one that nothing was written to gets a black picture."""
        try:
            if self._container is None:
                self._begin_black()
            assert self._container is not None and self._video is not None and self._audio is not None
            if not self._written and not len(self._rest):  # players want both tracks filled
                self._encode_sound(np.zeros(1, np.int16), max(0, self._last_ms) * SAMPLE_RATE // 1000)
            frame_samples = self._audio.codec_context.frame_size
            self._encode_pieces(np.zeros(-len(self._rest) % frame_samples, np.int16))
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(reason(error)) from None
        finally:
            container, self._container = self._container, None
            try:
                if container is not None:
                    container.close()
            except (av.FFmpegError, OSError, ValueError) as error:
                raise SourceError(reason(error)) from None
            finally:
                self._file.close()
        self._check_disk()

    def _check_disk(self) -> None:
        if self._file.error is not None:
            raise SourceError(self._file.error)

    def _begin_black(self) -> None:
        width, height = self._size or _DEFAULT_SIZE
        self._open((width, height))
        self._encode_picture(VideoFrame(black(width, height), 0.0), 0)

    def _open(self, size: tuple[int, int]) -> None:
        if self._container is not None:
            return
        chosen = self._format
        self._container = av.open(self._file, "w", format=chosen.container, options=chosen.container_options)
        video = self._container.add_stream(
            chosen.video, rate=_NOMINAL_FPS, options=dict(chosen.video_options)
        )
        audio = self._container.add_stream(chosen.audio, rate=SAMPLE_RATE)
        assert isinstance(video, VideoStream) and isinstance(audio, AudioStream)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = _MILLISECONDS
        audio.codec_context.layout = "mono"
        audio.codec_context.format = "fltp" if chosen.audio == "aac" else "s16"
        audio.codec_context.bit_rate = 64_000
        self._video, self._audio = video, audio
        self._container.start_encoding()
        early, self._early = self._early, []
        for samples, at in early:
            self._encode_sound(samples, at)

    def _encode_picture(self, frame: VideoFrame, at_ms: int) -> None:
        assert self._container is not None and self._video is not None
        picture = to_av(fitted(frame.data, self._video.width, self._video.height))
        self._last_ms = picture.pts = max(at_ms, self._last_ms + 1)
        picture.time_base = _MILLISECONDS
        picture.duration = 1000 // _NOMINAL_FPS
        self._container.mux(self._video.encode(picture))

    def _encode_sound(self, samples: Samples, at: int) -> None:
        assert self._audio is not None
        missing = at - self._written - len(self._rest)
        if missing > _MAX_SILENCE:
            self._written += missing
        else:
            while missing > 0:
                self._encode_pieces(np.zeros(min(missing, SAMPLE_RATE), np.int16))
                missing -= SAMPLE_RATE
        self._encode_pieces(samples)

    def _encode_pieces(self, samples: Samples) -> None:
        assert self._container is not None and self._audio is not None
        size = self._audio.codec_context.frame_size
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // size * size
        for start in range(0, whole, size):
            piece = joined[start : start + size]
            if self._audio.codec_context.format.name == "fltp":
                frame = AudioFrame.from_ndarray((piece[None] / 32768).astype(np.float32), "fltp", "mono")
            else:
                frame = AudioFrame.from_ndarray(np.ascontiguousarray(piece[None]), "s16", "mono")
            frame.sample_rate = SAMPLE_RATE
            frame.time_base = Fraction(1, SAMPLE_RATE)
            frame.pts = self._written
            self._written += size
            self._container.mux(self._audio.encode(frame))
        self._rest = joined[whole:]
