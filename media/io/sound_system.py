"""What reaches the sound cards: miniaudio (the `devices` extra). Another one only needs the same three methods.

miniaudio has PulseAudio, ALSA and JACK, WASAPI and Core Audio inside and needs no other package. Capture and playback
are streams of their own: its duplex stream gave no sound in our tests, and two devices may have two clocks anyway.
"""

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from media.audio_processing.settings import Direction
from media.errors import SourceError
from media.extras import how_to_install
from media.io.sources import SAMPLE_RATE, Samples

logger = logging.getLogger(__name__)

PERIOD_MS = 10
# miniaudio's default: three periods are filled ahead of the loudspeaker, one is gathered by the microphone.
_PERIODS_PLAYBACK, _PERIODS_CAPTURE = 3, 1
# ma_result of miniaudio.h, those that users meet.
_RESULTS = {
    -203: "no sound system",
    -204: "there is none",
    -400: "the sound system does not answer",
    -401: "there is none, or it is in use",
    -402: "it does not start",
}

Take = Callable[[Samples], None]
Pull = Callable[[int], Samples]


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A microphone or a loudspeaker, as the system calls it."""

    direction: Direction
    name: str


class Stream(Protocol):
    """An open device."""

    def alive(self) -> bool:
        """False once the device has stopped by itself."""
        ...

    def close(self) -> None:
        """No callback after it."""
        ...


class SoundSystem(Protocol):
    """The devices of a machine. Callbacks come from threads of the system and must neither block nor raise."""

    latency: float  # seconds that a sound spends in the buffers of both devices

    def devices(self) -> list[DeviceInfo]:
        """All of them. Raises SourceError."""
        ...

    def open_capture(self, name: str | None, take: Take, lost: Callable[[], None]) -> Stream:
        """`take` gets int16 samples at 48 kHz. Raises SourceError."""
        ...

    def open_playback(self, name: str | None, pull: Pull, lost: Callable[[], None]) -> Stream:
        """`pull(count)` gives int16 samples at 48 kHz. Raises SourceError."""
        ...


class MiniaudioSystem:
    """`backend`: one of miniaudio's by name ("pulseaudio", "alsa", "null" ...); None: the first that works.

    Raises SourceError when the library is missing or knows no such backend.
    """

    latency = (_PERIODS_PLAYBACK + _PERIODS_CAPTURE) * PERIOD_MS / 1000

    def __init__(self, backend: str | None = None) -> None:
        try:
            import miniaudio
        except ImportError:
            raise SourceError(
                f"microphone and loudspeaker need a library that is not installed: {how_to_install('devices')}"
            ) from None
        self._library: Any = miniaudio
        names = {b.name.lower(): b for b in miniaudio.get_enabled_backends()}
        if backend is not None and backend.lower() not in names:
            raise SourceError(f"there is no sound backend {backend!r}, but {', '.join(sorted(names))}")
        # Left to itself miniaudio falls back to its null device, and a call would be silent without a word.
        silent = {"null", "custom"}
        wanted = [backend.lower()] if backend else [n for n in names if n not in silent]
        self._backends = sorted((names[n] for n in wanted), key=lambda b: b.value)

    def devices(self) -> list[DeviceInfo]:
        return [info for info, _ in self._list()]

    def open_capture(self, name: str | None, take: Take, lost: Callable[[], None]) -> Stream:
        device = self._open(Direction.CAPTURE, name)
        return _MiniaudioStream(device, _capture(take), lost)

    def open_playback(self, name: str | None, pull: Pull, lost: Callable[[], None]) -> Stream:
        device = self._open(Direction.PLAYBACK, name)
        return _MiniaudioStream(device, _playback(pull), lost)

    def _list(self) -> list[tuple[DeviceInfo, Any]]:
        try:
            found = self._library.Devices(self._backends)
            captures, playbacks = found.get_captures(), found.get_playbacks()
        except (self._library.MiniaudioError, UnicodeDecodeError) as error:
            raise SourceError(f"no sound devices: {_reason(error)}") from None
        result: list[tuple[DeviceInfo, Any]] = []
        for direction, devices in ((Direction.CAPTURE, captures), (Direction.PLAYBACK, playbacks)):
            result += [(DeviceInfo(direction, device["name"]), device["id"]) for device in devices]
        return result

    def _open(self, direction: Direction, name: str | None) -> Any:
        device_id = None
        if name is not None:
            ids = [i for info, i in self._list() if info.direction == direction and info.name == name]
            if not ids:
                raise SourceError(f"there is no {direction} {name!r}")
            device_id = ids[0]
        options = {
            "nchannels": 1,
            "sample_rate": SAMPLE_RATE,
            "buffersize_msec": PERIOD_MS,
            "device_id": device_id,
            "backends": self._backends,
            "app_name": "Ringline",
        }
        library = self._library
        kind = library.CaptureDevice if direction == Direction.CAPTURE else library.PlaybackDevice
        try:
            return kind(**options)
        except library.MiniaudioError as error:
            which = f"the {direction} {name!r}" if name else f"the default {direction}"
            raise SourceError(f"{which} cannot be opened: {_reason(error)}") from None


class _MiniaudioStream:
    """A started device."""

    def __init__(self, device: Any, callback: Generator[Any, Any, None], lost: Callable[[], None]) -> None:
        self._device = device
        self._alive = True
        self._lost = lost
        next(callback)
        device.stop_callback = self._stopped
        try:
            device.start(callback)
        except Exception as error:
            device.close()
            raise SourceError(f"a sound device cannot be started: {_reason(error)}") from None

    def alive(self) -> bool:
        return self._alive

    def close(self) -> None:
        self._device.stop_callback = None
        self._device.close()

    def _stopped(self) -> None:
        self._alive = False
        self._lost()


def _capture(take: Take) -> Generator[None, bytes, None]:
    while True:
        data = yield
        take(np.frombuffer(data, np.int16))


def _playback(pull: Pull) -> Generator[bytes, int, None]:
    count = yield b""
    while True:
        count = yield pull(count).tobytes()


def _reason(error: Exception) -> str:
    code = error.args[-1] if error.args else 0
    return _RESULTS.get(code) or " ".join(str(part) for part in error.args) or type(error).__name__
