"""What is heard where a codec without concealment of its own lost a packet: the last pitch period again, fading.

After ITU-T G.711 Appendix I: the period by normalised correlation, repeated with a joined seam, 20 % less every
10 ms after the first 10, gone after 60 ms. Unlike there nothing is delayed (the step at the first repetition is
ramped away), one period is repeated however long the loss, and what remains is noise as loud as the background.
"""

import numpy as np
from numpy.typing import NDArray

from media.codecs.base import Samples

MIN_PERIOD, MAX_PERIOD = 0.005, 0.015  # seconds: 200 and 66 Hz
MATCH = 0.020  # seconds that are compared
SOLID, GONE = 0.010, 0.060  # seconds of concealment: full level up to here, nothing from here
RAMP = 0.002  # seconds: the step at the first repetition
JOIN = 0.005  # seconds: from concealment to what came then
BACKGROUND_RISE_PER_S = 1.5  # the quietest of lately is the background
MAX_BACKGROUND = 300.0  # -41 dBFS

Wave = NDArray[np.float32]


class Concealment:
    """Of one stream at `rate` samples a second: hear() all that was decoded, conceal() what was not."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._shortest, self._longest = int(MIN_PERIOD * rate), int(MAX_PERIOD * rate)
        self._heard = np.zeros(self._longest + int(MATCH * rate), np.float32)
        self._period: Wave | None = None  # what is being repeated
        self._step = 0.0  # between what was heard and the first repetition
        self._done = 0  # samples of this concealment
        self._background = MAX_BACKGROUND
        self._noise_state = 1

    def hear(self, samples: Samples) -> Samples:
        """Decoded samples -> what to play: as they are, or joined to the concealment before them."""
        x = samples.astype(np.float32)
        if self._period is not None:
            count = min(len(x), int(JOIN * self._rate))
            fade = (np.arange(count, dtype=np.float32) + 1) / (count + 1)
            x[:count] = x[:count] * fade + self._continue(count) * (1 - fade)
            self._period = None
            samples = np.rint(x).astype(np.int16)
        if len(x):
            rms = float(np.sqrt(x @ x / len(x)))
            rise = 1 + (BACKGROUND_RISE_PER_S - 1) * len(x) / self._rate
            self._background = min(rms, self._background * rise, MAX_BACKGROUND)
            self._heard = np.concatenate((self._heard, x))[-len(self._heard) :]
        return samples

    def conceal(self, count: int) -> Samples:
        """The next `count` samples in place of those that did not come."""
        if self._period is None:
            self._begin()
        wave = np.clip(np.rint(self._continue(count)), -32768, 32767)
        samples: Samples = wave.astype(np.int16)
        return samples

    def _begin(self) -> None:
        x = self._heard
        size = int(MATCH * self._rate)
        template = x[-size:]
        windows = np.lib.stride_tricks.sliding_window_view(x[: -self._shortest], size)[::-1]
        energy = np.sqrt(np.einsum("ij,ij->i", windows, windows)) + 1.0
        lag = self._shortest + int(np.argmax(windows @ template / energy))
        period = x[-lag:].copy()
        # The seam: its end becomes what came before its beginning.
        quarter = lag // 4
        fade = (np.arange(quarter, dtype=np.float32) + 1) / quarter
        period[-quarter:] = period[-quarter:] * (1 - fade) + x[-lag - quarter : -lag] * fade
        self._period, self._done = period, 0
        self._step = float(x[-1] - x[-lag - 1])

    def _continue(self, count: int) -> Wave:
        assert self._period is not None
        position = self._done + np.arange(count)
        self._done += count
        at = (position / self._rate).astype(np.float32)
        gain = np.clip(np.minimum(1 - 20 * (at - SOLID), 1), 0, 1)
        gain[at >= GONE] = 0
        ramp = np.clip(1 - at / RAMP, 0, 1) * self._step
        wave: Wave = gain * (self._period[position % len(self._period)] + ramp)
        wave += (1 - gain) * self._noise(count)
        return wave

    def _noise(self, count: int) -> Wave:
        """White, as loud as the background; the same in every run."""
        generator = np.random.Generator(np.random.PCG64(self._noise_state))
        self._noise_state += 1
        noise: Wave = generator.standard_normal(count, np.float32) * np.float32(self._background)
        return noise
