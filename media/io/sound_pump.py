"""Moves sound: microphone -> engine, engine -> speaker. One per connection.

Sound cards are opened while the connection is made, since that takes them a while; what the microphone hears before
there are keys is thrown away but for its last 20 ms, which are sent at once. A file begins when it can be sent.
A speaker that starts at once begins with the second packet, so that its pulls fall behind the arrivals and not before
them: where in its period a sound card began decides how long every packet waits for it, 0 to 10 ms. (The first packet
is out of step: it has what was heard before there were keys.)
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np

from media.codecs.base import Samples
from media.engine import MediaEngine
from media.io.call_sound import CallSound
from media.io.overload import Overload, ThreadLoad
from media.io.playout import Playout
from media.io.sources import FRAME, SAMPLE_RATE, AudioSink, AudioSource, PullSink

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0
AT_ONCE = 2  # frames of a late microphone in one turn of the loop: half a millisecond, of each of many
# Frames of it that are said though they are late, 0.3 s. What it has waiting beyond is left out, or a process that
# cannot keep up would be later with each second; so many frames in one turn, since that costs little.
STALE, LEFT_OUT_AT_ONCE = 15, 50
WAITING = 0.001  # seconds: a read that is over sooner had a frame waiting
# Seconds after that packet: those that come a little later in their period are in time, too. 98.5 % are within 3 ms
# (measured between processes on a busy machine); a few milliseconds more would be in time for few others.
FIRST_PULL = 0.003
PATIENCE = 1.0  # seconds that a speaker waits for packets


class SoundPump:
    """`lock` guards the engine; `drain` is the connection's, called after every input to the engine."""

    def __init__(self, engine: MediaEngine, lock: threading.Lock, drain: Callable[[], None]) -> None:
        self._engine, self._lock, self._drain = engine, lock, drain
        self._loop = asyncio.get_running_loop()
        self._playout: Playout | None = None
        self._capture: asyncio.Task[None] | None = None
        self._opening: asyncio.TimerHandle | None = None  # of the speaker
        self._overload, self._load = Overload(), ThreadLoad()
        self._started = False
        self._latest: tuple[Samples, float] | None = None  # what was heard last before the start, and when
        self.kept: CallSound | None = None  # is told of what is said and heard
        self.muted = False
        self.held = False
        self.enabled = True  # False: nothing is opened
        self._sends = True  # what is agreed on: without, the microphone is not read
        self._stopped = False  # it was read before

    @property
    def flows(self) -> bool:
        return self.enabled and not self.held

    def set_sending(self, sends: bool) -> None:
        """Whether the peer takes sound, by what was agreed on last: where it does not, nobody listens here."""
        self._sends = sends
        if not sends and self._capture is not None:
            self._capture.cancel()
            self._capture, self._latest, self._stopped = None, None, True

    def open(self, microphone: AudioSource | None, speaker: AudioSink | PullSink | None) -> None:
        """The connection is being made: open the devices that have a clock of their own."""
        if not self.enabled:
            return
        if microphone is not None and getattr(microphone, "live", True):
            self._open_microphone(microphone)
        if isinstance(speaker, PullSink) and getattr(speaker, "opens_slowly", False):
            self._open_speaker(speaker)

    def start(self, microphone: AudioSource | None, speaker: AudioSink | PullSink | None) -> None:
        """The connection stands: sound may flow."""
        if not self.enabled:
            return
        self._started = True
        if self._latest is not None:
            samples, heard = self._latest
            if self._loop.time() - heard < FRAME:
                self._push(samples, heard)
        self._open_microphone(microphone)
        self._open_speaker_in(PATIENCE, speaker)

    def received(self, speaker: AudioSink | PullSink | None) -> None:
        """A packet came: is it the one that the speaker waits for?"""
        if self._playout is not None or self._opening is None or self._engine.receiver is None:
            return
        statistics = self._engine.receiver.statistics
        second = statistics is not None and statistics.packets_received >= 2
        if second and self._opening.when() > self._loop.time() + FIRST_PULL:
            self._open_speaker_in(FIRST_PULL, speaker)

    def loop_was_late(self, seconds: float, now: float) -> None:
        """By so much, told once a second: where there is too much to do, encoding has to take less time."""
        hurried = self._overload.tell(seconds, self._load.since_last(now), now)
        if self._engine.sender is not None:
            with self._lock:
                self._engine.sender.set_hurried(hurried)

    def _open_speaker_in(self, seconds: float, speaker: AudioSink | PullSink | None) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self._opening = self._loop.call_later(seconds, self._open_speaker, speaker)

    def _open_microphone(self, microphone: AudioSource | None) -> None:
        if microphone is not None and self._capture is None and self._sends:
            self._capture = asyncio.ensure_future(self._read(microphone))

    def _open_speaker(self, speaker: AudioSink | PullSink | None) -> None:
        if speaker is not None and self._playout is None:
            try:
                self._playout = Playout(speaker, self._pull)
            except Exception as error:
                logger.error("the speaker failed, the call goes on without it: %s", error)

    async def close(self, microphone: AudioSource | None, speaker: AudioSink | PullSink | None) -> None:
        """Stop, and close the devices."""
        if self._opening is not None:
            self._opening.cancel()
        if self._capture is not None:
            self._capture.cancel()
            await asyncio.wait([self._capture], timeout=CLOSE_TIMEOUT)
        for device in (self._playout or speaker, microphone):
            if device is not None:
                close_quietly(device)

    async def _read(self, microphone: AudioSource) -> None:
        at_once = 0
        old = LEFT_OUT_AT_ONCE if self._stopped and getattr(microphone, "live", True) else 0
        try:
            while True:
                asked = self._loop.time()
                samples = await microphone.read()
                now = self._loop.time()
                at_once = at_once + 1 if now - asked < WAITING else 0
                old = old - 1 if at_once else 0
                if old > 0:
                    continue  # a device kept it from when it was for nobody's ears
                if not self._started:
                    self._latest = samples, now
                elif at_once < STALE:
                    self._push(samples, now)
                else:
                    self._leave_out(samples)
                if at_once and at_once % (AT_ONCE if at_once < STALE else LEFT_OUT_AT_ONCE) == 0:
                    # It does not wait, since we are late: what came from the network has its turn, too.
                    await asyncio.sleep(0)
        except Exception as error:  # a source is the caller's code
            logger.error("the microphone failed, the call goes on without it: %s", error)

    def _push(self, samples: Samples, heard: float) -> None:
        if self.held:
            self._leave_out(samples)
            return
        samples = np.zeros_like(samples) if self.muted else samples
        if self.kept is not None:
            self.kept.said(samples, heard - len(samples) / SAMPLE_RATE)
        with self._lock:
            self._engine.push_audio(samples, heard)
        self._drain()

    def _leave_out(self, samples: Samples) -> None:
        with self._lock:
            self._engine.skip_audio(len(samples))

    def _pull(self) -> Samples:
        """10 ms for the speaker, from any thread."""
        with self._lock:
            samples = self._engine.pull_audio(now := self._loop.time())
        samples = np.zeros_like(samples) if self.held else samples
        if self.kept is not None:
            self.kept.heard(samples, now)
        return samples


class _Closable(Protocol):
    def close(self) -> None: ...


def close_quietly(device: _Closable) -> None:
    """A device is the caller's code, too."""
    try:
        device.close()
    except Exception as error:
        logger.error("a device did not close: %r", error)
