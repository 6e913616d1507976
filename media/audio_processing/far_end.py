"""What the loudspeaker was given, read on the microphone's clock: the reference of the echo canceller.

Both devices have a clock of their own. A second of the one is 0.9998 or 1.0002 seconds of the other, and an echo
canceller that is fed by counting samples sees the echo walk away. So the sound is looked up by time: for a piece that
the microphone gave at t, what the loudspeaker took up to t - margin, between the samples where need be.
"""

import numpy as np

from media.audio_processing.clock_bridge import Follower
from media.audio_processing.fractional import FloatSamples, FractionalBuffer
from media.audio_processing.sample_clock import SAMPLE_RATE, SampleClock

# What is kept: a second, twice the longest path that AEC3 looks for (~0.5 s).
_CAPACITY = SAMPLE_RATE
# The loudspeaker's thread is late now and then, so the reference lies a little behind the earliest time at which it
# could be known. A device whose thread is late without a gap has so much in its buffer, so this stays below the delay
# of the echo; two periods of 10 ms are the least that a device has. It grows when it was too little again and again:
# a single late piece costs less than an echo path that moves.
_MARGIN = 0.015
_MARGIN_STEP = 0.010
_MAX_MARGIN = 0.045
_PATIENCE = 3


class FarEnd:
    """played() with what the loudspeaker took, reference() for each piece of the microphone."""

    def __init__(self) -> None:
        self.clock = SampleClock()
        self.margin = _MARGIN
        self.short = 0  # pieces whose reference had not been played yet
        self._buffer = FractionalBuffer(_CAPACITY)
        self._follower = Follower()

    def played(self, now: float, position: int, samples: np.ndarray) -> None:
        """`samples` (int16, 48 kHz) went to the device at `now`; `position` counts those before them."""
        if position != self._buffer.end:
            self._buffer.skip_to(position)
        self._buffer.write(samples)
        # The device asks for a piece when it has room for it: at its beginning, not its end.
        self.clock.observe(now, position)

    def reference(self, time: float, count: int) -> FloatSamples:
        """What was played in the `count` samples that end at `time` - margin; silence when nothing was."""
        if not self.clock.running:
            return np.zeros(count, np.float32)
        step = self.clock.rate / SAMPLE_RATE
        wanted = self.clock.position_at(time - self.margin) - count * step
        start, step = self._follower.follow(wanted, step)
        self._follower.advance(step * count)
        if start + step * count > self._buffer.last_readable():
            self.short += 1
            if self.short % _PATIENCE == 0 and self.margin < _MAX_MARGIN:
                self.margin += _MARGIN_STEP
                self._follower = (
                    Follower()
                )  # at once: AEC3 follows a jump, a path that never stands still it does not
        return self._buffer.read(start, step, count)
