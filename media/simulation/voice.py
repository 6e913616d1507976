"""A generated voice: pulses and noise through formants, in syllables, words and pauses.

For machines that have no recording at hand. Nobody understands a word of it, but it is speech to a codec:
voiced stretches with a moving pitch, unvoiced consonants, 4 to 5 syllables a second, pauses. Its syllables
follow no period, so that a recording of it can be found again by correlation.
"""

import math
import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
# The formants are made at this rate: a voice has little above 8 kHz, and the filters cost a third.
_VOICE_RATE = 16_000
_UP = RATE // _VOICE_RATE
# First three formants of five vowels in Hz (Peterson & Barney 1952, male voices, rounded).
_VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))
_BANDWIDTHS_HZ = (80.0, 100.0, 140.0)
# Level of the loudest syllables, of full scale.
_PEAK = 0.35


def generate_voice(seed: int, seconds: float) -> NDArray[np.int16]:
    """`seconds` of the voice as int16 samples at 48 kHz, mono. Same seed, same samples."""
    count = round(seconds * RATE)
    parts, have = [], 0
    for part in syllables(seed):
        parts.append(part)
        have += len(part)
        if have >= count:
            break
    return np.concatenate(parts)[:count] if parts else np.zeros(0, np.int16)


def syllables(seed: int) -> Iterator[NDArray[np.int16]]:
    """The voice without end, piece by piece: a syllable or a pause each (50 to 700 ms)."""
    rng = random.Random(seed)
    noise = np.random.default_rng(seed)
    pitch_hz = rng.uniform(95, 190)
    yield np.zeros(round(rng.uniform(0.05, 0.2) * RATE), np.int16)
    while True:
        for _ in range(rng.randint(2, 5)):  # words of a phrase
            for _ in range(rng.randint(1, 4)):
                start_hz = pitch_hz * rng.uniform(0.85, 1.3)
                if rng.random() < 0.6:
                    yield _raise(_consonant(rng, noise))
                yield _raise(_vowel(rng, noise, start_hz, start_hz * rng.uniform(0.8, 1.05)))
            yield np.zeros(round(rng.uniform(0.03, 0.12) * RATE), np.int16)
        yield np.zeros(round(rng.uniform(0.25, 0.7) * RATE), np.int16)


def _vowel(
    rng: random.Random, noise: np.random.Generator, start_hz: float, end_hz: float
) -> NDArray[np.float64]:
    """A voiced syllable at 16 kHz: glottal pulses, gliding pitch, three resonances."""
    count = round(rng.uniform(0.09, 0.24) * _VOICE_RATE)
    glide = np.linspace(start_hz, end_hz, count) * (1 + 0.01 * noise.standard_normal())
    phase = np.cumsum(glide / _VOICE_RATE)
    # A smooth pulse a period (open glottis for 60 % of it), differentiated as the lips do.
    part = phase % 1.0
    pulses = np.diff(np.where(part < 0.6, np.sin(np.pi * part / 0.6) ** 2, 0.0), prepend=0.0)
    pulses += 0.003 * noise.standard_normal(count)  # breath
    formants = [f * rng.uniform(0.93, 1.07) for f in rng.choice(_VOWELS)]
    shaped = _resonate(pulses, formants, _BANDWIDTHS_HZ)
    return _envelope(shaped, 0.025, 0.05) * rng.uniform(0.5, 1.0)


def _consonant(rng: random.Random, noise: np.random.Generator) -> NDArray[np.float64]:
    """An unvoiced sound at 16 kHz: shaped noise, short."""
    count = round(rng.uniform(0.04, 0.11) * _VOICE_RATE)
    shaped = _resonate(noise.standard_normal(count), (rng.uniform(2500, 6000),), (1500.0,))
    return _envelope(shaped, 0.01, 0.02) * rng.uniform(0.08, 0.3)


def _resonate(
    source: NDArray[np.float64], formants_hz: list[float] | tuple[float, ...], widths_hz: tuple[float, ...]
) -> NDArray[np.float64]:
    """`source` through resonances at the formants, in parallel, as a product of spectra."""
    size = 1 << (2 * len(source) - 1).bit_length()
    frequency = np.fft.rfftfreq(size, 1 / _VOICE_RATE)
    response = np.zeros(len(frequency), np.complex128)
    for number, (centre, width) in enumerate(zip(formants_hz, widths_hz, strict=False)):
        gain = 0.5**number * (-1) ** number
        response += gain * (1j * frequency * width) / (centre**2 - frequency**2 + 1j * frequency * width)
    shaped: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(source, size) * response, size)[: len(source)]
    return shaped


def _envelope(samples: NDArray[np.float64], attack: float, release: float) -> NDArray[np.float64]:
    """Scaled to a peak of 1, with soft ends (seconds)."""
    up, down = min(len(samples), round(attack * _VOICE_RATE)), min(len(samples), round(release * _VOICE_RATE))
    shape = np.ones(len(samples))
    shape[:up] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(up) / up)
    shape[len(samples) - down :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(down) / down)
    shaped: NDArray[np.float64] = samples * shape
    return shaped / (np.abs(shaped).max() or 1.0)


def _raise(samples: NDArray[np.float64]) -> NDArray[np.int16]:
    """16 kHz float to 48 kHz int16, by zeros in the spectrum above 8 kHz."""
    wide: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(samples), len(samples) * _UP) * _UP
    raised = np.clip(np.round(wide * _PEAK * 32767), -32768, 32767)
    return raised.astype(np.int16)


def tone(hz: float, first: int, count: int, level: float = 0.3) -> NDArray[np.int16]:
    """Samples `first` to `first + count` of a sine at 48 kHz, `level` of full scale; phase-continuous."""
    phase = (first + np.arange(count)) * (2 * math.pi * hz / RATE)
    sine: NDArray[np.float64] = np.round(level * 32767 * np.sin(phase))
    return sine.astype(np.int16)
