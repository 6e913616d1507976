"""Recordings as players in the page: short ones inside the page (Opus), others as links beside it."""

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import av
import av.error
import numpy as np

from media.codecs.base import Samples

# What is embedded at most: 300 s are 2.4 MB in the page.
MAX_EMBEDDED = 300.0
_RATE = 48_000
# Transparent for mono speech, so that what is heard is the call's fault and not this copy's.
_BIT_RATE = 48_000


@dataclass(frozen=True, slots=True)
class Sound:
    """A player. `source` is a data: address or a relative link; None where the file cannot be read."""

    name: str
    source: str | None
    embedded: bool = False
    error: str | None = None


def load_sound(name: str, sound: Path | Samples, folder: Path | None = None) -> Sound:
    """A file, or 48 kHz mono int16, as a player; a link is relative to `folder` (None: the page lies beside the file)."""
    if not isinstance(sound, Path):
        return Sound(name, _address(encode_samples(sound)), embedded=True)
    path = sound
    try:
        encoded = encode(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Sound(name, None, error=reason)
    if encoded is None:
        link = path.name if folder is None else os.path.relpath(path, folder)
        return Sound(name, quote(Path(link).as_posix()))
    return Sound(name, _address(encoded), embedded=True)


def _address(encoded: bytes) -> str:
    return "data:audio/webm;base64," + base64.b64encode(encoded).decode()


def encode_samples(samples: Samples) -> bytes:
    """48 kHz mono int16 as Opus in WebM."""
    target = io.BytesIO()
    with av.open(target, "w", format="webm", options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream("libopus", rate=_RATE, layout="mono", bit_rate=_BIT_RATE)
        for start in range(0, len(samples), _RATE):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[None, start : start + _RATE]), "s16", "mono"
            )
            frame.sample_rate = _RATE
            frame.pts = start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue()


def encode(path: Path, limit: float = MAX_EMBEDDED) -> bytes | None:
    """The first audio stream as Opus in WebM; None where it is longer than `limit` seconds.

    Raises FFmpegError, OSError, ValueError for what cannot be read.
    """
    target = io.BytesIO()
    with av.open(str(path)) as source:
        if not source.streams.audio:
            raise ValueError("there is no sound in it")
        # bitexact: the same recording gives the same page, without the muxer's random identifiers.
        with av.open(target, "w", format="webm", options={"fflags": "+bitexact"}) as output:
            stream = output.add_stream("libopus", rate=_RATE, layout="mono", bit_rate=_BIT_RATE)
            resampler = av.AudioResampler("s16", "mono", _RATE)
            samples = 0
            for frame in source.decode(audio=0):
                for part in resampler.resample(frame):
                    samples += part.samples
                    output.mux(stream.encode(part))
                if samples > limit * _RATE:
                    return None
            for part in resampler.resample(None):
                samples += part.samples
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
    if not samples:
        raise ValueError("there is no sound in it")
    return target.getvalue()
