"""PCMU and PCMA (ITU-T G.711): a byte a sample at 8 kHz, by tables."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from media.codecs.base import Samples

SAMPLE_RATE = 8000
_U_BIAS, _U_CLIP = 132, 32635  # table 2a of G.711, scaled from 14 to 16 bits

Table = NDArray[np.uint8]


class Law:
    """One of the two: `compress` int16 samples to bytes, `expand` bytes to int16 samples."""

    def __init__(self, to_bytes: Table, to_samples: Samples) -> None:
        self._to_bytes = to_bytes  # by the sample as uint16
        self._to_samples = to_samples

    def compress(self, samples: Samples) -> bytes:
        return self._to_bytes[samples.view(np.uint16)].tobytes()

    def expand(self, payload: bytes) -> Samples:
        return self._to_samples[np.frombuffer(payload, np.uint8)]


@cache
def mu_law() -> Law:
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = ((mantissa << 3) + _U_BIAS << exponent) - _U_BIAS
    to_samples = np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)

    linear = _all_samples()
    biased = np.minimum(np.abs(linear), _U_CLIP) + _U_BIAS
    segment = np.log2(biased).astype(np.int32) - 7
    sign = np.where(linear < 0, 0x80, 0)
    to_bytes = ~(sign | segment << 4 | biased >> segment + 3 & 15)
    return Law(to_bytes.astype(np.uint8), to_samples)


@cache
def a_law() -> Law:
    code = np.arange(256, dtype=np.uint8) ^ 0x55  # even bits are inverted (section 3.2)
    segment, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    lowest = (mantissa << 4) + 8
    magnitude = np.where(segment, lowest + 256 << np.maximum(segment - 1, 0), lowest)
    to_samples = np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)

    linear = _all_samples()
    scaled = np.where(linear < 0, ~linear, linear) >> 3  # 13 bits
    segment = np.maximum(np.log2(np.maximum(scaled, 1)).astype(np.int32) - 4, 0)
    mantissa = scaled >> np.maximum(segment, 1) & 15
    sign = np.where(linear < 0, 0, 0x80)
    return Law(((sign | segment << 4 | mantissa) ^ 0x55).astype(np.uint8), to_samples)


def _all_samples() -> NDArray[np.int32]:
    """Every int16 in the order of its uint16."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int32)
