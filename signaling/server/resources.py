"""What the server opens before it serves: the data folder, the database, the certificate. Raises ServerStartError."""

import fcntl
import os
import ssl
from pathlib import Path
from typing import TextIO

from sqlalchemy.exc import SQLAlchemyError

from signaling.errors import ServerStartError
from signaling.server.store import Store
from signaling.server_config import ServerConfig


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


async def open_store(config: ServerConfig) -> Store:
    url = config.database
    if not url:
        path = config.data / "ringline.db"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        url = f"sqlite+aiosqlite:///{path}"
    try:
        return await Store.open(url)
    except (SQLAlchemyError, OSError, ImportError) as error:
        # The URL may hold a password, and so may the message.
        raise ServerStartError(f"cannot open the database ({type(error).__name__})") from None


def load_tls(context: ssl.SSLContext, config: ServerConfig) -> None:
    """Reads certificate and key, the first time or again; who is connected keeps what he has."""
    assert config.tls_cert is not None
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ServerStartError(f"cannot read the TLS certificate or key: {error.strerror}") from None
