"""Sound files: whatever PyAV opens as a source, WAV as a sink."""

import logging
import struct
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from media.errors import SourceError
from media.io.containers import frames_of, open_file
from media.io.film import suffixes
from media.io.outputs import OutputFile, check_output, free_path
from media.io.sources import FRAME_SAMPLES, SAMPLE_RATE, PacedSource, Reframer, Samples
from media.io.video_recorder import VideoRecorder

logger = logging.getLogger(__name__)

_HEADER_BYTES = 44
# Sizes in a WAV header have 32 bits (RIFF); recording ends there, after 12 hours.
_MAX_DATA_BYTES = 2**32 - 1 - _HEADER_BYTES - 1
# How much is held back before it is written: one second.
_FLUSH_BYTES = SAMPLE_RATE * 2


def read_pieces(path: Path) -> Iterator[Samples]:
    """The file's first audio stream as pieces of 48 kHz mono int16, in order. Raises SourceError."""
    with open_file(path) as container:
        if not container.streams.audio:
            raise SourceError(f"{path} has no audio stream")
        resampler, shape = None, None
        for frame in frames_of(container, container.streams.audio[0]):
            assert isinstance(frame, AudioFrame)
            # The resampler is set up by its first frame; a stream may change its shape midway.
            if shape != (frame.format.name, frame.layout.name, frame.sample_rate):
                shape = (frame.format.name, frame.layout.name, frame.sample_rate)
                resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            assert resampler is not None
            frame.pts = None
            for out in resampler.resample(frame):
                yield out.to_ndarray()[0]
        if resampler is not None:
            for out in resampler.resample(None):
                yield out.to_ndarray()[0]


def load_speech(path: str | Path, seconds: float | None = None) -> Samples:
    """The first `seconds` (None: all) of a sound file, int16 at 48 kHz, mono. Raises SourceError."""
    limit = None if seconds is None else round(seconds * SAMPLE_RATE)
    parts: list[Samples] = []
    have = 0
    for piece in read_pieces(Path(path)):
        parts.append(piece)
        have += len(piece)
        if limit is not None and have >= limit:
            break
    if not have:
        raise SourceError(f"{path} contains no sound")
    return np.concatenate(parts)[:limit]


class AudioFile(PacedSource):
    """A file as a microphone: all that PyAV opens, decoded as it is read.

    Gives at most `seconds` of it (None: all), then starts again (`loop`) or gives silence; `ended` says so.
    Raises SourceError when the file cannot be opened or has no sound in it.
    """

    def __init__(self, path: str | Path, loop: bool = False, seconds: float | None = None) -> None:
        super().__init__()
        if seconds is not None and not seconds > 0:
            raise ValueError("seconds is more than 0, or None")
        self.path = Path(path)
        self._loop = loop
        self._limit = None if seconds is None else round(seconds * SAMPLE_RATE)
        self._pieces = self._all_pieces()
        try:
            first = next(self._pieces)
        except StopIteration:
            raise SourceError(f"{path} contains no sound") from None
        self._reader = Reframer(self._prepend(first))

    @property
    def ended(self) -> bool:
        """The material is over; what comes is silence."""
        return self._reader.ended

    def close(self) -> None:
        super().close()
        self._pieces.close()

    def _frame(self) -> Samples:
        return self._reader.take(FRAME_SAMPLES)

    def _prepend(self, first: Samples) -> Iterator[Samples]:
        yield first
        yield from self._pieces

    def _all_pieces(self) -> Generator[Samples, None, None]:
        again = False
        while True:
            left = self._limit
            given = 0
            try:
                for piece in read_pieces(self.path):
                    taken = piece if left is None else piece[: left - given]
                    if len(taken):
                        given += len(taken)
                        yield taken
                    if left is not None and given >= left:
                        break
            except SourceError as error:
                if not again:
                    raise
                logger.warning("the file has gone, silence from here on: %s", error)
                return
            again = True
            if not self._loop or not given:
                return


class AudioRecorder:
    """A WAV file (48 kHz, mono, 16 bit) as a speaker.

    Sound is written once a second, together with a header that fits, so a process that dies leaves a
    readable file that lacks its last second at most. Raises SourceError when the file cannot be made; when
    the disk fails later, recording ends and `error` says why.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.started_at: float | None = None  # monotonic time of the first write
        self.samples = 0
        self.error: str | None = None
        self._pending = bytearray()
        self._written_bytes = 0
        check_output(self.path, (".wav",))
        self._file: OutputFile | None = OutputFile(self.path)
        self._write(_wav_header(0))
        if self.error is not None:
            raise SourceError(f"{path} cannot be written: {self.error}")

    def write(self, samples: Samples) -> None:
        """Append int16 samples. Does nothing after close()."""
        if self._file is None:
            return
        if self.started_at is None:
            self.started_at = time.monotonic()
        data = np.ascontiguousarray(samples, dtype="<i2").tobytes()
        if self._written_bytes + len(self._pending) + len(data) > _MAX_DATA_BYTES:
            self._flush()
            self._fail("a WAV file holds no more than 4 GiB")
            return
        self._pending += data
        self.samples += len(samples)
        if len(self._pending) >= _FLUSH_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        file, self._file = self._file, None
        if file is not None:
            file.close()
            self.error = file.error

    def _flush(self) -> None:
        if self._file is None:
            return
        self._write(self._pending)
        self._written_bytes += len(self._pending)
        if self._file is not None:
            self._file.seek(0)
            self._write(_wav_header(self._written_bytes))
        if self._file is not None:
            self._file.seek(0, 2)
        self._pending.clear()

    def _write(self, data: bytes | bytearray) -> None:
        if self._file is not None:
            self._file.write(data)
            if self._file.error is not None:
                self._fail(self._file.error)

    def _fail(self, reason: str) -> None:
        """Stop recording, keep the call."""
        logger.warning("%s: recording ended: %s", self.path, reason)
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self.error = reason


def open_recorder(path: str | Path) -> AudioRecorder | VideoRecorder:
    """A recorder for what the name says (.wav: sound; .mp4, .webm: sound and pictures), beside what exists.

    An existing heard.wav is kept and heard-2.wav written: `path` of the recorder tells. Raises SourceError.
    """
    check_recording(Path(path))
    free = free_path(Path(path), empty=_HEADER_BYTES)
    return VideoRecorder(free) if free.suffix.lower() in suffixes() else AudioRecorder(free)


def check_recording(path: Path) -> None:
    """Whether open_recorder() could make it. Raises SourceError."""
    check_output(path, (".wav", *suffixes()))


def _wav_header(data_bytes: int) -> bytes:
    """RIFF header of PCM, one channel, 48 kHz, 16 bit."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + data_bytes, b"WAVE", b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * 2, 2, 16,
        b"data", data_bytes,
    )  # fmt: skip
