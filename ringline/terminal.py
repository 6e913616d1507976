"""Keys, pressed at a terminal while the loop runs, and a line there that is drawn again and again."""

import asyncio
import os
import shutil
import sys
from types import TracebackType
from typing import Any

MAX_KEYS = 32  # that nobody has read yet
_CLEAR = "\r\x1b[K"


def is_there() -> bool:
    """Whether a person can read what is printed and press keys: not so for a job in the background."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False


class Keys:
    """While inside, single keys without Enter; without a terminal none ever comes. Ctrl-C stays what it is.

    `wanted=False`: nobody's keys, as for one of several calls at a time.
    """

    def __init__(self, *, wanted: bool = True) -> None:
        self.wanted = wanted
        self._keys: asyncio.Queue[str] = asyncio.Queue(MAX_KEYS)
        self._handle: int | None = None
        self._before: list[Any] = []

    async def get(self) -> str:
        """The next key, in lower case."""
        return await self._keys.get()

    def drop(self) -> None:
        """Forget what was pressed before it was asked for."""
        while not self._keys.empty():
            self._keys.get_nowait()

    def __enter__(self) -> "Keys":
        if self.wanted and is_there():
            import termios
            import tty

            self._handle = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._handle)
            tty.setcbreak(self._handle)
            asyncio.get_running_loop().add_reader(self._handle, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            import termios

            asyncio.get_running_loop().remove_reader(self._handle)
            termios.tcsetattr(self._handle, termios.TCSADRAIN, self._before)
            self._handle = None

    def _read(self) -> None:
        assert self._handle is not None
        try:
            pressed = os.read(self._handle, MAX_KEYS)
        except OSError:
            pressed = b""
        if not pressed:  # the terminal is gone
            asyncio.get_running_loop().remove_reader(self._handle)
            return
        for key in pressed.decode("utf-8", "ignore").lower():
            if not self._keys.full():
                self._keys.put_nowait(key)


def draw(line: str) -> None:
    """Write over the line that was drawn before. What has no room is cut off: of two lines one would stay."""
    sys.stdout.write(_CLEAR + line[: shutil.get_terminal_size().columns - 1])
    sys.stdout.flush()


def say(text: str) -> None:
    """A line that stays; one that is being drawn gives way."""
    clear = _CLEAR if sys.stdout.isatty() else ""
    print(f"{clear}{text}", flush=True)
