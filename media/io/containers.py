"""Sound and video files by PyAV: opened with a clear error, read past what is damaged."""

import logging
from collections.abc import Iterator
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from media.errors import SourceError

logger = logging.getLogger(__name__)

# Suffixes whose content FFmpeg cannot recognise by itself.
_RAW_FORMATS = {".g722": "g722"}
# Damaged packets in a row after which the rest of a file is given up.
_MAX_DAMAGED = 50


def open_file(path: Path) -> InputContainer:
    """Raises SourceError."""
    if path.is_dir():
        raise SourceError(f"{path} is a directory, not a file")
    try:
        return av.open(str(path), format=_RAW_FORMATS.get(path.suffix.lower()), mode="r")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be opened: {reason(error)}") from None


def frames_of(
    container: InputContainer, stream: AudioStream | VideoStream
) -> Iterator[AudioFrame | VideoFrame]:
    """The frames of a stream; damaged packets are left out."""
    damaged = 0
    packets = container.demux(stream)
    while damaged < _MAX_DAMAGED:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except (av.FFmpegError, OSError, ValueError) as error:
            damaged += 1
            logger.debug("%s: damaged: %s", container.name, reason(error))
            continue
        damaged = 0
        for frame in frames:
            if isinstance(frame, AudioFrame | VideoFrame):
                yield frame


def reason(error: Exception) -> str:
    """What the system said, without FFmpeg's number."""
    return str(getattr(error, "strerror", None) or error)
