"""The rules that ARCHITECTURE.md states, held by a machine: the seam, and a core that is told the time."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(p for package in ("media", "signaling") for p in (ROOT / package).rglob("*.py"))
# What joins the two: it may touch the world.
JOINT = sorted((ROOT / "ringline").rglob("*.py"))

# Folders (and the command lines) that may touch the world.
SHELL = (
    "media/io/", "signaling/client/", "signaling/server/", "signaling/storage/", "signaling/gateways/",
    "signaling/admin/",
    "media/__main__.py", "signaling/__main__.py",
)  # fmt: skip
WORLD = {
    "asyncio", "socket", "threading", "time", "select", "selectors", "subprocess", "multiprocessing",
    "concurrent", "aiohttp", "aioice", "sqlalchemy", "uuid", "secrets",
}  # fmt: skip
# signaling must be installable and importable where there is no media library.
MEDIA_LIBRARIES = {"numpy", "av", "opuslib", "pylibsrtp", "aiortc", "aioice"}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node.lineno


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_seam_and_sans_io(path: Path) -> None:
    package = name(path).split("/")[0]
    other = {"media": "signaling", "signaling": "media"}[package]
    in_shell = name(path).startswith(SHELL)
    for module, line in imports(path):
        where = f"{name(path)}:{line} imports {module}"
        assert module not in (other, "ringline"), (
            f"{where}: the two packages meet in ringline/ and samples/ only"
        )
        assert in_shell or module not in WORLD, f"{where}: the core is told the time and touches nothing"
        if package == "signaling":
            assert module not in MEDIA_LIBRARIES, f"{where}: signaling needs no media library"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_randomness_is_injected(path: Path) -> None:
    if name(path).startswith(SHELL):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
            assert node.attr == "Random", (
                f"{name(path)}:{node.lineno} uses random.{node.attr}: inject a Random"
            )


# A file over 400 lines wants a reason: a second concern in it goes elsewhere, lines alone do not.
LONG: dict[str, str] = {
    "media/jitterbuffer/jitter_buffer.py": "one machine: what is played next, and the account of why",
}


def test_a_long_file_has_its_reason_recorded() -> None:
    long = {name(p) for p in (*SOURCES, *JOINT) if p.read_text().count("\n") > 400}
    assert long <= LONG.keys(), f"over 400 lines, no reason recorded: {sorted(long - LONG.keys())}"
    assert LONG.keys() <= long, f"not long any more: {sorted(LONG.keys() - long)}"


def test_signaling_imports_without_media_libraries() -> None:
    import subprocess

    blocked = sorted(MEDIA_LIBRARIES)
    code = (
        "import sys\n"
        f"for m in {blocked!r}: sys.modules[m] = None\n"
        "import signaling, signaling.client, signaling.server\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
