"""The operator's commands: limits, backup of a server that runs, restore."""

import io
import json
import sqlite3
import tarfile

import pytest

from signaling.__main__ import main
from signaling.logs import pseudonym

ALICE = "+12025550100"


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_limits(capsys):
    assert run("limits", "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert all(row["value"] > 0 for row in table) and len(table) > 10
    assert any("1,000,000 numbers" in row["attack"] and row["unit"] for row in table)


async def test_backup_while_it_runs_and_restore(server, register, tmp_path, capsys):
    phone = await register(ALICE)
    data, file = server._config.data, tmp_path / "backup.tar.gz"
    assert run("backup", "--data", data, file) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("backup", "--data", data, file) == 1  # never over another one
    capsys.readouterr()
    assert run("pseudonym", "--data", data, "+1 (202) 555-0100") == 0
    assert capsys.readouterr().out == pseudonym(ALICE, server.server._context.keys.pepper) + "\n"
    assert run("pseudonym", "--data", tmp_path, ALICE) == run("pseudonym", "--data", data, "x") == 1
    # Not into a folder that a server uses, nor over its data.
    assert run("restore", "--data", data, "--force", file) == 1
    assert "another server uses" in capsys.readouterr().err
    await server.stop()
    assert run("restore", "--data", data, file) == 1
    assert "--force" in capsys.readouterr().err
    # All is lost, and comes back: the device is known, its token and the server's keys are the same.
    keys = {path.name: path.read_bytes() for path in (data / "keys").iterdir()}
    with sqlite3.connect(data / "ringline.db") as database:
        database.execute("DELETE FROM devices")
    database.close()
    for path in (data / "keys").iterdir():
        path.write_bytes(b"lost")
    assert run("restore", "--data", data, "--force", file) == 0
    assert {path.name: path.read_bytes() for path in (data / "keys").iterdir()} == keys
    for path in (*(data / "keys").iterdir(), data / "ringline.db"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not list(data.glob(".restore-*")) and not list(tmp_path.glob(".backup-*"))
    await server.start()
    await phone.access_token()
    await server.stop()
    # Into an empty folder as well.
    assert run("restore", "--data", tmp_path / "new", file) == 0
    assert (tmp_path / "new" / "ringline.db").exists()


def archive(path, **members):
    with tarfile.open(path, "w:gz") as made:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return path


def link(path):
    with tarfile.open(path, "w:gz") as made:
        info = tarfile.TarInfo("ringline.db")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(info)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p, "there is no"),
        (lambda p: p.write_bytes(b"x" * 1000) and p, "cannot be restored"),
        (lambda p: archive(p, **{"../evil": b"x", "keys/signing.pem": b"x"}), "'../evil'"),
        (lambda p: archive(p, **{"keys/../../x": b"x"}), "no backup"),
        (
            lambda p: archive(p, **{"ringline.db": b"x" * 5000, "keys/signing.pem": b"x"}),
            "cannot be restored",
        ),
        (lambda p: archive(p, **{"ringline.db": b""}), "no keys"),
        (lambda p: archive(p, **{"keys/signing.pem": b"x" * 100_000}), "100000 bytes"),
        (link, "no backup"),
    ],
)
def test_what_is_no_backup_changes_nothing(tmp_path, capsys, make, words):
    data = tmp_path / "data"
    (data / "keys").mkdir(parents=True)
    (data / "keys" / "signing.pem").write_bytes(b"old")
    assert run("restore", "--data", data, "--force", make(tmp_path / "x.tar.gz")) == 1
    err = capsys.readouterr().err
    assert words in err and len(err.splitlines()) == 1
    assert (data / "keys" / "signing.pem").read_bytes() == b"old"
    assert sorted(path.name for path in data.iterdir()) == ["keys", "lock"] or "there is no" in words
    assert run("backup", "--data", tmp_path / "nothing", tmp_path / "y.tar.gz") == 1
