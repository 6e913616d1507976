"""Files that a call writes: checked before the call, never in place of another file, and never what ends the call.

check_output(path, (".json",))       before the call: raises SourceError for what could not be written after it
path = free_path(path)               heard.wav, or heard-2.wav where that is taken
write_text(path, text)               after the call; gives the path that it wrote
"""

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from media.errors import SourceError
from media.io.containers import reason

MAX_NUMBER = 10_000  # of files of one name


class OutputFile:
    """A binary file whose disk may fail at any time: it takes what it is given and keeps the first error.

    After an error it goes on as if all were well. FFmpeg's muxers need that: one whose header could not be written
    crashes the process when it is closed. Whoever writes tells of the error. Raises SourceError when the file cannot
    be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: str | None = None
        self._position = 0
        self._closed = False
        if path.is_dir():
            raise SourceError(f"{path} is a directory, not a file")
        try:
            self._file = path.open("wb", buffering=0)
        except (OSError, ValueError) as error:
            raise SourceError(f"{path} cannot be written: {reason(error)}") from None

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Always takes all of it."""
        left = memoryview(data).cast("B")
        self._position += len(left)
        try:
            while len(left) and self.error is None and not self._closed:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            self._fail(error)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Where that is in the file; of one that failed, where it would be."""
        if self.error is None and not self._closed:
            try:
                self._position = self._file.seek(offset, whence)
                return self._position
            except OSError as error:
                self._fail(error)
        self._position = offset if whence == os.SEEK_SET else self._position + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """May be called twice. A file that somebody has removed meanwhile is an error, too."""
        if self._closed:
            return
        self._closed = True
        try:
            if self.error is None and os.fstat(self._file.fileno()).st_nlink == 0:
                self._fail("the file was removed while it was written")
        finally:
            try:
                self._file.close()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError | str) -> None:
        if self.error is None:
            self.error = error if isinstance(error, str) else reason(error)


def check_output(path: Path, suffixes: Sequence[str] = ()) -> None:
    """Whether a file could be written there, whose name ends in one of `suffixes` (none: in anything).

    Raises SourceError with the reason. Leaves nothing behind. Devices (/dev/null) may have any name.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be written: {reason(error)}") from None
    if mode is not None and stat.S_ISDIR(mode):
        raise SourceError(f"{path} is a directory, not a file")
    if mode is not None and stat.S_ISCHR(mode):
        return
    if mode is not None and not stat.S_ISREG(mode):
        raise SourceError(f"{path} is no ordinary file")
    if suffixes and path.suffix.lower() not in suffixes:
        raise SourceError(f"{path}: the name has to end in {' or '.join(suffixes)}")
    try:
        # What it will be is made and removed: permissions, read-only and missing folders all show.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {reason(error)}") from None


def free_path(path: Path, empty: int = 0) -> Path:
    """`path`, or where an ordinary file has that name the first of name-2, name-3 ... that is free.

    A file of `empty` bytes or less is none: a call that nobody took left it. Raises SourceError where all are taken.
    """
    if not path.is_file() or path.stat().st_size <= empty:
        return path
    for number in range(2, MAX_NUMBER):
        other = path.with_name(f"{path.stem}-{number}{path.suffix}")
        if not os.path.lexists(other):
            return other
    raise SourceError(f"{path} and {MAX_NUMBER} others of that name exist")


def write_text(path: Path, text: str, *, replace: bool = False) -> Path:
    """Write UTF-8 text, not over another file unless with `replace`; gives the path. Raises SourceError."""
    free = path if replace else free_path(path)
    file = OutputFile(free)
    file.write(text.encode("utf-8", "replace"))
    file.close()
    if file.error is not None:
        if free.is_file():
            free.unlink()
        raise SourceError(f"{free} cannot be written: {file.error}")
    return free
