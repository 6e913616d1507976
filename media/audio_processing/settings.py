"""Kinds of device, and what is done to the microphone's sound; names and defaults of W3C mediacapture-streams."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from media.errors import SourceError
from media.extras import how_to_install

# Levels of libwebrtc's noise suppressor: 6, 12, 18 and 21 dB; Chrome uses the third (kHigh: 18 dB).
_NOISE_LEVEL = 2


class Direction(StrEnum):
    """The two kinds of sound device."""

    CAPTURE = "microphone"
    PLAYBACK = "speaker"


@dataclass(frozen=True, slots=True)
class AudioProcessingSettings:
    """As a browser's getUserMedia: all three are on unless told otherwise."""

    echo_cancellation: bool = True
    noise_suppression: bool = True
    auto_gain_control: bool = True

    @property
    def any(self) -> bool:
        return self.echo_cancellation or self.noise_suppression or self.auto_gain_control


class Processor(Protocol):
    """libwebrtc's audio processing, as pywebrtc_audio.AudioProcessor gives it."""

    stream_delay_ms: int

    def process(self, near: NDArray[np.int16], far: NDArray[np.int16] | None = None) -> NDArray[np.int16]:
        """int16 in 10 ms pieces, near and far of one length; gives as many samples."""
        ...


def make_processor(
    settings: AudioProcessingSettings, sample_rate: int, stream_delay_ms: int
) -> Processor | None:
    """None when everything is off. Raises SourceError when the library is missing."""
    if not settings.any:
        return None
    try:
        from pywebrtc_audio import AudioProcessor
    except ImportError:
        raise SourceError(f"echo cancellation is not installed: {how_to_install('devices')}") from None
    processor: Processor = AudioProcessor(
        sample_rate=sample_rate,
        echo_cancellation=settings.echo_cancellation,
        noise_suppression=settings.noise_suppression,
        auto_gain_control=settings.auto_gain_control,
        ns_level=_NOISE_LEVEL,
        stream_delay_ms=stream_delay_ms,
    )
    return processor
