"""Opus (RFC 6716) by libopus: encoder and decoder for 48 kHz mono."""

from ctypes import byref, c_int, c_int32

import numpy as np

from media.codecs.base import Samples
from media.codecs.libopus import libopus
from media.errors import CodecError

SAMPLE_RATE = 48000
MAX_FRAME_SAMPLES = 5760  # 120 ms, the longest packet (RFC 6716 section 2.1.4)
MAX_SILENCE_BYTES = 2  # a TOC byte, and a frame count where there are several
MAX_PAYLOAD_BYTES = 1275 * 3  # what libopus recommends for any frame is 4000

APPLICATION_VOIP = 2048
SET_BITRATE = 4002
SET_COMPLEXITY = 4010
SET_INBAND_FEC = 4012
SET_PACKET_LOSS_PERC = 4014
SET_DTX = 4016
SET_SIGNAL = 4024
SIGNAL_VOICE = 3001

# What less saves, and costs in PESQ-WB: docs/performance.md. Where there are bits enough, 6 costs 0.02 for a fifth less
# time, with fewer up to 0.2. At 0 a frame takes less than half the time.
COMPLEXITY, COMPLEXITY_RICH, COMPLEXITY_HURRIED = 9, 6, 0
RICH_BPS = 32_000

STEREO, FRAME_COUNT_MASK = 0x04, 0x03  # of the first byte
# Samples of a frame by its upper five bits of the first byte (RFC 6716 section 3.1).
FRAME_SAMPLES = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4

# Below 10 % libopus 1.6 spends next to nothing on the copy (measured: reference figures in docs/performance.md).
MIN_EXPECTED_LOSS_PERCENT = 10


def _check(code: int, what: str) -> int:
    if code < 0:
        raise CodecError(f"{what}: {libopus().strerror(code).decode()}")
    return code


class OpusEncoder:
    """A voice encoder. FEC off until set_expected_loss; `dtx`: pauses become silence frames.

    `complexity`: 0 to 10, if it is not to follow the bitrate.
    """

    def __init__(self, *, bitrate_bps: int = 32000, complexity: int | None = None, dtx: bool = False) -> None:
        self._lib = libopus()
        error = c_int()
        self._state = self._lib.encoder_create(SAMPLE_RATE, 1, APPLICATION_VOIP, byref(error))
        _check(error.value, "Opus encoder")
        self._buffer = np.empty(MAX_PAYLOAD_BYTES, np.uint8)
        self._address = self._buffer.ctypes.data
        self._expected_loss = 0
        self._fixed_complexity = complexity
        self._complexity = -1
        self._hurried = False
        self.bitrate_bps = 0
        self._ctl(SET_SIGNAL, SIGNAL_VOICE)
        self._ctl(SET_DTX, int(dtx))
        self.set_bitrate(bitrate_bps)

    def _ctl(self, request: int, value: int) -> None:
        if self._state is None:
            raise CodecError("Opus encoder is closed")
        _check(self._lib.encoder_ctl(self._state, request, c_int32(value)), f"Opus encoder ctl {request}")

    def set_bitrate(self, bitrate_bps: int) -> None:
        if bitrate_bps != self.bitrate_bps:
            self._ctl(SET_BITRATE, bitrate_bps)
            self.bitrate_bps = bitrate_bps
            self._choose_complexity()

    def set_hurried(self, hurried: bool) -> None:
        self._hurried = hurried
        self._choose_complexity()

    def _choose_complexity(self) -> None:
        complexity = COMPLEXITY_RICH if self.bitrate_bps >= RICH_BPS else COMPLEXITY
        if self._fixed_complexity is not None:
            complexity = self._fixed_complexity
        if self._hurried:
            complexity = COMPLEXITY_HURRIED
        if complexity != self._complexity:
            self._ctl(SET_COMPLEXITY, complexity)
            self._complexity = complexity

    def set_expected_loss(self, percent: int) -> None:
        if percent > 0:
            percent = max(MIN_EXPECTED_LOSS_PERCENT, min(100, percent))
        if percent != self._expected_loss:
            self._ctl(SET_INBAND_FEC, 1 if percent else 0)
            self._ctl(SET_PACKET_LOSS_PERC, percent)
            self._expected_loss = percent

    @property
    def expected_loss_percent(self) -> int:
        return self._expected_loss

    def encode(self, samples: Samples) -> bytes:
        """int16 mono at 48 kHz, 2.5 to 60 ms, to one payload. Raises CodecError for other lengths."""
        if self._state is None:
            raise CodecError("Opus encoder is closed")
        # A copy costs less than asking numpy for an address.
        pcm = np.asarray(samples, np.int16).tobytes()
        size = self._lib.encode(self._state, pcm, len(samples), self._address, MAX_PAYLOAD_BYTES)
        return self._buffer[: _check(size, "Opus encode")].tobytes()

    def close(self) -> None:
        if self._state is not None:
            self._lib.encoder_destroy(self._state)
            self._state = None

    def __del__(self) -> None:
        if getattr(self, "_state", None) is not None:
            self.close()


class OpusDecoder:
    """A mono decoder. What it returns is a view of its own buffer: copy it before the next call."""

    def __init__(self) -> None:
        self._lib = libopus()
        error = c_int()
        self._state = self._lib.decoder_create(SAMPLE_RATE, 1, byref(error))
        _check(error.value, "Opus decoder")
        self._out = np.empty(MAX_FRAME_SAMPLES, np.int16)
        self._address = self._out.ctypes.data

    def _decode(self, payload: bytes | None, samples: int, fec: int) -> Samples:
        if self._state is None:
            raise CodecError("Opus decoder is closed")
        size = 0 if payload is None else len(payload)
        count = self._lib.decode(self._state, payload, size, self._address, samples, fec)
        return self._out[: _check(count, "Opus decode")]

    def decode(self, payload: bytes) -> Samples:
        """Raises CodecError for a payload that is not Opus."""
        if not payload:
            raise CodecError("Opus decode: empty payload")
        return self._decode(payload, MAX_FRAME_SAMPLES, 0)

    def decode_fec(self, next_payload: bytes, samples: int) -> Samples:
        return self._decode(next_payload, samples, 1)

    def conceal(self, samples: int) -> Samples:
        return self._decode(None, samples, 0)

    def duration(self, payload: bytes) -> int:
        if not payload:
            return 0
        if not payload[0] & FRAME_COUNT_MASK:  # one frame, of any bytes
            return FRAME_SAMPLES[payload[0] >> 3]
        samples = self._lib.samples(payload, len(payload), SAMPLE_RATE)
        return int(samples) if 0 < samples <= MAX_FRAME_SAMPLES else 0

    def has_fec(self, payload: bytes) -> bool:
        if payload and not payload[0] & (STEREO | FRAME_COUNT_MASK):
            return has_lbrr(payload)  # without a call into C, which may lose its turn of the interpreter
        if self._lib.has_lbrr is not None:
            return bool(self._lib.has_lbrr(payload, len(payload)) == 1)
        return has_lbrr(payload)

    def is_silence(self, payload: bytes) -> bool:
        """Frames without a byte, what an encoder in DTX gives (RFC 6716 section 2.1.9, RFC 7587 section 3.1.3)."""
        return 0 < len(payload) <= MAX_SILENCE_BYTES

    def close(self) -> None:
        if self._state is not None:
            self._lib.decoder_destroy(self._state)
            self._state = None

    def __del__(self) -> None:
        if getattr(self, "_state", None) is not None:
            self.close()


def has_lbrr(payload: bytes) -> bool:
    """Whether a single-frame mono payload carries LBRR (RFC 6716 sections 3.1 and 4.2.3), as libopus since 1.5 says.

    SILK and hybrid frames begin with one VAD bit per 20 ms and then the LBRR flag; CELT has none.
    """
    if len(payload) < 2:
        return False
    config, code = payload[0] >> 3, payload[0] & 3
    if config >= 16 or code != 0:
        return False
    frames_of_20ms = (1, 1, 2, 3)[config & 3] if config < 12 else 1
    return bool(payload[1] >> (7 - frames_of_20ms) & 1)
