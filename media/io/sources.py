"""Where sound comes from and goes to: the protocols, and those that need no file.

All sound is 48 kHz, mono, int16. A source is awaited for the next 20 ms at its own pace; a sink is handed
10 ms every 10 ms, or pulls by its own clock. Anything with these methods will do; nothing here is a base
class.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from media.simulation.voice import syllables, tone

SAMPLE_RATE = 48_000
FRAME_SAMPLES = 960  # what a source gives: 20 ms, one Opus packet
PLAYOUT_SAMPLES = 480  # what a sink takes: 10 ms
FRAME = FRAME_SAMPLES / SAMPLE_RATE
# A source that is this late (a suspended machine) starts its schedule anew instead of catching up in a burst.
_GIVE_UP_AFTER = 1.0

Samples = NDArray[np.int16]


@runtime_checkable
class AudioSource(Protocol):
    """A microphone, or something that stands for one.

    It is read from the time when the connection is being made, and what comes before there are keys is thrown away;
    with an attribute `live` that is False, from when it can be sent.
    """

    async def read(self) -> Samples:
        """The next 960 samples, when they have been spoken. Never ends: after its material, silence."""
        ...

    def close(self) -> None:
        """Give everything back; may be called twice."""
        ...


@runtime_checkable
class AudioSink(Protocol):
    """A speaker or a recorder that is pushed."""

    def write(self, samples: Samples) -> None:
        """480 samples, called every 10 ms. Must not block."""
        ...

    def close(self) -> None:
        """Give everything back; may be called twice."""
        ...


@runtime_checkable
class PullSink(Protocol):
    """A speaker with a clock of its own (a sound card)."""

    def start(self, pull: Callable[[int], Samples]) -> None:
        """`pull(count)` gives the next `count` samples, from any thread."""
        ...

    def close(self) -> None:
        """Stop pulling, give everything back; may be called twice."""
        ...


class Pace:
    """Wakes up every 20 ms after an absolute schedule: catches up when late, never drifts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.started_at: float | None = None
        self._clock = clock
        self._due = 0.0

    async def wait(self) -> None:
        """Return when the next frame has been spoken: first 20 ms after the first call, then every 20 ms."""
        now = self._clock()
        if self.started_at is None:
            self.started_at = self._due = now
        self._due += FRAME
        if now - self._due > _GIVE_UP_AFTER:
            self._due = now
        await asyncio.sleep(max(0.0, self._due - now))


class PacedSource:
    """A source at the clock's pace: `_frame` makes the next 960 samples without waiting, this waits for their time."""

    live = False  # its beginning is not to be missed: it is first read when it can be sent

    def __init__(self) -> None:
        self._pace = Pace()
        self._closed = False

    @property
    def started_at(self) -> float | None:
        """Monotonic time at which the first sample was spoken; None before the first read."""
        return self._pace.started_at

    async def read(self) -> Samples:
        """The next 960 samples, at the pace of the clock; silence after close()."""
        await self._pace.wait()
        return np.zeros(FRAME_SAMPLES, np.int16) if self._closed else self._frame()

    def close(self) -> None:
        self._closed = True

    def _frame(self) -> Samples:
        return np.zeros(FRAME_SAMPLES, np.int16)


class Silence(PacedSource):
    """Digital silence."""


class Tone(PacedSource):
    """A sine of `hz`, at `level` of full scale. Raises ValueError above 24 kHz."""

    def __init__(self, hz: float = 440.0, level: float = 0.3) -> None:
        if not 0 < hz < SAMPLE_RATE / 2 or not 0 <= level <= 1:
            raise ValueError("a tone has 0 < hz < 24000 and 0 <= level <= 1")
        super().__init__()
        self._hz, self._level, self._position = hz, level, 0

    def _frame(self) -> Samples:
        self._position += FRAME_SAMPLES
        return tone(self._hz, self._position - FRAME_SAMPLES, FRAME_SAMPLES, self._level)


class GeneratedVoice(PacedSource):
    """The generated voice of media/simulation/voice.py, without end."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self._reader = Reframer(syllables(seed))

    def _frame(self) -> Samples:
        return self._reader.take(FRAME_SAMPLES)


class Discard:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.samples = 0

    def write(self, samples: Samples) -> None:
        self.samples += len(samples)

    def close(self) -> None:
        pass


class Reframer:
    """Pieces of any length in, frames of one length out; silence when the pieces have ended."""

    def __init__(self, pieces: Iterator[Samples]) -> None:
        self.ended = False
        self._pieces = pieces
        self._rest: Samples = np.zeros(0, np.int16)

    def take(self, count: int) -> Samples:
        """The next `count` samples, filled up with zeros at the end."""
        parts, have = [self._rest], len(self._rest)
        while have < count and not self.ended:
            piece = next(self._pieces, None)
            if piece is None:
                self.ended = True
            else:
                parts.append(piece)
                have += len(piece)
        joined = np.concatenate(parts)
        self._rest = joined[count:]
        frame = joined[:count]
        return frame if len(frame) == count else np.pad(frame, (0, count - len(frame)))
