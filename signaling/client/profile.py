"""What a device keeps: who it is, its keys, and whom it knows. One JSON file, mode 0600.

Written to a temporary file, synced and renamed, so that a crash leaves the old or the new one. A lock file
beside it (flock) keeps a second process out: two would overwrite each other's pins.
"""

import contextlib
import fcntl
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.device_list import DeviceList
from signaling.errors import InvalidJid, ProfileError, TokenError
from signaling.jid import Jid
from signaling.phone_number import is_e164
from signaling.tokens import b64url, encode_public_key, unb64url

VERSION = 1


@dataclass(slots=True)
class ProfileData:
    """The file's content. Keys are base64url; pins are number -> device -> key."""

    server: str
    number: str
    jid: str
    device: str
    device_name: str
    device_token: str = field(repr=False)
    private_key: str = field(repr=False)
    pins: dict[str, dict[str, str]] = field(default_factory=dict)
    # The key that made a call be refused, by number: what `trust` acknowledges.
    refused: dict[str, dict[str, str]] = field(default_factory=dict)
    contacts: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    # The version of the newest device list that was believed, by number.
    lists: dict[str, int] = field(default_factory=dict)
    version: int = VERSION


class Profile:
    """A profile file, locked while it is open. Use `Profile.open` or `Profile.create`, and `close`."""

    def __init__(self, path: Path, lock: int, data: ProfileData) -> None:
        self.path = path
        self.data = data
        self._lock: int | None = lock
        self.key = _private_key(path, data.private_key)
        try:
            self.jid = Jid.parse(data.jid).with_resource(data.device)
        except InvalidJid:
            raise ProfileError(f"{path} is not a profile: its address is not valid") from None

    @classmethod
    def open(cls, path: str | Path) -> "Profile":
        """Raises ProfileError when it is missing, broken or in use by another process."""
        path = Path(path)
        if not path.is_file():
            raise ProfileError(f"{path} does not exist: make it with `python -m signaling register`")
        lock = _lock(path)
        try:
            path.chmod(0o600)
            return cls(path, lock, _load(path))
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def create(cls, path: str | Path, data: ProfileData) -> "Profile":
        """Write a new profile. Of an older one of the same number, pins and known numbers are kept."""
        path = Path(path)
        lock = _lock(path)
        try:
            if path.exists():
                old = _load(path)
                if old.number != data.number:
                    raise ProfileError(f"{path} belongs to {old.number}")
                data.pins, data.refused = old.pins, old.refused
                data.contacts, data.called = old.contacts, old.called
                data.lists = old.lists
                for known in (data.pins, data.lists):  # the own devices of before are void
                    known.pop(data.number, None)
            profile = cls(path, lock, data)
            profile.save()
        except BaseException:
            os.close(lock)
            raise
        return profile

    def close(self) -> None:
        """Release the lock. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def number(self) -> str:
        return self.data.number

    @property
    def public_key(self) -> str:
        return encode_public_key(self.key.public_key())

    def save(self) -> None:
        """Raises ProfileError when it cannot be written; the old file then stands."""
        text = json.dumps(asdict(self.data), indent=1)
        try:
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # 0600
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise ProfileError(f"cannot write {self.path}: {error.strerror}") from None

    def knows(self, number: str) -> bool:
        """A contact, or somebody who was called or answered before: may ring."""
        return number in self.data.contacts or number in self.data.called

    def remember(self, number: str) -> None:
        """The number was called, or its call was accepted."""
        if number not in self.data.called:
            self.data.called.append(number)
            self.save()

    def pins(self, number: str) -> dict[str, str]:
        return dict(self.data.pins.get(number, {}))

    def pin(self, number: str, device: str, key: str) -> None:
        self.data.pins.setdefault(number, {})[device] = key
        self.data.refused.pop(number, None)
        self.save()

    def list_version(self, number: str) -> int:
        return self.data.lists.get(number, 0)

    def believe(self, listed: DeviceList) -> None:
        """The devices of a list that a pinned key has signed, or the first one: they are the number's pins now."""
        version = self.data.lists.get(listed.number)
        if (self.data.pins.get(listed.number), version) != (listed.devices, listed.version):
            self.data.pins[listed.number] = dict(listed.devices)
            self.data.lists[listed.number] = listed.version
            self.data.refused.pop(listed.number, None)
            self.save()

    def refuse(self, number: str, device: str, key: str) -> None:
        """A call was refused because of this key: keep it for `trust`."""
        if self.data.refused.get(number) != {device: key}:
            self.data.refused[number] = {device: key}
            self.save()

    def trust(self, number: str) -> str | None:
        """Acknowledge the key that was refused; it replaces all pins of the number (who registers again
        has a new device and loses the old ones). Returns the key, None when none was refused."""
        refused = self.data.refused.pop(number, None)
        if not refused:
            return None
        self.data.pins[number] = refused
        self.data.lists.pop(number, None)
        self.save()
        return next(iter(refused.values()))


def _private_key(path: Path, text: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(unb64url(text, 32))
    except (TokenError, ValueError):
        raise ProfileError(f"{path} is not a profile: its key is not valid") from None


def private_key_text(key: Ed25519PrivateKey) -> str:
    return b64url(key.private_bytes_raw())


def _lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    try:
        handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ProfileError(f"cannot open {lock_path}: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise ProfileError(f"{path} is in use by another process") from None
    return handle


def _load(path: Path) -> ProfileData:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ProfileError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ProfileError(f"{path} is not a profile: it is not JSON") from None
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ProfileError(f"{path} is not a profile of version {VERSION}")
    content.setdefault("lists", {})  # came later
    for item in fields(ProfileData):
        if item.name != "version" and not _valid(item.name, content.get(item.name)):
            raise ProfileError(f"{path} is not a profile: {item.name} is missing or not valid")
    return ProfileData(**{item.name: content[item.name] for item in fields(ProfileData)})


def _valid(name: str, value: Any) -> bool:
    if name in ("pins", "refused"):
        return isinstance(value, dict) and all(
            is_e164(number)
            and isinstance(devices, dict)
            and all(isinstance(key, str) for key in devices.values())
            for number, devices in value.items()
        )
    if name == "lists":
        return isinstance(value, dict) and all(
            is_e164(number) and type(version) is int for number, version in value.items()
        )
    if name in ("contacts", "called"):
        return isinstance(value, list) and all(isinstance(n, str) and is_e164(n) for n in value)
    return isinstance(value, str) and bool(value) and (name != "number" or is_e164(value))
