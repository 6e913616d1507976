"""Moves sound: microphone -> engine, engine -> speaker. One per connection."""

import asyncio
import logging
import threading
from collections.abc import Callable

import numpy as np

from media.codecs.base import Samples
from media.engine import MediaEngine
from media.io.playout import Playout
from media.io.sources import AudioSink, AudioSource, PullSink

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0


class SoundPump:
    """`lock` guards the engine; `drain` is the connection's, called after every input to the engine."""

    def __init__(self, engine: MediaEngine, lock: threading.Lock, drain: Callable[[], None]) -> None:
        self._engine, self._lock, self._drain = engine, lock, drain
        self._loop = asyncio.get_running_loop()
        self._playout: Playout | None = None
        self._capture: asyncio.Task[None] | None = None
        self.muted = False
        self.held = False

    def start(self, microphone: AudioSource | None, speaker: AudioSink | PullSink | None) -> None:
        """The connection stands: open the devices."""
        if speaker is not None:
            try:
                self._playout = Playout(speaker, self._pull)
            except Exception as error:
                logger.error("the speaker failed, the call goes on without it: %s", error)
        if microphone is not None:
            self._capture = asyncio.ensure_future(self._read(microphone))

    async def close(self, microphone: AudioSource | None, speaker: AudioSink | PullSink | None) -> None:
        """Stop, and close the devices."""
        if self._capture is not None:
            self._capture.cancel()
            await asyncio.wait([self._capture], timeout=CLOSE_TIMEOUT)
        for device in (self._playout or speaker, microphone):
            if device is not None:
                close_quietly(device)

    async def _read(self, microphone: AudioSource) -> None:
        try:
            while True:
                samples = await microphone.read()
                if self.held:
                    continue
                if self.muted:
                    samples = np.zeros_like(samples)
                with self._lock:
                    self._engine.push_audio(samples, self._loop.time())
                self._drain()
        except Exception as error:  # a source is the caller's code
            logger.error("the microphone failed, the call goes on without it: %s", error)

    def _pull(self) -> Samples:
        """10 ms for the speaker, from any thread."""
        with self._lock:
            samples = self._engine.pull_audio(self._loop.time())
        return np.zeros_like(samples) if self.held else samples


def close_quietly(device: object) -> None:
    """A device is the caller's code, too."""
    try:
        device.close()  # type: ignore[attr-defined]
    except Exception as error:
        logger.error("a device did not close: %r", error)
