"""Backup of a server's data while it runs, and its restoring while it does not: one .tar.gz with database and keys."""

import os
import re
import sqlite3
import tarfile
import tempfile
import zlib
from contextlib import closing
from pathlib import Path

from signaling.errors import DataError
from signaling.storage.data_folder import lock_data

DATABASE = "ringline.db"
_KEY = re.compile(r"keys/[a-z][a-z0-9.-]{0,40}")
MAX_KEY_BYTES = 64 * 1024


def backup(data: Path, target: Path) -> list[str]:
    """Writes `target` (0600), whole or not at all; returns the names in it. Raises DataError.

    The database is copied by SQLite itself: consistent, whatever the server is writing meanwhile. Without a database
    in the folder (PostgreSQL) only the keys are in it.
    """
    if target.exists():
        raise DataError(f"{target} exists already")
    keys = sorted((data / "keys").glob("*"))
    if not keys:
        raise DataError(f"{data} is not the data folder of a server: there are no keys in it")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as folder:  # 0700
            members = [(path, f"keys/{path.name}") for path in keys if path.is_file()]
            if (data / DATABASE).exists():
                copy = Path(folder) / DATABASE
                with (
                    closing(sqlite3.connect(data / DATABASE)) as source,
                    closing(sqlite3.connect(copy)) as into,
                ):
                    source.backup(into)
                _check_database(copy)
                members.insert(0, (copy, DATABASE))
            unfinished = Path(folder) / "backup.tar.gz"
            with (
                os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file,
                tarfile.open(fileobj=file, mode="w:gz") as archive,
            ):
                for path, name in members:
                    archive.add(path, name, recursive=False)
            unfinished.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise DataError(f"the backup failed: {error}") from None
    return [name for _, name in members]


def restore(source: Path, data: Path, *, force: bool) -> list[str]:
    """Puts what backup() wrote into the data folder, which no server may be using; returns the names.

    Data that is there already is replaced only with `force`. Everything is read and checked before anything is
    replaced. Raises DataError, ServerStartError.
    """
    if not source.is_file():
        raise DataError(f"there is no {source}")
    with lock_data(data):
        if not force and ((data / DATABASE).exists() or any((data / "keys").glob("*"))):
            raise DataError(f"{data} holds the data of a server; --force replaces it")
        try:
            with tempfile.TemporaryDirectory(prefix=".restore-", dir=data) as folder:
                names = _unpack(source, Path(folder))
                (data / "keys").mkdir(mode=0o700, exist_ok=True)
                if DATABASE in names:
                    # What SQLite has not yet taken over from its log belongs to the old database.
                    for rest in data.glob(f"{DATABASE}-*"):
                        rest.unlink()
                for name in names:
                    (Path(folder) / name).replace(data / name)
        except (OSError, EOFError, zlib.error, tarfile.TarError, sqlite3.Error) as error:
            raise DataError(f"{source} cannot be restored: {error}") from None
    return names


def _unpack(source: Path, folder: Path) -> list[str]:
    (folder / "keys").mkdir(mode=0o700)
    names = []
    with tarfile.open(source, "r:gz") as archive:
        for member in archive:
            is_key = _KEY.fullmatch(member.name) is not None
            content = archive.extractfile(member) if member.isreg() else None
            if content is None or not (is_key or member.name == DATABASE):
                raise DataError(f"{source} is no backup: there is {member.name!r} in it")
            if is_key and member.size > MAX_KEY_BYTES:
                raise DataError(f"{source} is no backup: a key of {member.size} bytes")
            with os.fdopen(os.open(folder / member.name, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                while block := content.read(1 << 20):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            names.append(member.name)
    if "keys/signing.pem" not in names:
        raise DataError(f"{source} is no backup: there are no keys in it")
    if DATABASE in names:
        _check_database(folder / DATABASE)
    return names


def _check_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise DataError(f"{path.name} is damaged")
