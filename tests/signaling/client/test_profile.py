"""The profile file: private, whole or not at all, one process at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.client.profile import Profile, ProfileData, private_key_text
from signaling.device_list import DeviceList
from signaling.errors import ProfileError
from signaling.identity import new_device_key

ALICE, BOB, CAROL = "+12025550100", "+12025550101", "+12025550102"


def data(**changes: Any) -> ProfileData:
    values = {
        "server": "http://127.0.0.1:1",
        "number": ALICE,
        "jid": f"{ALICE}@calls.example",
        "device": "d0123456789abcdef",
        "device_name": "test",
        "device_token": "token",
        "private_key": private_key_text(new_device_key()),
    }
    return ProfileData(**{**values, **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Profile.create(tmp_path / "alice.profile", data()).close()
    return tmp_path / "alice.profile"


def test_what_is_saved_comes_back(path: Path) -> None:
    with Profile.open(path) as profile:
        profile.pin(BOB, "d1", "key")
        profile.remember(BOB)
        key = profile.public_key
    with Profile.open(path) as profile:
        assert profile.pins(BOB) == {"d1": "key"} and profile.knows(BOB)
        assert profile.public_key == key
        assert str(profile.jid) == f"{ALICE}@calls.example/d0123456789abcdef"


def test_it_is_private_and_leaves_no_temporary_file(path: Path) -> None:
    path.chmod(0o644)
    with Profile.open(path) as profile:
        profile.save()
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in path.parent.iterdir()) == ["alice.profile", "alice.profile.write"]


def test_one_process_is_online_with_it(path: Path) -> None:
    with Profile.open(path, online=True), pytest.raises(ProfileError, match="in use"):
        Profile.open(path, online=True)
    with Profile.open(path, online=True):
        code = f"from signaling.client import Profile; Profile.open({str(path)!r}, online=True)"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "another program is online with it" in other.stderr
    Profile.open(path, online=True).close()


def test_what_others_change_is_seen_and_kept(path: Path) -> None:
    with Profile.open(path, online=True) as online, Profile.open(path) as other:
        other.set_contacts((BOB,))
        assert online.knows(BOB)
        online.pin(BOB, "d1", "key")
        other.remember(CAROL)
        assert other.pins(BOB) == {"d1": "key"} and online.knows(CAROL)
    with Profile.open(path) as profile:
        assert profile.pins(BOB) == {"d1": "key"} and profile.knows(BOB) and profile.knows(CAROL)


@pytest.mark.long
def test_many_writers_lose_nothing(path: Path) -> None:
    code = (
        "import sys\n"
        "from signaling.client import Profile\n"
        f"profile = Profile.open({str(path)!r})\n"
        "for n in range(20): profile.remember(f'+1202555{sys.argv[1]}{n:02d}')"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(which)]) for which in (10, 11, 12)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with Profile.open(path) as profile:
        assert len(profile.data.called) == 60


def test_a_profile_that_was_deleted_is_written_again(path: Path) -> None:
    with Profile.open(path) as profile:
        path.unlink()
        profile.remember(BOB)
    with Profile.open(path) as profile:
        assert profile.knows(BOB)


@pytest.mark.parametrize("content", ["# Readme", "{}", ""])
def test_what_is_no_profile_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(content)
    path.chmod(0o644)
    for online in (False, True):
        with pytest.raises(ProfileError, match="not a profile"):
            Profile.open(path, online=online)
    assert path.stat().st_mode & 0o777 == 0o644 and list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_text()
    with Profile.open(path) as profile:
        monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(ProfileError, match="No space"):
            profile.pin(BOB, "d1", "key")
    assert path.read_text() == before
    assert len(list(path.parent.iterdir())) == 2


def test_registering_again_keeps_the_pins(path: Path) -> None:
    with Profile.open(path) as profile:
        profile.pin(BOB, "d1", "key")
    with Profile.create(path, data(device="d2")) as profile:
        assert profile.pins(BOB) == {"d1": "key"} and profile.data.device == "d2"
    with pytest.raises(ProfileError, match="belongs to"):
        Profile.create(path, data(number=BOB, jid=f"{BOB}@calls.example"))


def test_registering_again_voids_the_own_devices_but_no_version(path: Path) -> None:
    with Profile.open(path) as profile:
        own = {profile.data.device: profile.public_key}
        profile.believe(DeviceList(ALICE, "calls.example", 7, own, profile.data.device))
        assert profile.own_list() is not None
    with Profile.create(path, data(device="d2")) as profile:
        assert (profile.pins(ALICE), profile.list_version(ALICE)) == ({}, 7)
        assert profile.own_list() is None, "it speaks for nobody before it has a list of its own"


def test_an_older_list_that_another_process_believes_changes_nothing(path: Path) -> None:
    with Profile.open(path) as one, Profile.open(path) as two:
        one.believe(DeviceList(BOB, "calls.example", 7, {"d1": "new"}, "d1"))
        two.believe(DeviceList(BOB, "calls.example", 6, {"d0": "old"}, "d0"))
        assert one.pins(BOB) == two.pins(BOB) == {"d1": "new"} and two.list_version(BOB) == 7


def test_what_was_compared_is_verified_as_long_as_it_is_pinned(path: Path) -> None:
    with Profile.open(path) as profile:
        assert profile.verified(BOB) is None
        profile.verify(BOB, {"d1": "a", "d2": "b"})
    with Profile.open(path) as profile:
        assert profile.verified(BOB) == profile.pins(BOB) == {"d1": "a", "d2": "b"}
        profile.pin(BOB, "d3", "c")
        assert profile.verified(BOB) == {"d1": "a", "d2": "b"}
        profile.believe(DeviceList(BOB, "calls.example", 1, {"d1": "a", "d2": "other"}, "d1"))
        assert profile.verified(BOB) == {"d1": "a"}
        profile.refuse(BOB, "d9", "new")
        profile.trust(BOB)
        assert profile.verified(BOB) == {}


def test_trust_takes_the_key_that_was_refused(path: Path) -> None:
    with Profile.open(path) as profile:
        assert profile.trust(BOB) is None
        profile.pin(BOB, "d1", "old")
        profile.refuse(BOB, "d2", "new")
        assert profile.pins(BOB) == {"d1": "old"}
        assert profile.trust(BOB) == "new"
        assert profile.pins(BOB) == {"d2": "new"} and profile.trust(BOB) is None


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="does not exist"):
        Profile.open(tmp_path / "none")
    with pytest.raises(ProfileError, match="is a folder"):
        Profile.open(tmp_path)
    with pytest.raises(ProfileError, match="cannot open"):
        Profile.create(tmp_path / "no" / "folder", data())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(
        ["", "pins", "verified", "lists", "number", "jid", "device", "private_key", "contacts", "version"]
    ),
    JSON,
    st.binary(),
)
def test_any_content_is_refused_or_usable(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: Any, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "p"
    with Profile.create(path, data()):
        pass
    content = json.loads(path.read_text())
    if name:
        content[name] = value
        path.write_text(json.dumps(content))
    else:
        path.write_bytes(junk)
    try:
        with Profile.open(path) as profile:
            profile.pins(BOB)
            profile.save()
    except ProfileError as error:
        assert len(str(error).splitlines()) == 1
