"""Pitch-synchronous time stretching (WSOLA): takes out or puts in one pitch period of speech.

The period is found by normalised cross-correlation, coarsely at 8 kHz and then to the sample at 48 kHz. The join is a
raised-cosine cross-fade. Where nothing is periodic enough the sound is left as it is, unless it is so quiet
that nobody hears the join.
"""

import numpy as np
from numpy.typing import NDArray

from media.codecs.base import Samples

DECIMATION = 6  # 48 kHz -> 8 kHz
MIN_LAG = 120  # samples at 48 kHz: 2.5 ms, 400 Hz
MAX_LAG = 768  # 16 ms, 62 Hz
OVERLAP = 240  # 5 ms
MIN_CORRELATION = 0.8
HURRY = 2880  # samples to be taken out, 60 ms: from here on several periods go at once
NEARLY = 0.1
QUIET_RMS = 80.0  # about -52 dBFS: joins in this are not heard, whatever the background

_FADE_IN = (0.5 - 0.5 * np.cos(np.pi * (np.arange(OVERLAP) + 0.5) / OVERLAP)).astype(np.float32)
_FADE_OUT = 1 - _FADE_IN


def _find_lag(x: NDArray[np.float32], max_lag: int, *, several: bool) -> tuple[int, float]:
    """The lag at which x[lag:] is most like x over the overlap -> (samples, normalised correlation).

    `several`: the longest of those that are nearly as good, which is of several periods where there are.
    """
    low = x[: (OVERLAP + max_lag) // DECIMATION * DECIMATION].reshape(-1, DECIMATION).mean(axis=1)
    width = OVERLAP // DECIMATION
    windows = np.lib.stride_tricks.sliding_window_view(low, width)[MIN_LAG // DECIMATION :]
    if not len(windows):
        return 0, 0.0
    template = low[:width]
    energy = np.sqrt(np.einsum("ij,ij->i", windows, windows) * float(template @ template)) + 1e-6
    alike = windows @ template / energy
    found = int(np.argmax(alike))
    if several:
        peaks = np.flatnonzero((alike[1:-1] >= alike[:-2]) & (alike[1:-1] >= alike[2:])) + 1
        found = max([found, *peaks[alike[peaks] > alike[found] - NEARLY].tolist()])
    coarse = (found + MIN_LAG // DECIMATION) * DECIMATION
    first = max(MIN_LAG, coarse - DECIMATION)
    last = min(max_lag, coarse + DECIMATION)
    fine = np.lib.stride_tricks.sliding_window_view(x[first : last + OVERLAP], OVERLAP)
    head = x[:OVERLAP]
    energy = np.sqrt(np.einsum("ij,ij->i", fine, fine) * float(head @ head)) + 1e-6
    correlation = fine @ head / energy
    best = int(np.argmax(correlation))
    return first + best, float(correlation[best])


def _lag(
    samples: Samples, limit: int, wanted: int, min_correlation: float, quiet_rms: float
) -> tuple[int, NDArray[np.float32]]:
    """(lag, samples as float32): in what is quiet as `wanted`, else at most `limit`; 0: nothing joins unheard."""
    x = samples.astype(np.float32)
    longest = min(MAX_LAG, len(samples) - OVERLAP)
    head = x[: OVERLAP + max(0, longest)]
    if longest > 0 and float(head @ head) < quiet_rms**2 * len(head):
        return min(wanted, longest), x
    if min(limit, longest) < MIN_LAG or min_correlation > 1:
        return 0, x
    lag, correlation = _find_lag(x, min(limit, longest), several=limit >= HURRY)
    return (lag, x) if correlation >= min_correlation else (0, x)


def accelerate(
    samples: Samples,
    *,
    limit: int = MAX_LAG,
    min_correlation: float = MIN_CORRELATION,
    quiet_rms: float = QUIET_RMS,
) -> Samples:
    """One pitch period of at most `limit` samples shorter, or as it was; quiet sound as much as `limit` shorter.

    int16 mono at 48 kHz, 10 ms or more.
    """
    lag, x = _lag(samples, limit, limit, min_correlation, quiet_rms)
    if not lag:
        return samples
    join = x[:OVERLAP] * _FADE_OUT + x[lag : lag + OVERLAP] * _FADE_IN
    return np.concatenate((np.rint(join).astype(np.int16), samples[lag + OVERLAP :]))


def preemptive_expand(
    samples: Samples,
    *,
    wanted: int = MAX_LAG,
    min_correlation: float = MIN_CORRELATION,
    quiet_rms: float = QUIET_RMS,
) -> Samples:
    """One pitch period longer, or as it was; quiet sound `wanted` samples longer, if it is long enough for that."""
    lag, x = _lag(samples, MAX_LAG, wanted, min_correlation, quiet_rms)
    if not lag:
        return samples
    join = x[lag : lag + OVERLAP] * _FADE_OUT + x[:OVERLAP] * _FADE_IN
    return np.concatenate((samples[:lag], np.rint(join).astype(np.int16), samples[OVERLAP:]))


def cross_fade(before: Samples, after: Samples) -> Samples:
    """`after`, its beginning faded in from `before`, which goes on as what was played until then. int16 mono."""
    overlap = min(len(before), len(after))
    fade_in = np.linspace(0, 1, overlap, dtype=np.float32)
    joined = after[:overlap] * fade_in + before[:overlap] * (1 - fade_in)
    return np.concatenate((np.rint(joined).astype(np.int16), after[overlap:]))
