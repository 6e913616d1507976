"""A recording against the speech that was sent: mouth-to-ear delay, and reference metrics where installed.

Both arrays are 48 kHz mono int16 and start at the same moment of one clock: sample n of the reference was
spoken when sample n of the recording was played.
"""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
_LOW_RATE = 16_000
_WINDOW = _LOW_RATE  # 1 s
_HOP = _LOW_RATE // 2
# Longest delay that is looked for.
MAX_DELAY = 2.0
# Below this a window is not held for found: noise against speech stays under 0.2, speech with 20 % of it
# concealed is over 0.5 (measured with the project's speech).
_MATCH = 0.4
# Metrics are taken over pieces of this length: PESQ is defined for 8 to 12 s and fails on minutes.
_PIECE = 10.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SpeechScore:
    """What a recording says. None: not measured (nothing matched, or the package is not installed).

    Delays are from the moment a sample is spoken to the moment it is played, over windows of 1 s;
    `matched_share` is the share (0..1) of the windows with speech that could be found at all.
    """

    mouth_to_ear_median_ms: float | None
    mouth_to_ear_p95_ms: float | None
    matched_share: float | None
    windows: int
    pesq_wb: float | None = None
    visqol: float | None = None


def score(
    reference: NDArray[np.int16],
    recording: NDArray[np.int16],
    pesq: bool = True,
    visqol: bool = False,
) -> SpeechScore:
    """Delay always; PESQ-WB and ViSQOL (speech mode) when asked for and their packages are there.

    PESQ takes 0.15 s for 10 s of speech, ViSQOL 0.5 s with numba and 5 s without: it has to be asked for.
    """
    low_reference, low_recording = to_16k(reference), to_16k(recording)
    found, tried = delays(low_reference, low_recording)
    if not found:
        return SpeechScore(None, None, 0.0 if tried else None, tried)
    lags = np.array([delay for _, delay in found])
    pieces = _aligned(low_reference, low_recording, found)
    return SpeechScore(
        mouth_to_ear_median_ms=float(np.median(lags)) * 1000,
        mouth_to_ear_p95_ms=float(np.percentile(lags, 95)) * 1000,
        matched_share=len(found) / tried,
        windows=tried,
        pesq_wb=_mean_score(_pesq_metric(), pieces) if pesq else None,
        visqol=_mean_score(_visqol_metric(), pieces) if visqol else None,
    )


def to_16k(samples: NDArray[np.int16]) -> Floats:
    """48 kHz int16 to 16 kHz float (-1..1): a windowed-sinc low-pass at 7.6 kHz, every third sample kept."""
    taps = 96
    n = np.arange(-taps // 2, taps // 2 + 1)
    kernel = np.sinc(2 * 7600 / RATE * n) * np.hamming(taps + 1)
    kernel /= kernel.sum()
    count = -(-len(samples) // 3)
    # Every third sample is wanted, so three short filters over a third of the samples each do it.
    padded = np.zeros(3 * (count + taps // 3 + 1))
    padded[taps // 2 : taps // 2 + len(samples)] = samples
    out = np.zeros(count)
    for phase in range(3):
        part = np.ascontiguousarray(padded[phase::3])
        out += np.correlate(part, kernel[phase::3], "valid")[:count]
    out /= 32768
    return out


def delays(reference: Floats, recording: Floats) -> tuple[list[tuple[float, float]], int]:
    """Where each second of speech is found: ([(its time, its delay)] in seconds, windows tried). 16 kHz."""
    lags = round(MAX_DELAY * _LOW_RATE)
    size = _WINDOW + lags
    recording = np.pad(recording, (0, max(0, len(reference) + lags - len(recording))))
    active = 0.5 * _rms(reference)
    found: list[tuple[float, float]] = []
    tried = 0
    for start in range(0, len(reference) - _WINDOW + 1, _HOP):
        window = reference[start : start + _WINDOW]
        window = window - window.mean()
        if active == 0 or _rms(window) < active:
            continue
        tried += 1
        heard = recording[start : start + size]
        # Circular, but `size` holds every lag that is looked at without wrapping.
        match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(window, size)), size)[:lags]
        energy = np.cumsum(np.concatenate([[0.0], heard**2]))
        energy = energy[_WINDOW : _WINDOW + lags] - energy[:lags]
        floor = energy.max() * 1e-3 + 1e-9
        normalised = match / np.sqrt(np.maximum(energy, floor) * np.sum(window**2))
        best = int(np.argmax(normalised))
        if normalised[best] >= _MATCH:
            found.append((start / _LOW_RATE, best / _LOW_RATE))
    return found, tried


def _rms(samples: Floats) -> float:
    return math.sqrt(float(np.mean(samples**2))) if len(samples) else 0.0


def _aligned(
    reference: Floats, recording: Floats, found: list[tuple[float, float]]
) -> list[tuple[Floats, Floats]]:
    """Pieces of about 10 s, the recording shifted by the median delay within each."""
    count = max(1, round(len(reference) / _LOW_RATE / _PIECE))
    bounds = np.linspace(0, len(reference), count + 1).astype(int)
    overall = float(np.median([delay for _, delay in found]))
    pieces = []
    for begin, end in pairwise(bounds):
        inside = [delay for at, delay in found if begin <= at * _LOW_RATE <= end - _WINDOW]
        lag = round((float(np.median(inside)) if inside else overall) * _LOW_RATE)
        heard = recording[begin + lag : end + lag]
        pieces.append((reference[begin:end], np.pad(heard, (0, end - begin - len(heard)))))
    return pieces


Metric = Callable[[Floats, Floats], float]


def _mean_score(metric: Metric | None, pieces: list[tuple[Floats, Floats]]) -> float | None:
    if metric is None:
        return None
    scores = []
    for reference, heard in pieces:
        try:
            value = metric(reference, heard)
        except (
            Exception
        ):  # the packages raise their own kinds for "no speech found"; such a piece has no score
            continue
        if math.isfinite(value):
            scores.append(value)
    return float(np.mean(scores)) if scores else None


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _pesq_metric() -> Metric | None:
    module = _optional("pesq")
    if module is None:
        return None
    return lambda reference, heard: float(module.pesq(_LOW_RATE, reference, heard, "wb"))


def _visqol_metric() -> Metric | None:
    module = _optional("visqol")
    # Without its lattice model ViSQOL hears no loss: 4.48 at 20 %. Better no figure than that one.
    if module is None or _optional("ai_edge_litert") is None:
        return None
    api = module.VisqolApi()
    api.create(mode="speech")
    return lambda reference, heard: float(api.measure_from_arrays(reference, heard, _LOW_RATE).moslqo)
