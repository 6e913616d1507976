"""Sound that is read between its samples: the delay line under everything that bridges two clocks."""

import numpy as np
from numpy.typing import NDArray

# A sinc in a Kaiser window. 32 taps hold 80 dB up to 16 kHz at rates near 1, and delay by a third of a millisecond.
TAPS = 32
_HALF = TAPS // 2
_KAISER_BETA = 9.0
# Kernels are tabled at so many fractions of a sample; between two they are interpolated (error below -110 dB).
_PHASES = 256

FloatSamples = NDArray[np.float32]


class FractionalBuffer:
    """The last `capacity` samples of a stream, read at any position and step near 1.

    Positions count samples from the first written one. What is outside of the buffer reads as silence.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < TAPS:
            raise ValueError(f"capacity is at least {TAPS} samples")
        self.end = 0  # position after the last sample written
        self._capacity = capacity
        self._samples = np.zeros(2 * capacity, np.float32)
        self._fill = 0  # samples in use
        self._kernels, self._slopes = _kernels()

    def write(self, samples: NDArray[np.int16] | FloatSamples) -> None:
        """Append; the oldest samples fall out."""
        count = len(samples)
        self.end += count
        if count >= self._capacity:
            self._samples[: self._capacity] = samples[-self._capacity :]
            self._fill = self._capacity
            return
        if self._fill + count > len(self._samples):
            self._samples[: self._capacity] = self._samples[self._fill - self._capacity : self._fill]
            self._fill = self._capacity
        self._samples[self._fill : self._fill + count] = samples
        self._fill += count

    def skip_to(self, position: int) -> None:
        """What comes next is written at `position`: after a gap, as silence; an earlier one begins anew."""
        if 0 <= position - self.end <= self._capacity:
            self.write(np.zeros(position - self.end, np.float32))
        else:
            self._fill, self.end = 0, position

    def last_readable(self) -> int:
        """The last position whose kernel is inside of what was written."""
        return self.end - _HALF - 1

    def read(self, start: float, step: float, count: int) -> FloatSamples:
        """`count` samples at start, start + step, ..."""
        positions = start + step * np.arange(count)
        whole = np.floor(positions)
        phase = (positions - whole) * _PHASES
        row = phase.astype(np.intp)
        between = (phase - row).astype(np.float32)[:, None]
        first = int(whole[0]) - _HALF + 1
        last = int(whole[-1]) + _HALF + 1
        # As sliding_window_view, which takes longer to set up than all the rest.
        windows: FloatSamples = np.ndarray(
            (last - first - TAPS + 1, TAPS), np.float32, self._slice(first, last), strides=(4, 4)
        )
        taken = windows[whole.astype(np.intp) - int(whole[0])]
        kernels = self._kernels[row] + between * self._slopes[row]
        result: FloatSamples = np.einsum("ij,ij->i", taken, kernels)
        return result

    def _slice(self, first: int, last: int) -> FloatSamples:
        """Samples first to last (excluded), zeros where there are none."""
        begin = self.end - self._fill
        if first >= begin and last <= self.end:
            return self._samples[first - begin : last - begin]
        result = np.zeros(last - first, np.float32)
        low, high = max(first, begin), min(last, self.end)
        if low < high:
            result[low - first : high - first] = self._samples[low - begin : high - begin]
        return result


def _kernels() -> tuple[FloatSamples, FloatSamples]:
    """Kernels by fraction, shape (256, 32), and the difference of each to the next."""
    fraction = np.arange(_PHASES + 1)[:, None] / _PHASES
    distance = np.arange(TAPS)[None, :] - (_HALF - 1) - fraction
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (distance / _HALF) ** 2, 0, 1))) / np.i0(_KAISER_BETA)
    table = np.sinc(distance) * window
    table /= table.sum(axis=1, keepdims=True)  # a constant stays a constant
    return table[:-1].astype(np.float32), np.diff(table, axis=0).astype(np.float32)
