"""From 8 and 16 kHz to 48 kHz and back, piece by piece: a windowed sinc in polyphase form."""

import numpy as np
from numpy.typing import NDArray

from media.codecs.base import Samples

# Samples at the low rate under the filter, so a delay of 12 of them: 1.5 ms at 8 kHz. With this window the band
# up to 0.42 of the low rate passes and what lies above 0.58 is 60 dB down: 3.4 and 4.6 kHz at 8 kHz.
REACH = 24
KAISER_BETA = 5.65

Filter = NDArray[np.float32]


def _low_pass(factor: int) -> Filter:
    """`factor * REACH` taps at the high rate; the gain of each phase is 1."""
    count = factor * REACH
    position = (np.arange(count) - (count - 1) / 2) / factor
    taps = np.sinc(position) * np.kaiser(count, KAISER_BETA)
    scaled: Filter = (taps * factor / taps.sum()).astype(np.float32)
    return scaled


def _to_int16(values: NDArray[np.float32]) -> Samples:
    rounded: Samples = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    return rounded


class Upsampler:
    """int16 in, `factor` times as many int16 out."""

    def __init__(self, factor: int) -> None:
        self._phases = _low_pass(factor).reshape(REACH, factor)[::-1]
        self._before = np.zeros(REACH - 1, np.float32)

    def process(self, samples: Samples) -> Samples:
        x = np.concatenate((self._before, samples.astype(np.float32)))
        self._before = x[len(x) - REACH + 1 :].copy()
        windows = np.lib.stride_tricks.sliding_window_view(x, REACH)
        return _to_int16((windows @ self._phases).reshape(-1))


class Downsampler:
    """int16 in, a multiple of `factor`; int16 out."""

    def __init__(self, factor: int) -> None:
        self._factor = factor
        self._taps = _low_pass(factor) / np.float32(factor)
        self._before = np.zeros(len(self._taps) - factor, np.float32)

    def process(self, samples: Samples) -> Samples:
        x = np.concatenate((self._before, samples.astype(np.float32)))
        self._before = x[len(x) - len(self._before) :].copy()
        windows = np.lib.stride_tricks.sliding_window_view(x, len(self._taps))[:: self._factor]
        return _to_int16(windows @ self._taps)
