"""A ringing sound: through the loudspeaker where one is used, else the terminal's bell."""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import numpy as np

from media import MediaError
from ringline.sound import make_ringer

RATE = 48_000
BELL_INTERVAL = 3.0
LEVEL = 0.1  # of full scale, -20 dBFS


@dataclass(frozen=True, slots=True)
class Cadence:
    """Tones together for `on` seconds, then nothing for `off`."""

    hertz: tuple[float, ...]
    on: float
    off: float

    def samples(self, start: int, count: int) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
        """int16 at 48 kHz, from this sample of the ringing on."""
        time = (start + np.arange(count)) / RATE
        phase = time % (self.on + self.off)
        # 10 ms of fading: a tone that begins at once clicks.
        gain = np.clip(np.minimum(phase, self.on - phase) / 0.01, 0.0, 1.0)
        tone = sum(np.sin(2 * np.pi * hertz * time) for hertz in self.hertz) / len(self.hertz)
        return np.asarray(np.round(tone * gain * LEVEL * 32767), np.int16)


# ITU-T E.180: what the caller hears, the European one (425 Hz, 1 s and 4 s).
RINGBACK = Cadence((425.0,), 1.0, 4.0)
RING = Cadence((440.0, 554.4), 0.8, 1.7)


@contextlib.asynccontextmanager
async def ringing(options: argparse.Namespace, cadence: Cadence) -> AsyncIterator[None]:
    """It rings while inside. Without loudspeaker and terminal it is silent."""
    speaker = None
    with contextlib.suppress(MediaError):
        speaker = make_ringer(options)
    bell = None
    if speaker is not None:
        speaker.start(_pull(cadence))
    elif sys.stdout.isatty() and cadence is RING:
        bell = asyncio.create_task(_bell(), name="ringline-bell")
    try:
        yield
    finally:
        if speaker is not None:
            speaker.close()
        if bell is not None:
            bell.cancel()
            await asyncio.wait([bell])


def _pull(cadence: Cadence) -> Callable[[int], "np.ndarray[tuple[int], np.dtype[np.int16]]"]:
    played = 0

    def pull(count: int) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
        nonlocal played
        samples = cadence.samples(played, count)
        played += count
        return samples

    return pull


async def _bell() -> None:
    while True:
        sys.stdout.write("\a")
        sys.stdout.flush()
        await asyncio.sleep(BELL_INTERVAL)
