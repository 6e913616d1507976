"""What the streams ask of an audio codec."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]


class AudioEncoder(Protocol):
    bitrate_bps: int

    def encode(self, samples: Samples) -> bytes:
        """One frame of int16 mono samples to one payload."""

    def set_expected_loss(self, percent: int) -> None:
        """0 switches in-band FEC off."""

    def set_bitrate(self, bitrate_bps: int) -> None: ...

    def set_hurried(self, hurried: bool) -> None:
        """Whether the machine has no time: frames are encoded faster, and sound a little worse for their size."""

    def close(self) -> None: ...


class AudioDecoder(Protocol):
    """Every method advances the decoder by what it returns; the result is a view that the next call overwrites."""

    def decode(self, payload: bytes) -> Samples: ...

    def decode_fec(self, next_payload: bytes, samples: int) -> Samples:
        """The frame lost before `next_payload`, from the copy inside it."""

    def conceal(self, samples: int) -> Samples:
        """`samples` of concealment; a multiple of 2.5 ms."""

    def duration(self, payload: bytes) -> int:
        """Samples in a payload; 0 when it is not one."""

    def has_fec(self, payload: bytes) -> bool:
        """Whether the payload carries a copy of the frame before it."""

    def is_silence(self, payload: bytes) -> bool:
        """Whether nothing comes after it until there is sound again (DTX). conceal() is its comfort noise."""

    def close(self) -> None: ...
