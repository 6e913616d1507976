"""How to install what only some need, in the way in which Ringline itself was installed."""

import shlex
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def how_to_install(extra: str) -> str:
    """A command for a shell. No package index has Ringline, so its own name is not in it."""
    own = CHECKOUT / ".venv"
    if (CHECKOUT / "Makefile").is_file() and Path(sys.prefix).resolve() == own:
        where = "" if Path.cwd() == CHECKOUT else f"-C {shlex.quote(str(CHECKOUT))} "
        return f"make {where}{extra}"
    packages = " ".join(shlex.quote(package) for package in packages_of(extra))
    return f"{shlex.quote(sys.executable)} -m pip install {packages}"


def packages_of(extra: str) -> list[str]:
    """What pyproject.toml lists under the extra's name, from a checkout or from what is installed."""
    project = CHECKOUT / "pyproject.toml"
    if project.is_file():
        found: list[str] = tomllib.loads(project.read_text())["project"]["optional-dependencies"][extra]
        return found
    try:
        lines = [line.partition(";") for line in requires("ringline") or ()]
    except PackageNotFoundError:
        return []
    return [package.strip() for package, _, marker in lines if f"'{extra}'" in marker.replace('"', "'")]
