"""From what the microphone gave to what the engine sends: echo, noise, gain, our clock."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from media.audio_processing.clock_bridge import ClockBridge
from media.audio_processing.far_end import FarEnd
from media.audio_processing.level_meter import LevelMeter
from media.audio_processing.sample_clock import SampleClock
from media.audio_processing.settings import Processor

PIECE_SAMPLES = 480  # libwebrtc's audio processing works on 10 ms


class CaptureChain:
    """played() for the loudspeaker's sound, captured() for the microphone's: gives frames of `frame_samples`."""

    def __init__(self, processor: Processor | None, frame_samples: int) -> None:
        self.clock = SampleClock()
        self.far_end = FarEnd()
        self.level = LevelMeter()  # of what is sent
        self._processor = processor
        self._bridge = ClockBridge(self.clock, frame_samples)
        self._pending: NDArray[np.int16] = np.zeros(0, np.int16)
        self._position = 0

    @property
    def until(self) -> float:
        """Our time at which the last frame ended; minus infinity before the first."""
        return self._bridge.until

    def played(self, now: float, position: int, samples: NDArray[np.int16]) -> None:
        """The loudspeaker took `samples` at `now`, after `position` others."""
        self.far_end.played(now, position, samples)

    def captured(self, now: float, samples: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
        """The microphone gave `samples` (any number, int16 at 48 kHz) at `now`."""
        self.clock.observe(now, self._position + len(self._pending) + len(samples))
        self._pending = np.concatenate((self._pending, samples)) if len(self._pending) else samples
        while len(self._pending) >= PIECE_SAMPLES:
            piece, self._pending = self._pending[:PIECE_SAMPLES], self._pending[PIECE_SAMPLES:]
            self._position += PIECE_SAMPLES
            for frame in self._bridge.push(self._process(piece)):
                self.level.push(frame)
                yield frame

    def _process(self, piece: NDArray[np.int16]) -> NDArray[np.int16]:
        if self._processor is None:
            return piece
        far = self.far_end.reference(self.clock.time_at(self._position), len(piece))
        return self._processor.process(piece, np.clip(np.rint(far), -32768, 32767).astype(np.int16))
