"""A fake decoder and a network in virtual time for the jitter buffer."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from media.errors import CodecError
from media.jitterbuffer.jitter_buffer import JitterBuffer

Samples = NDArray[np.int16]
FRAME = 960
CONCEALED = -1  # what the fake decoder gives as concealment


class FakeDecoder:
    """Payloads are `b"F" + number` (with a copy of the frame before) or `b"P" + number`.

    Frame n decodes to 960 samples of n % 64 + 1: what was played can be read off, a join leaves it as it is, and
    it is so quiet that the buffer may join anywhere, as in a pause of speech.
    """

    def __init__(self) -> None:
        self.log: list[tuple[str, int]] = []

    def decode(self, payload: bytes) -> Samples:
        if payload[:1] == b"X":
            raise CodecError("broken")
        number = int(payload[1:])
        self.log.append(("decode", number))
        return np.full(FRAME, number % 64 + 1, np.int16)

    def decode_fec(self, next_payload: bytes, samples: int) -> Samples:
        assert samples == FRAME, "libopus gives concealment for a part of a copy"
        number = int(next_payload[1:]) - 1
        self.log.append(("fec", number))
        return np.full(samples, number % 64 + 1, np.int16)

    def conceal(self, samples: int) -> Samples:
        assert samples > 0 and samples % 120 == 0
        self.log.append(("conceal", samples))
        return np.full(samples, CONCEALED, np.int16)

    def duration(self, payload: bytes) -> int:
        return FRAME if payload[:1] in (b"F", b"P", b"S", b"X") else 0

    def has_fec(self, payload: bytes) -> bool:
        return payload[:1] == b"F"

    def is_silence(self, payload: bytes) -> bool:
        return payload[:1] == b"S"

    def close(self) -> None:
        pass


@dataclass(repr=False)
class Playback:
    """A jitter buffer that is fed and pulled in virtual time."""

    buffer: JitterBuffer
    decoder: FakeDecoder
    now: float = 100.0
    out: list[Samples] = field(default_factory=list)
    _pending: list[tuple[float, int, int, bytes]] = field(default_factory=list)

    def send(self, arrival: float, timestamp: int, payload: bytes) -> None:
        heapq.heappush(self._pending, (100.0 + arrival, len(self._pending), timestamp & 0xFFFFFFFF, payload))

    def frames(
        self,
        numbers: Iterable[int],
        *,
        delay: Callable[[int], float] = lambda n: 0.0,
        fec: bool = False,
        start: int = 0,
        skew: float = 1.0,
    ) -> None:
        """Frame n, sent at n * 20 ms, arrives `delay(n)` later."""
        for n in numbers:
            payload = (b"F" if fec else b"P") + str(n).encode()
            self.send(n * 0.02 * skew + delay(n), start + n * FRAME, payload)

    def run(self, seconds: float) -> None:
        """Pull every 10 ms up to `seconds` after the start."""
        while self.now < 100.0 + seconds - 1e-9:
            while self._pending and self._pending[0][0] <= self.now + 1e-9:
                at, _, timestamp, payload = heapq.heappop(self._pending)
                self.buffer.insert(timestamp, payload, at)
            samples = self.buffer.get_audio(self.now)
            assert samples.dtype == np.int16 and len(samples) == 480
            self.out.append(samples.copy())
            self.now += 0.010

    @property
    def delay(self) -> float:
        """Seconds by which the next frame is played later than the fastest packet allows."""
        return self.buffer._playout_delay(self.now)

    def decoded(self) -> list[int]:
        return [n for kind, n in self.decoder.log if kind == "decode"]

    def concealed(self) -> int:
        return sum(n for kind, n in self.decoder.log if kind == "conceal")


@pytest.fixture
def playback() -> Playback:
    decoder = FakeDecoder()
    return Playback(JitterBuffer(decoder), decoder)


@pytest.fixture
def make_playback() -> Callable[[], Playback]:
    """For tests that need several."""

    def make() -> Playback:
        decoder = FakeDecoder()
        return Playback(JitterBuffer(decoder), decoder)

    return make
