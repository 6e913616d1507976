"""What README.md and docs/ tell a newcomer to type exists and works."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringline.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A command in a block or in backticks, up to what ends it.
COMMAND = re.compile(r"(?:^|`)((?:ringline|python -m (?:media|signaling)) [a-z][^`\n#]*)", re.MULTILINE)


def help_of(program: str, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    if program == "media":
        from media.__main__ import main as run
    elif program == "signaling":
        from signaling.__main__ import main as run
    else:
        run = main
    with pytest.raises(SystemExit) as exit_:
        run([command, "--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0, f"{program} {command}"
    return out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[tuple[str, str], str] = {}
    for line in COMMAND.findall(page.read_text()):
        words = line.replace("python -m ", "").split()
        key = words[0], words[1]
        if key not in known:
            known[key] = help_of(*key, capsys)
        for option in (word.partition("=")[0] for word in words[2:] if word.startswith("--")):
            assert re.search(rf"{re.escape(option)}\b", known[key]), f"{page.name}: {line}: no {option}"


def test_what_the_readme_runs_by_path_exists() -> None:
    for path in re.findall(r"\b(?:samples|docs|media)/[\w./-]+\.(?:py|md|json|png)", README):
        assert (ROOT / path).is_file(), path
    for target in re.findall(r"(?:^|`)make ([a-z][a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^[a-z -]*\b{target}\b[a-z -]*:", (ROOT / "Makefile").read_text(), re.MULTILINE), (
            target
        )


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_snippet_compiles_and_needs_nothing_that_is_not_there() -> None:
    (snippet,) = blocks("python")
    compile(snippet, "README.md", "exec")
    assert not re.search(r"^[^#]*AudioFile\(", snippet, re.MULTILINE)


@contextlib.contextmanager
def typed(text: str, folder: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A shell into which the text is pasted at once; all that it started ends with it."""
    environment = os.environ | {"PATH": f"{folder}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    with log.open("wb") as out:
        shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            assert shell.stdin is not None
            shell.stdin.write(text.encode())
            shell.stdin.close()
            yield shell
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
            shell.wait(10)


def wait_for(log: Path, words: str) -> None:
    deadline = time.monotonic() + 50
    while words not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.mark.long
def test_the_blocks_pasted_at_once_and_the_snippet(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "ringline"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m ringline "$@"\n')
    command.chmod(0o755)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    first, second = [block for block in blocks("") if "ringline answer" in block or "ringline call" in block]
    # On a port that is free here, and a short call.
    first = first.replace("ringline serve", f"ringline serve --port {port}")
    first = re.sub(r"(ringline register .*)", rf"\1 --server http://127.0.0.1:{port}", first)
    second = second.replace("ringline call", "ringline call --seconds 1")
    (snippet,) = blocks("python")
    (tmp_path / "snippet.py").write_text(snippet.replace("sleep(20)", "sleep(1)"))
    answering, calling, own = (tmp_path / name for name in ("1.log", "2.log", "3.log"))
    with typed(first, tmp_path, answering):
        wait_for(answering, "waits for calls")
        with typed(second, tmp_path, calling) as shell:
            assert shell.wait(50) == 0, calling.read_text()
        assert "the call ended: you hung up" in calling.read_text() and "MOS" in calling.read_text()
        wait_for(answering, "the call ended: +12025550100 hung up")
        with typed(f"{sys.executable} snippet.py\n", tmp_path, own) as shell:
            assert shell.wait(50) == 0, own.read_text()
        assert "MOS" in own.read_text(), own.read_text()
    assert (tmp_path / "heard.wav").stat().st_size > 48_000
    assert (tmp_path / "answer.wav").stat().st_size > 48_000
