"""Microphone and loudspeaker of this machine (the `devices` extra), with echo cancellation between them.

    speaker = Speaker()
    connection = PeerConnection(microphone=Microphone(speaker=speaker), speaker=speaker)

A device that is missing, busy or pulled out does not end the call: the microphone gives silence, what should be heard
is thrown away, `events` says what happened, and the device is opened again when it is back.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from media.audio_processing.capture_chain import CaptureChain
from media.audio_processing.level_meter import LevelMeter
from media.audio_processing.settings import AudioProcessingSettings, Direction, make_processor
from media.errors import SourceError
from media.io.device_keeper import RETRY_AFTER, DeviceEvent, DeviceKeeper
from media.io.sound_system import DeviceInfo, MiniaudioSystem, SoundSystem, Stream
from media.io.sources import FRAME, FRAME_SAMPLES, PLAYOUT_SAMPLES, SAMPLE_RATE, Samples
from media.io.ticker import Ticker

logger = logging.getLogger(__name__)

# Half a second of pieces between a device's thread and the loop; what does not fit is the oldest.
_MAX_PIECES = 50
# A microphone that gives nothing for so long is replaced by silence. Devices that give 50 ms at once exist.
_PATIENCE = 0.1
# Sound that no loudspeaker fetches is thrown away; the engine must not notice that there is none.
_UNHEARD_AFTER = 0.25
_UNHEARD_TICK = 0.05
_MACHINE_SLEPT = 1.0


def list_devices(system: SoundSystem | None = None) -> list[DeviceInfo]:
    """All microphones and loudspeakers. Raises SourceError without the library, or without a sound system."""
    return (system or MiniaudioSystem()).devices()


def _check_name(system: SoundSystem, direction: Direction, name: str | None) -> None:
    if name is None:
        return
    names = [info.name for info in system.devices() if info.direction == direction]
    if name not in names:
        there = ", ".join(repr(n) for n in names) or "none at all"
        raise SourceError(f"there is no {direction} {name!r}; there are: {there}")


class Speaker:
    """A loudspeaker as a PullSink. `device` by name, see list_devices(); None: the default one.

    Raises SourceError when the library or a device of this name is missing.
    """

    opens_slowly = True  # so it is opened before there is anything to play

    def __init__(
        self,
        device: str | None = None,
        *,
        system: SoundSystem | None = None,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self.system = system or MiniaudioSystem()
        _check_name(self.system, Direction.PLAYBACK, device)
        self.level = LevelMeter()
        # (time, position, samples) as the device took them; the microphone's echo canceller takes them from here.
        self.played: deque[tuple[float, int, Samples]] = deque(maxlen=_MAX_PIECES)
        self.unheard = 0  # samples that no device fetched
        self.started_at: float | None = None
        self._keeper = DeviceKeeper(Direction.PLAYBACK, device, self._open, retry_after=retry_after)
        self._pull: Callable[[int], Samples] | None = None
        self._position = 0
        # The device's thread pulls, and the loop does while there is no device; never both.
        self._lock = threading.Lock()
        self._pulled_until = 0.0
        self._ticker: Ticker | None = None

    @property
    def events(self) -> list[DeviceEvent]:
        """What happened to the device."""
        return list(self._keeper.events)

    @property
    def is_open(self) -> bool:
        return self._keeper.is_open

    def start(self, pull: Callable[[int], Samples]) -> None:
        """Called on the loop; the device is opened in the background."""
        self._pull = pull
        self.started_at = self._pulled_until = time.monotonic()
        self._ticker = Ticker(self._throw_away, interval=_UNHEARD_TICK)
        self._keeper.start()

    def select(self, device: str | None) -> None:
        """Go over to another device. Raises SourceError when there is none of this name."""
        _check_name(self.system, Direction.PLAYBACK, device)
        self._keeper.select(device)

    def close(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
        self._keeper.close()

    def _open(self, name: str | None, lost: Callable[[], None]) -> Stream:
        return self.system.open_playback(name, self._take, lost)

    def _take(self, count: int) -> Samples:
        """From the device's thread."""
        now = time.monotonic()
        self._keeper.touch()
        assert self._pull is not None
        with self._lock:
            self._pulled_until = now
            try:
                samples = self._pull(count)
            except Exception as error:  # the device's thread has nobody who would catch it
                logger.error("no sound for the speaker: %r", error)
                samples = np.zeros(count, np.int16)
        self.played.append((now, self._position, samples))
        self._position += count
        self.level.push(samples)
        return samples

    def _throw_away(self, now: float) -> None:
        """As a loudspeaker that nobody hears, while there is none."""
        if now - self._pulled_until < _UNHEARD_AFTER or self._pull is None:
            return
        with self._lock:
            self._pulled_until = max(self._pulled_until, now - _MACHINE_SLEPT)
            while self._pulled_until + PLAYOUT_SAMPLES / SAMPLE_RATE <= now:
                self._pull(PLAYOUT_SAMPLES)
                self._pulled_until += PLAYOUT_SAMPLES / SAMPLE_RATE
                self.unheard += PLAYOUT_SAMPLES


class Microphone:
    """A microphone as an AudioSource. `device` by name, see list_devices(); None: the default one.

    `speaker` is the one whose sound the echo canceller takes out; without it there is no echo cancellation. Raises
    SourceError when a library or a device of this name is missing.
    """

    def __init__(
        self,
        device: str | None = None,
        *,
        speaker: Speaker | None = None,
        processing: AudioProcessingSettings | None = None,
        system: SoundSystem | None = None,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self.system = system or (speaker.system if speaker is not None else MiniaudioSystem())
        _check_name(self.system, Direction.CAPTURE, device)
        settings = processing or AudioProcessingSettings()
        if speaker is None:
            settings = replace(settings, echo_cancellation=False)
        processor = make_processor(settings, SAMPLE_RATE, round(self.system.latency * 1000))
        self.processing = settings
        self.silence = 0  # frames of silence that were given for want of a device
        self.started_at: float | None = None
        self._speaker = speaker
        self._chain = CaptureChain(processor, FRAME_SAMPLES)
        self._keeper = DeviceKeeper(Direction.CAPTURE, device, self._open, retry_after=retry_after)
        self._pieces: deque[tuple[float, Samples]] = deque(maxlen=_MAX_PIECES)
        self._frames: deque[Samples] = deque(maxlen=_MAX_PIECES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = asyncio.Event()
        self._until = 0.0  # the end of what was given, on the loop's clock

    @property
    def level(self) -> LevelMeter:
        """Of what is sent."""
        return self._chain.level

    @property
    def drift_ppm(self) -> float:
        """How much faster than this machine's clock the device runs."""
        return self._chain.clock.drift_ppm

    @property
    def events(self) -> list[DeviceEvent]:
        """What happened to the device."""
        return list(self._keeper.events)

    @property
    def is_open(self) -> bool:
        return self._keeper.is_open

    def select(self, device: str | None) -> None:
        """Go over to another device. Raises SourceError when there is none of this name."""
        _check_name(self.system, Direction.CAPTURE, device)
        self._keeper.select(device)

    async def read(self) -> Samples:
        """The next 20 ms, as soon as the device has given them; silence at our own pace while it gives nothing."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self.started_at = self._until = time.monotonic()
            self._keeper.start()
        while True:
            self._process()
            if self._frames:
                return self._frames.popleft()
            self._ready.clear()
            now = time.monotonic()
            if now - self._until > _MACHINE_SLEPT:
                self._until = now - _PATIENCE
            try:
                await asyncio.wait_for(self._ready.wait(), max(0.0, self._until + _PATIENCE - now))
            except TimeoutError:
                self._give_silence()

    def close(self) -> None:
        self._keeper.close()

    def _open(self, name: str | None, lost: Callable[[], None]) -> Stream:
        return self.system.open_capture(name, self._take, lost)

    def _take(self, samples: Samples) -> None:
        """From the device's thread."""
        self._pieces.append((time.monotonic(), samples))
        self._keeper.touch()
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop has ended, close() follows
            pass

    def _process(self) -> None:
        while self._speaker is not None and self._speaker.played:
            self._chain.played(*self._speaker.played.popleft())
        while self._pieces:
            at, samples = self._pieces.popleft()
            for frame in self._chain.captured(at, samples):
                # The stream's time stays right: after a gap comes silence, what comes after silence took its place
                # is left out.
                end = self._chain.until
                while self._until + 1.5 * FRAME < end < self._until + _MACHINE_SLEPT:
                    self._give_silence()
                if end > self._until + FRAME / 2:
                    self._frames.append(frame)
                    self._until = end

    def _give_silence(self) -> None:
        self._frames.append(np.zeros(FRAME_SAMPLES, np.int16))
        self._until += FRAME
        self.silence += 1
