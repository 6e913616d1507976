"""How loud: RMS and peak in dBFS, with the ballistics that eyes are used to."""

import math

import numpy as np
from numpy.typing import NDArray

# Integration of a VU meter (IEC 60268-17: 300 ms to 99 %, a time constant of 65 ms).
_RMS_SECONDS = 0.065
# Fall of a peak programme meter (IEC 60268-10, type I: 20 dB in 1.5 s).
_PEAK_FALL_DB = 20 / 1.5
_FULL_SCALE = 32768.0
FLOOR_DBFS = -96.0  # of 16 bits


class LevelMeter:
    """Fed with push(); read from any thread: each figure is one float."""

    def __init__(self, sample_rate: int = 48_000) -> None:
        self.rms_dbfs = FLOOR_DBFS
        self.peak_dbfs = FLOOR_DBFS
        self.clipped = 0  # samples at full scale
        self._rate = sample_rate
        self._power = 0.0

    def push(self, samples: NDArray[np.int16]) -> None:
        """The next samples, int16. A full-scale square wave has 0 dBFS, a sine -3."""
        if not len(samples):
            return
        wide = samples.astype(np.float32)
        power = float(wide @ wide) / len(wide) / _FULL_SCALE**2
        seconds = len(wide) / self._rate
        keep = math.exp(-seconds / _RMS_SECONDS)
        self._power = keep * self._power + (1 - keep) * power
        self.rms_dbfs = _decibels(self._power, 10)
        magnitude = float(np.abs(wide).max())
        self.clipped += int(np.count_nonzero(np.abs(wide) >= 32767)) if magnitude >= 32767 else 0
        fallen = self.peak_dbfs - _PEAK_FALL_DB * seconds
        self.peak_dbfs = max(_decibels(magnitude / _FULL_SCALE, 20), fallen)


def _decibels(value: float, factor: int) -> float:
    return max(FLOOR_DBFS, factor * math.log10(value)) if value > 0 else FLOOR_DBFS
