"""The folder of a server's data: locked for one process, with the database in it. Raises ServerStartError."""

import fcntl
import os
import shlex
import sys
from pathlib import Path
from typing import TextIO

from sqlalchemy.exc import SQLAlchemyError

from signaling.errors import ServerStartError
from signaling.limits_file import parse_limits
from signaling.server_config import ServerConfig
from signaling.server_limits import Limits
from signaling.storage.store import Store


def lock_data(data: Path) -> TextIO:
    """Locks the data folder for this process. Closing the file unlocks."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (data / "lock").open("a")
    except OSError as error:
        raise ServerStartError(f"cannot use the data folder {data}: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ServerStartError(f"another server uses the data folder {data}") from None
    return file


def load_limits(path: Path | None) -> Limits:
    """Those of the file; without one the default."""
    if path is None:
        return Limits()
    try:
        return parse_limits(path.read_text())
    except (OSError, ValueError) as error:
        raise ServerStartError(
            f"cannot read the limits in {path}: {getattr(error, 'strerror', None) or error}"
        ) from None


async def open_store(config: ServerConfig) -> Store:
    url = config.database
    if not url:
        path = config.data / "ringline.db"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        url = f"sqlite:///{path}"
    try:
        return await Store.open(url)
    except ImportError as error:
        raise ServerStartError(
            f"the driver of this database is not installed: {shlex.quote(sys.executable)} -m pip install {error.name}"
        ) from None
    except (SQLAlchemyError, OSError) as error:
        # The URL may hold a password, and so may the message.
        raise ServerStartError(f"cannot open the database ({type(error).__name__})") from None
