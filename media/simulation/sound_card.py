"""A sound card in a room, in virtual time: two devices with clocks of their own that ask for attention when due.

What is played comes back to the microphone (see room.py), together with a talker. `due(now)` says which device wants
something; it is answered with play() or capture().
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from media.audio_processing.settings import Direction
from media.simulation.room import Room, RoomSettings

SAMPLE_RATE = 48_000
PERIOD_SAMPLES = 480
# A card that was not asked for so long (the machine slept) begins anew instead of catching up.
_GIVE_UP_AFTER = 0.5


@dataclass(frozen=True, slots=True)
class CardSettings:
    """`lateness` is the mean (seconds) by which a device's thread comes late, exponentially distributed."""

    room: RoomSettings = field(default_factory=RoomSettings)
    playback_ppm: float = 0.0
    capture_ppm: float = 0.0
    lateness: float = 0.0


class LoopbackCard:
    """`started_at` in seconds; the room's noise and the threads' lateness come from `rng`."""

    def __init__(self, settings: CardSettings, started_at: float, rng: Random) -> None:
        self.settings = settings
        self._rng = rng
        relative = settings.capture_ppm - settings.playback_ppm
        self._room = Room(replace(settings.room, microphone_ppm=relative), rng.getrandbits(32))
        self._periods = {
            Direction.PLAYBACK: PERIOD_SAMPLES / SAMPLE_RATE / (1 + settings.playback_ppm * 1e-6),
            Direction.CAPTURE: PERIOD_SAMPLES / SAMPLE_RATE / (1 + settings.capture_ppm * 1e-6),
        }
        # A microphone has its first piece after a period, a loudspeaker wants its first at once.
        self._ideal = {
            Direction.PLAYBACK: started_at,
            Direction.CAPTURE: started_at + self._periods[Direction.CAPTURE],
        }
        self._due = dict(self._ideal)

    def get_timer(self) -> float:
        """When a device wants something next."""
        return min(self._due.values())

    def due(self, now: float) -> Iterator[tuple[float, Direction]]:
        """(time, device) in order; each is to be answered before the next is taken."""
        for direction, ideal in self._ideal.items():
            if now - ideal > _GIVE_UP_AFTER:
                self._ideal[direction] = self._due[direction] = now
        while self.get_timer() <= now:
            direction = min(self._due, key=self._due.__getitem__)
            at = self._due[direction]
            yield at, direction
            self._ideal[direction] += self._periods[direction]
            late = self._rng.expovariate(1 / self.settings.lateness) if self.settings.lateness else 0.0
            self._due[direction] = max(at, self._ideal[direction] + late)

    def play(self, samples: NDArray[np.int16]) -> None:
        """480 samples for the loudspeaker."""
        self._room.play(samples)

    def capture(self, talker: NDArray[np.int16]) -> NDArray[np.int16]:
        """480 samples from the microphone, while the talker says those."""
        return self._room.capture(talker)
