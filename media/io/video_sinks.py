"""Where pictures go that need no file: the caller's code, nowhere, the terminal."""

import atexit
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from media.errors import SourceError
from media.io.realtime import take_ordinary_turns
from media.pictures import to_av
from media.video_frame import VideoFrame

logger = logging.getLogger(__name__)

MAX_PREVIEW_FPS = 10.0
_CLOSE_TIMEOUT = 1.0
# ECMA-48 and xterm: the other screen and back, cursor off and on, plain colours, to the upper left.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[0m\x1b[?25h\x1b[?1049l"
_HOME, _PLAIN = "\x1b[H", "\x1b[0m"


class NumpyScreen:
    """Keeps the `last` picture and hands each one on: `on_frame(frame, now)`, which must not block."""

    def __init__(self, on_frame: Callable[[VideoFrame, float], None] | None = None) -> None:
        self.last: VideoFrame | None = None
        self.last_at: float | None = None  # monotonic time at which it was shown
        self.frames = 0
        self._on_frame = on_frame
        self._closed = False

    def write(self, frame: VideoFrame) -> None:
        if self._closed:
            return
        self.last, self.last_at = frame, time.monotonic()
        self.frames += 1
        if self._on_frame is not None:
            self._on_frame(frame, self.last_at)

    def close(self) -> None:
        self._closed = True


class DiscardVideo:
    """A screen that only counts."""

    def __init__(self) -> None:
        self.frames = 0

    def write(self, frame: VideoFrame) -> None:
        self.frames += 1

    def close(self) -> None:
        pass


class TerminalPreview:
    """Pictures as half-block characters in 24-bit colour, at most 10 a second, on the terminal's other screen.

    A thread draws the latest picture, so a slow terminal costs pictures and not the call. The terminal is restored by
    close(), and at the end of the program. Raises SourceError when `file` (standard output) is no terminal; a file that
    is given is written to whatever it is.
    """

    def __init__(self, file: TextIO | None = None, fps: float = MAX_PREVIEW_FPS) -> None:
        if not 0 < fps <= MAX_PREVIEW_FPS:
            raise ValueError(f"fps is more than 0 and at most {MAX_PREVIEW_FPS:.0f}")
        if file is None and not sys.stdout.isatty():
            raise SourceError("a preview needs a terminal")
        self._file: TextIO = sys.stdout if file is None else file
        self._interval = 1 / fps
        self._latest: VideoFrame | None = None
        self._closed = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, frame: VideoFrame) -> None:
        with self._change:
            self._latest = frame
            self._change.notify()

    def close(self) -> None:
        """Returns within 1 s, also when the terminal takes nothing."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join(_CLOSE_TIMEOUT)
        atexit.unregister(self.close)

    def _run(self) -> None:
        take_ordinary_turns()
        try:
            self._file.write(_ENTER)
            try:
                while (frame := self._next()) is not None:
                    self._file.write(_HOME + draw(frame, *self._cells()) + _PLAIN)
                    self._file.flush()
                    with self._change:
                        self._change.wait_for(lambda: self._closed, self._interval)
            finally:
                self._file.write(_LEAVE)
                self._file.flush()
        except (OSError, ValueError) as error:  # a terminal that has gone
            logger.info("the preview ends: %s", error)

    def _next(self) -> VideoFrame | None:
        with self._change:
            self._change.wait_for(lambda: self._closed or self._latest is not None)
            frame, self._latest = self._latest, None
            return None if self._closed else frame

    def _cells(self) -> tuple[int, int]:
        size = shutil.get_terminal_size()
        return size.columns, size.lines


def draw(frame: VideoFrame, columns: int, lines: int) -> str:
    """A picture in at most `columns` by `lines` characters, two pixels a character, with colour codes (SGR 38, 48)."""
    scale = min(columns / frame.width, lines * 2 / frame.height)
    width = max(2, int(frame.width * scale) // 2 * 2)
    height = max(2, int(frame.height * scale) // 2 * 2)
    rgb = to_av(frame.data).reformat(width, height, "rgb24").to_ndarray()
    rows = []
    for upper, lower in zip(rgb[::2].tolist(), rgb[1::2].tolist(), strict=True):
        cells, colours = [], None
        for (r, g, b), (lr, lg, lb) in zip(upper, lower, strict=True):
            wanted = f"\x1b[38;2;{r};{g};{b};48;2;{lr};{lg};{lb}m"
            cells.append("▀" if wanted == colours else wanted + "▀")
            colours = wanted
        rows.append("".join(cells) + _PLAIN)
    return "\r\n".join(rows)
