"""PCMU, PCMA and G.722 as the streams see a codec: 48 kHz, with concealment.

In all three a byte is a tick of an 8 kHz RTP clock (RFC 3551 section 4.5.2 for G.722), which is six samples here, so
payloads of any length are right. None of them has copies of earlier frames or a rate that could be chosen.
"""

from typing import Protocol

from media.codecs import g711, g722
from media.codecs.base import Samples
from media.codecs.concealment import Concealment
from media.codecs.resampler import Downsampler, Upsampler
from media.errors import CodecError

SAMPLE_RATE = 48000
SAMPLES_A_BYTE = 6
BITRATE_BPS = 64000
MAX_PAYLOAD_BYTES = 1600  # 200 ms, the longest that RFC 3551 section 4.2 lets a receiver expect
NAMES = ("PCMU", "PCMA", "G722")


class _Compressor(Protocol):
    def compress(self, samples: Samples) -> bytes: ...


class _Expander(Protocol):
    def expand(self, payload: bytes) -> Samples: ...


class WaveformEncoder:
    """`name` of NAMES; encode() takes `frame_samples` at 48 kHz, a multiple of 12."""

    bitrate_bps = BITRATE_BPS

    def __init__(self, name: str, frame_samples: int) -> None:
        rate = g722.SAMPLE_RATE if name == "G722" else g711.SAMPLE_RATE
        self._frame_samples = frame_samples
        self._down = Downsampler(SAMPLE_RATE // rate)
        self._compressor: _Compressor
        if name == "G722":
            self._compressor = g722.G722Compressor(frame_samples * rate // SAMPLE_RATE)
        else:
            self._compressor = g711.mu_law() if name == "PCMU" else g711.a_law()

    def encode(self, samples: Samples) -> bytes:
        """Raises CodecError for another length."""
        if len(samples) != self._frame_samples:
            raise CodecError(f"{len(samples)} samples where {self._frame_samples} make a frame")
        return self._compressor.compress(self._down.process(samples))

    def set_expected_loss(self, percent: int) -> None:
        """There is no copy to be made."""

    def set_bitrate(self, bitrate_bps: int) -> None:
        """There is one rate."""

    def set_hurried(self, hurried: bool) -> None:
        """There is nothing to be saved."""

    def close(self) -> None:
        """Nothing is held."""


class WaveformDecoder:
    """`name` of NAMES."""

    def __init__(self, name: str) -> None:
        rate = g722.SAMPLE_RATE if name == "G722" else g711.SAMPLE_RATE
        self._factor = SAMPLE_RATE // rate
        self._up = Upsampler(self._factor)
        self._concealment = Concealment(rate)
        self._expander: _Expander
        if name == "G722":
            self._expander = g722.G722Expander()
        else:
            self._expander = g711.mu_law() if name == "PCMU" else g711.a_law()

    def decode(self, payload: bytes) -> Samples:
        """Raises CodecError for an empty payload and one of more than MAX_PAYLOAD_BYTES."""
        if not self.duration(payload):
            raise CodecError(f"a payload of {len(payload)} bytes")
        return self._up.process(self._concealment.hear(self._expander.expand(payload)))

    def decode_fec(self, next_payload: bytes, samples: int) -> Samples:
        return self.conceal(samples)

    def conceal(self, samples: int) -> Samples:
        return self._up.process(self._concealment.conceal(samples // self._factor))

    def duration(self, payload: bytes) -> int:
        return len(payload) * SAMPLES_A_BYTE if len(payload) <= MAX_PAYLOAD_BYTES else 0

    def has_fec(self, payload: bytes) -> bool:
        return False

    def is_silence(self, payload: bytes) -> bool:
        return False

    def close(self) -> None:
        """Nothing is held."""
