"""Recordings as players in the page: short ones inside the page (Opus), others as links beside it."""

import base64
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import av
import av.error
import numpy as np

from media.codecs.base import Samples

# What all recordings of a page may take together, and one of them at most (seconds).
MAX_BYTES = 1_000_000
MAX_EMBEDDED = 300.0
_RATE = 48_000
# Transparent for mono speech, so that what is heard is the call's fault, not this copy's; and the least that will do.
_BIT_RATE, _LEAST_BIT_RATE = 48_000, 24_000


@dataclass(frozen=True, slots=True)
class Sound:
    """A player. `source` is a data: address or a relative link; None where the file cannot be read."""

    name: str
    source: str | None
    embedded: bool = False
    error: str | None = None


def load_sounds(sounds: Mapping[str, Path | Samples], folder: Path | None = None) -> list[Sound]:
    """Files, or 48 kHz mono int16, as players that together take no more than MAX_BYTES.

    What is too long for that is a link to the file, relative to `folder` (None: the page lies beside it); of samples
    the beginning is embedded, which the name tells.
    """
    seconds = sum(_seconds(sound) for sound in sounds.values())
    bit_rate = min(_BIT_RATE, round(MAX_BYTES * 8 / seconds)) if seconds else _BIT_RATE
    limit = MAX_EMBEDDED
    if bit_rate < _LEAST_BIT_RATE:
        bit_rate = _LEAST_BIT_RATE
        limit = min(limit, MAX_BYTES * 8 / bit_rate / len(sounds))
    return [_load(name, sound, folder, limit, bit_rate) for name, sound in sounds.items()]


def _seconds(sound: Path | Samples) -> float:
    if not isinstance(sound, Path):
        return len(sound) / _RATE
    try:
        with av.open(str(sound)) as container:
            return (container.duration or 0) / av.time_base
    except (av.error.FFmpegError, OSError, ValueError):
        return 0.0


def _load(name: str, sound: Path | Samples, folder: Path | None, limit: float, bit_rate: int) -> Sound:
    if not isinstance(sound, Path):
        kept = sound[: round(limit * _RATE)]
        name = name if len(kept) == len(sound) else f"{name}, the first {limit:.0f} s"
        if not len(kept):
            return Sound(name, None, error="there is no sound in it")
        return Sound(name, _address(encode_samples(kept, bit_rate)), embedded=True)
    path = sound
    try:
        encoded = encode(path, limit, bit_rate)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Sound(name, None, error=reason)
    if encoded is None:
        link = path.name if folder is None else os.path.relpath(path, folder)
        return Sound(name, quote(Path(link).as_posix()))
    return Sound(name, _address(encoded), embedded=True)


def _address(encoded: bytes) -> str:
    return "data:audio/webm;base64," + base64.b64encode(encoded).decode()


def encode_samples(samples: Samples, bit_rate: int = _BIT_RATE) -> bytes:
    """48 kHz mono int16 as Opus in WebM."""
    target = io.BytesIO()
    with av.open(target, "w", format="webm", options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream("libopus", rate=_RATE, layout="mono", bit_rate=bit_rate)
        for start in range(0, len(samples), _RATE):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[None, start : start + _RATE]), "s16", "mono"
            )
            frame.sample_rate = _RATE
            frame.pts = start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue()


def encode(path: Path, limit: float = MAX_EMBEDDED, bit_rate: int = _BIT_RATE) -> bytes | None:
    """The first audio stream as Opus in WebM; None where it is longer than `limit` seconds.

    Raises FFmpegError, OSError, ValueError for what cannot be read.
    """
    target = io.BytesIO()
    with av.open(str(path)) as source:
        if not source.streams.audio:
            raise ValueError("there is no sound in it")
        # bitexact: the same recording gives the same page, without the muxer's random identifiers.
        with av.open(target, "w", format="webm", options={"fflags": "+bitexact"}) as output:
            stream = output.add_stream("libopus", rate=_RATE, layout="mono", bit_rate=bit_rate)
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
