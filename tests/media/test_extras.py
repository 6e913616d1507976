"""Errors about what is not installed name a command that works here."""

import sys
from pathlib import Path

import pytest

from media import MediaError, Speaker, extras

ROOT = Path(__file__).resolve().parents[2]


def test_in_the_checkouts_own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(ROOT / ".venv"))
    monkeypatch.chdir(ROOT)
    assert extras.how_to_install("devices") == "make devices"
    monkeypatch.chdir(tmp_path)
    assert extras.how_to_install("devices") == f"make -C {ROOT} devices"


@pytest.mark.parametrize("checkout", [ROOT, None], ids=["checkout", "installed"])
def test_in_another_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checkout: Path | None
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(extras, "CHECKOUT", checkout or tmp_path)
    command = extras.how_to_install("devices")
    assert command.startswith(f"{sys.executable} -m pip install ")
    assert "miniaudio" in command and "pywebrtc-audio" in command and "ringline[" not in command
    assert "ruff" not in command


def test_makes_targets_are_those_that_are_named() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY:")).split()
    assert {"devices", "postgres", "quality"} <= set(phony)


def test_a_missing_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "miniaudio", None)
    with pytest.raises(MediaError) as error:
        Speaker()
    assert extras.how_to_install("devices") in str(error.value)
