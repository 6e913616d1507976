"""The command `ringline`: what it lists is what it runs."""

import subprocess
import sys

import pytest

import ringline
from ringline.__main__ import LAZY, main


def listed() -> list[str]:
    """The commands that `ringline --help` names."""
    done = subprocess.run(
        [sys.executable, "-m", "ringline", "--help"], capture_output=True, text=True, env={"COLUMNS": "200"}
    )
    assert done.returncode == 0
    rows = (line for line in done.stdout.splitlines() if line.startswith("    ") and line[4] != " ")
    return [row.split()[0] for row in rows]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"ringline {ringline.__version__}\n"


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    names = listed()
    assert {"call", "answer", "serve", "register", "simulate", "compare", "sound-devices"} <= set(names)
    for name in names:
        with pytest.raises(SystemExit) as exit_:
            main([name, "--help"])
        out = capsys.readouterr().out
        assert exit_.value.code == 0 and f"usage: ringline {name}" in out and len(out.splitlines()) > 3, name


@pytest.mark.parametrize("name", [n for n, lazy in LAZY.items() if lazy.command])
def test_the_engines_commands_are_the_engines(name: str) -> None:
    from media.__main__ import COMMANDS

    assert LAZY[name].command in COMMANDS


def test_the_server_starts_without_the_media_libraries() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('numpy', 'av', 'aiortc', 'opuslib')))\n"
        "from ringline.__main__ import main; main(['serve', '--port', 'nonsense'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and "nonsense" in done.stderr


def test_what_is_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: ringline" in (shown := capsys.readouterr().err) and "register" in shown
    for wrong, told in (
        ("cal", "do you mean call?"),
        ("regsiter", "do you mean register?"),
        ("xyzzy", "no command"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main([wrong])
        assert exit_.value.code == 2
        error = capsys.readouterr().err
        assert told in error and len(error.splitlines()) == 1
