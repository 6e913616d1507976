"""A sound card in a room that does not exist, in real time: what is played comes back to the microphone.

For machines without a sound card, and for trying out echo cancellation: delay, echo, a talker, noise and clocks that
drift are those of media/simulation/sound_card.py.
"""

import threading
import time
from collections.abc import Callable, Iterator
from random import Random

import numpy as np

from media.audio_processing.settings import Direction
from media.errors import SourceError
from media.io.sound_system import DeviceInfo, Pull, Stream, Take
from media.io.sources import PLAYOUT_SAMPLES, Reframer, Samples
from media.simulation.sound_card import CardSettings, LoopbackCard

NAME = "loopback room"


class LoopbackSystem:
    """One microphone and one loudspeaker in one room. `talker` gives what is said there, in pieces; None: nothing."""

    def __init__(
        self, settings: CardSettings | None = None, talker: Iterator[Samples] | None = None, seed: int = 1
    ) -> None:
        settings = settings or CardSettings()
        self.latency = settings.room.delay
        self._settings, self._seed = settings, seed
        self._talker = Reframer(talker if talker is not None else iter(()))
        self._users: dict[Direction, Callable[..., Samples | None]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def devices(self) -> list[DeviceInfo]:
        return [DeviceInfo(direction, NAME) for direction in Direction]

    def open_capture(self, name: str | None, take: Take, lost: Callable[[], None]) -> Stream:
        return self._join(Direction.CAPTURE, name, take)

    def open_playback(self, name: str | None, pull: Pull, lost: Callable[[], None]) -> Stream:
        return self._join(Direction.PLAYBACK, name, pull)

    def _join(self, direction: Direction, name: str | None, user: Callable[..., Samples | None]) -> Stream:
        if name not in (None, NAME):
            raise SourceError(f"there is no {direction} {name!r}")
        with self._lock:
            if direction in self._users:
                raise SourceError(f"the {direction} is in use")
            self._users[direction] = user
            if self._thread is None:
                self._stop = threading.Event()  # its own: the thread before may not have ended yet
                self._thread = threading.Thread(
                    target=self._run, args=(self._stop,), name="ringline-loopback", daemon=True
                )
                self._thread.start()
        return _LoopbackStream(lambda: self._leave(direction))

    def _leave(self, direction: Direction) -> None:
        with self._lock:
            self._users.pop(direction, None)
            thread = None if self._users else self._thread
            if thread is not None:
                self._thread = None
                self._stop.set()
        if thread is not None:
            thread.join()

    def _run(self, stop: threading.Event) -> None:
        card = LoopbackCard(self._settings, time.monotonic(), Random(self._seed))
        while not stop.wait(max(0.0, card.get_timer() - time.monotonic())):
            for _, direction in card.due(time.monotonic()):
                user = self._users.get(direction)
                if direction == Direction.PLAYBACK:
                    played = user(PLAYOUT_SAMPLES) if user else None
                    card.play(np.zeros(PLAYOUT_SAMPLES, np.int16) if played is None else played)
                else:
                    heard = card.capture(self._talker.take(PLAYOUT_SAMPLES))
                    if user:
                        user(heard)


class _LoopbackStream:
    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def alive(self) -> bool:
        return True

    def close(self) -> None:
        self._leave()
