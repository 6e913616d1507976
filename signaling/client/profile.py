"""What a device keeps: who it is, its keys, and whom it knows. One JSON file, mode 0600.

Written to a temporary file, synced and renamed, so that a crash leaves the old or the new one. Two lock files
beside it (flock): `.lock` is held by the one process that is online with it, `.write` for the moment of a change,
which reads the file anew: so nobody overwrites what another process has just written.
"""

import contextlib
import copy
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.client.server_trust import is_trust
from signaling.device_list import DeviceList
from signaling.errors import InvalidJid, ProfileError, TokenError
from signaling.jid import Jid
from signaling.phone_number import is_e164
from signaling.tokens import b64url, encode_public_key, unb64url

VERSION = 1
SESSION, WRITING = ".lock", ".write"  # what the lock files are called
# A change takes milliseconds; a disk that is busy syncing, a second.
WRITE_TIMEOUT = 5.0
MAX_REMOVED = 100  # devices of a number that are remembered as removed: it has ten at once
Version = tuple[int, int, int]


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
    # The keys whose safety number a person has compared: number -> device -> key, none where they are pinned no more.
    verified: dict[str, dict[str, str]] = field(default_factory=dict)
    # The keys that a list left out after they were pinned, newest last: number -> key -> device. Only a list brings one
    # of them back.
    removed: dict[str, dict[str, str]] = field(default_factory=dict)
    # How the server proves itself, see server_trust.py; "": as every server does.
    server_trust: str = ""
    version: int = VERSION


class Profile:
    """An open profile file. Use `Profile.open` or `Profile.create`, and `close`.

    Several processes may have it open: each change is made to the file's newest content, and what another process
    changed is seen. Only one may be online with it (`online=True`).
    """

    def __init__(self, path: Path, data: ProfileData, session: int | None) -> None:
        self.path = path
        self.data = data
        self._session = session
        self._seen: Version | None = None
        # Who we are does not change while the profile is open, whatever is written there.
        self.key = _private_key(path, data.private_key)
        try:
            self.jid = Jid.parse(data.jid).with_resource(data.device)
        except InvalidJid:
            raise ProfileError(f"{path} is not a profile: its address is not valid") from None

    @classmethod
    def open(cls, path: str | Path, *, online: bool = False) -> "Profile":
        """
        Args:
            path: made by `Profile.create`.
            online: be the one process that is online with it.

        Raises:
            ProfileError: it is missing or broken, or another process is online with it. Nothing is written.
        """
        path = Path(path)
        if not path.is_file():
            if path.is_dir():
                raise ProfileError(f"{path} is a folder, not a profile")
            raise ProfileError(f"{path} does not exist: make it with `ringline register`")
        profile = cls(path, _load(path), None)
        try:
            path.chmod(0o600)
        except OSError as error:
            raise ProfileError(f"cannot make {path} private: {error.strerror}") from None
        if online:
            profile._session = _lock(path, SESSION, 0)
            profile._refresh()
        return profile

    @classmethod
    def create(cls, path: str | Path, data: ProfileData) -> "Profile":
        """Write a new profile. Of an older one of the same number, pins and known numbers are kept."""
        path = Path(path)
        with _written(path):
            if path.exists():
                old = _load(path)
                if old.number != data.number:
                    raise ProfileError(f"{path} belongs to {old.number}")
                data.pins, data.refused = old.pins, old.refused
                data.contacts, data.called = old.contacts, old.called
                data.lists, data.verified, data.removed = old.lists, old.verified, old.removed
                # The own devices of before are void; how new a list must be is not.
                data.pins.pop(data.number, None)
            profile = cls(path, data, None)
            profile._write(data)
        return profile

    def close(self) -> None:
        """Let another process be online with it. Idempotent."""
        if self._session is not None:
            os.close(self._session)
            self._session = None

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def change(self) -> Iterator[ProfileData]:
        """Change the newest content of the file: what is done to it inside is written when the block is left.

        Raises:
            ProfileError: it cannot be written; file and `data` are as before.
        """
        with _written(self.path):
            self._refresh()
            data = copy.deepcopy(self.data)
            yield data
            if data != self.data:
                self._write(data)

    def _refresh(self) -> None:
        """See what another process wrote. A file that is gone, or broken, changes nothing here."""
        seen = _version(self.path)
        if seen is not None and seen != self._seen:
            with contextlib.suppress(ProfileError):
                self.data, self._seen = _load(self.path), seen

    @property
    def number(self) -> str:
        return self.data.number

    @property
    def public_key(self) -> str:
        return encode_public_key(self.key.public_key())

    def save(self) -> None:
        """Write `data` as it is here, over what others wrote. ProfileError as for `change`."""
        with _written(self.path):
            self._write(self.data)

    def _write(self, data: ProfileData) -> None:
        text = json.dumps(asdict(data), indent=1)
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
        self.data, self._seen = data, _version(self.path)

    def knows(self, number: str) -> bool:
        """A contact, or somebody who was called or answered before: may ring."""
        self._refresh()
        return number in self.data.contacts or number in self.data.called

    def remember(self, number: str) -> None:
        """The number was called, or its call was accepted."""
        if number not in self.data.called:
            with self.change() as data:
                if number not in data.called:
                    data.called.append(number)

    def set_contacts(self, add: Iterable[str], remove: Iterable[str] = ()) -> None:
        """Who may ring without having been in a call."""
        with self.change() as data:
            gone = set(remove)
            kept = [number for number in data.contacts if number not in gone]
            data.contacts = list(dict.fromkeys((*kept, *add)))

    def pins(self, number: str) -> dict[str, str]:
        self._refresh()
        return dict(self.data.pins.get(number, {}))

    def pin(self, number: str, device: str, key: str) -> None:
        self._require_other(number)
        with self.change() as data:
            _set_pins(data, number, data.pins.get(number, {}) | {device: key})

    def verified(self, number: str) -> dict[str, str] | None:
        """device -> key as a person has compared them; empty if none of them is left, None if nobody ever did."""
        self._refresh()
        found = self.data.verified.get(number)
        return None if found is None else dict(found)

    def verify(self, number: str, devices: dict[str, str]) -> None:
        """A person has compared the safety number that these keys make: they are the number's."""
        self._require_other(number)
        with self.change() as data:
            _set_pins(data, number, dict(devices))
            data.verified[number] = dict(devices)

    def _require_other(self, number: str) -> None:
        """The devices of the own number are known by linking and by lists, never by what somebody sees of them."""
        if number == self.number:
            raise ProfileError("that is the own number: see `ringline devices`")

    def own_list(self) -> DeviceList | None:
        """The list of the own account, as far as this device knows it; None while there is none."""
        devices, version = self.pins(self.number), self.list_version(self.number)
        if not version or devices.get(self.data.device) != self.public_key:
            return None
        return DeviceList(self.number, self.jid.domain, version, devices, self.data.device)

    def list_version(self, number: str) -> int:
        self._refresh()
        return self.data.lists.get(number, 0)

    def believe(self, listed: DeviceList) -> None:
        """The devices of a list to which pinned keys lead: they are the number's pins now, if none is newer."""
        number, version = listed.number, listed.version
        with self.change() as data:
            if version >= data.lists.get(number, 0) and (data.pins.get(number), data.lists.get(number)) != (
                listed.devices,
                version,
            ):
                _note_removed(data, listed)
                _set_pins(data, number, dict(listed.devices))
                data.lists[number] = version

    def was_removed(self, number: str, key: str) -> bool:
        """Whether a list that was believed has taken this key off the number."""
        self._refresh()
        return key in self.data.removed.get(number, {})

    def refuse(self, number: str, device: str, key: str) -> None:
        """A call was refused because of this key: keep it for `trust`."""
        with self.change() as data:
            data.refused[number] = {device: key}

    def trust(self, number: str) -> str | None:
        """Acknowledge the key that was refused; it replaces all pins of the number (who registers again
        has a new device and loses the old ones). How new a list of the number must be stays, so that no device that
        was removed comes back. Returns the key, None when none was refused."""
        self._require_other(number)
        with self.change() as data:
            refused = data.refused.pop(number, None)
            if not refused:
                return None
            _set_pins(data, number, refused)
        return next(iter(refused.values()))


def _note_removed(data: ProfileData, listed: DeviceList) -> None:
    there = set(listed.devices.values())
    gone = {key: device for device, key in data.pins.get(listed.number, {}).items() if key not in there}
    left = {key: device for key, device in data.removed.get(listed.number, {}).items() if key not in there}
    if left or gone:
        data.removed[listed.number] = dict([*left.items(), *gone.items()][-MAX_REMOVED:])
    else:
        data.removed.pop(listed.number, None)


def _set_pins(data: ProfileData, number: str, devices: dict[str, str]) -> None:
    """What a person has verified stays so as long as it is pinned."""
    data.pins[number] = devices
    data.refused.pop(number, None)
    if (verified := data.verified.get(number)) is not None:
        data.verified[number] = dict(verified.items() & devices.items())


def _private_key(path: Path, text: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(unb64url(text, 32))
    except (TokenError, ValueError):
        raise ProfileError(f"{path} is not a profile: its key is not valid") from None


def private_key_text(key: Ed25519PrivateKey) -> str:
    return b64url(key.private_bytes_raw())


def _version(path: Path) -> Version | None:
    """What tells one state of the file from another; None if there is no file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """While inside, nobody else writes the profile."""
    lock = _lock(path, WRITING, WRITE_TIMEOUT)
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path, what: str, timeout: float) -> int:
    lock_path = path.with_name(path.name + what)
    try:
        handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ProfileError(f"cannot open {lock_path}: {error.strerror}") from None
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except OSError:
            if time.monotonic() >= deadline:
                os.close(handle)
                online = "another program is online with it; end that one first"
                doing = online if what == SESSION else "another program is writing it; try again"
                raise ProfileError(f"{path} is in use: {doing}") from None
        time.sleep(0.002)


def _load(path: Path) -> ProfileData:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ProfileError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ProfileError(f"{path} is not a profile: it is not JSON") from None
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ProfileError(f"{path} is not a profile of version {VERSION}")
    for later in ("lists", "verified", "removed"):  # profiles of before have none
        content.setdefault(later, {})
    content.setdefault("server_trust", "")
    for item in fields(ProfileData):
        if item.name != "version" and not _valid(item.name, content.get(item.name)):
            raise ProfileError(f"{path} is not a profile: {item.name} is missing or not valid")
    return ProfileData(**{item.name: content[item.name] for item in fields(ProfileData)})


def _valid(name: str, value: Any) -> bool:
    if name in ("pins", "refused", "verified", "removed"):
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
    if name == "server_trust":
        return isinstance(value, str) and is_trust(value)
    if name in ("contacts", "called"):
        return isinstance(value, list) and all(isinstance(n, str) and is_e164(n) for n in value)
    return isinstance(value, str) and bool(value) and (name != "number" or is_e164(value))
