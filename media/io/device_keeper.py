"""Keeps a sound device open: opens it, notices when it is gone, tries again; in a thread, so that nothing waits."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from media.audio_processing.settings import Direction
from media.errors import SourceError
from media.io.sound_system import Stream

logger = logging.getLogger(__name__)

# A device that gives or takes nothing for so long is gone; the slowest (Bluetooth) pause for a quarter of it.
_DEAD_AFTER = 2.0
_LOOK_EVERY = 0.5
# Again after 2, 4, 8 ... s: each attempt makes some drivers print a page of complaints.
RETRY_AFTER = 2.0
_MAX_RETRY_AFTER = 30.0
_CLOSE_TIMEOUT = 2.0
_MAX_EVENTS = 64


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """`kind` is opened, lost, or failed (could not be opened); `at` on the monotonic clock."""

    at: float
    direction: Direction
    kind: str
    text: str


class DeviceKeeper:
    """`open_stream(name, lost)` opens a device; a named one that is not there is replaced by the default one.

    touch() is called with every piece of sound, from any thread.
    """

    def __init__(
        self,
        direction: Direction,
        name: str | None,
        open_stream: Callable[[str | None, Callable[[], None]], Stream],
        *,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self.events: deque[DeviceEvent] = deque(maxlen=_MAX_EVENTS)
        self.is_open = False
        self._direction, self._name = direction, name
        self._open_stream = open_stream
        self._retry_after = retry_after
        self._touched = 0.0
        self._wake = threading.Event()
        self._ends = False
        self._renew = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns at once; the device follows."""
        if self._thread is None and not self._ends:
            self._thread = threading.Thread(target=self._run, name=f"ringline-{self._direction}", daemon=True)
            self._thread.start()

    def touch(self) -> None:
        self._touched = time.monotonic()

    def select(self, name: str | None) -> None:
        """Go over to another device; None: the default one."""
        self._name, self._renew = name, True
        self._wake.set()

    def close(self) -> None:
        """Close the device; waits for a driver that does not return 2 s at most."""
        self._ends = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_TIMEOUT)
            if self._thread.is_alive():
                logger.warning("the %s does not close", self._direction)

    def _run(self) -> None:
        retry_after = self._retry_after
        while not self._ends:
            stream = self._open()
            if stream is None:
                self._wait(retry_after)
                retry_after = min(2 * retry_after, _MAX_RETRY_AFTER)
                continue
            retry_after = self._retry_after
            self.is_open = True
            try:
                self._watch(stream)
            finally:
                self.is_open = False
                _close(stream)

    def _open(self) -> Stream | None:
        """The device, or else the default one, or None."""
        self._renew = False
        reasons = []
        for name in dict.fromkeys((self._name, None)):
            self.touch()
            try:
                stream = self._open_stream(name, self._wake.set)
            except SourceError as error:
                reasons.append(str(error))
                continue
            except Exception as error:  # a driver's surprise is no reason to be without sound for good
                reasons.append(f"{type(error).__name__}: {error}")
                continue
            self._tell("opened", "; ".join([*reasons, name or f"the default {self._direction}"]))
            return stream
        self._tell("failed", "; ".join(reasons))
        return None

    def _watch(self, stream: Stream) -> None:
        """Until the device is gone, or is not wanted any more."""
        while not self._ends and not self._renew:
            if not stream.alive():
                self._tell("lost", "the device has stopped")
                return
            if time.monotonic() - self._touched > _DEAD_AFTER:
                self._tell("lost", "the device gives no sign of life")
                return
            self._wait(_LOOK_EVERY)

    def _wait(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _tell(self, kind: str, text: str) -> None:
        if self.events and (self.events[-1].kind, self.events[-1].text) == (kind, text):
            return  # the same failure again
        self.events.append(DeviceEvent(time.monotonic(), self._direction, kind, text))
        log = logger.info if kind == "opened" else logger.warning
        log("%s %s: %s", self._direction, kind, text)


def _close(stream: Stream) -> None:
    try:
        stream.close()
    except Exception as error:
        logger.warning("a sound device did not close: %r", error)
