"""Sound from a device's clock to ours: resampled by the measured drift, without clicks."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from media.audio_processing.fractional import FractionalBuffer
from media.audio_processing.sample_clock import SAMPLE_RATE, SampleClock

# How fast an error of the position is worked off: within a second, and never faster than 0.1 % (1.7 cents: inaudible).
_SETTLE_SAMPLES = SAMPLE_RATE
_MAX_CORRECTION = 0.001
# An error beyond this is no drift: the position jumps.
_MAX_ERROR_SAMPLES = 0.060 * SAMPLE_RATE
# A device that is off by more than this is not followed any further (the null device of miniaudio: 1.5 %).
_MAX_DRIFT = 0.02
# The first frame begins so much before the first piece, so that it is complete with a piece and not just after it: 2 ms
# for the resampler's kernel and a clock that is not known exactly.
_OVERHANG_SAMPLES = 96


class Follower:
    """A reading position that goes where it should be, by steps near 1."""

    def __init__(self, position: float | None = None) -> None:
        self.jumps = 0
        self.position = position  # None: where the first reading is wanted

    def follow(self, wanted: float, step: float) -> tuple[float, float]:
        """(start, step) of the next samples, which should begin at `wanted` and go by `step`."""
        step = min(max(step, 1 - _MAX_DRIFT), 1 + _MAX_DRIFT)
        if self.position is None:
            self.position = wanted
        error = wanted - self.position
        if abs(error) > _MAX_ERROR_SAMPLES:
            self.jumps += 1
            self.position, error = wanted, 0.0
        correction = error / _SETTLE_SAMPLES
        return self.position, step + min(max(correction, -_MAX_CORRECTION), _MAX_CORRECTION)

    def advance(self, samples: float) -> None:
        """So much was read."""
        assert self.position is not None
        self.position += samples


class ClockBridge:
    """push() what the device gave; what comes back is 48,000 samples for each second of our clock."""

    def __init__(self, clock: SampleClock, frame_samples: int) -> None:
        self._clock = clock
        self._breaks = clock.breaks
        self._frame_samples = frame_samples
        self._buffer = FractionalBuffer(SAMPLE_RATE)
        self._follower = Follower()
        self._due: float | None = None  # when the next frame begins, on our clock

    @property
    def until(self) -> float:
        """Our time at which the last frame ended; minus infinity before the first."""
        return float("-inf") if self._due is None else self._due

    def push(self, samples: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
        """Samples that `clock` has observed already; gives the frames (int16) that are complete by them."""
        self._buffer.write(samples)
        if self._due is None or self._breaks != self._clock.breaks:
            self._breaks = self._clock.breaks
            self._follower = Follower(self._buffer.end - len(samples) - _OVERHANG_SAMPLES)
            self._due = self._when()
        elif not self._clock.settled:
            self._due = self._when()  # as our clock is told better; it moves by milliseconds, once
        count = self._frame_samples
        while True:
            wanted = self._clock.position_at(self._due)
            start, step = self._follower.follow(wanted, self._clock.rate / SAMPLE_RATE)
            if start + step * count > self._buffer.last_readable():
                return
            frame = self._buffer.read(start, step, count)
            self._follower.advance(step * count)
            self._due += count / SAMPLE_RATE
            yield np.clip(np.rint(frame), -32768, 32767).astype(np.int16)

    def _when(self) -> float:
        """Our time of what is read next."""
        assert self._follower.position is not None
        return self._clock.time_at(self._follower.position)
