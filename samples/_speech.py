"""Real speech for the demo: from the machine's package manager, without root, at most 15 s; or a generated voice.

The speech is the voice prompts of Asterisk as Debian packages them (CC-BY-SA and CC-BY, see their copyright files).
"""

import shutil
import subprocess
import time
from pathlib import Path

DEADLINE = 15.0
PACKAGES = {
    "asterisk-core-sounds-en-g722": "usr/share/asterisk/sounds/en_US_f_Allison/demo-instruct.g722",
    "asterisk-core-sounds-it-g722": "usr/share/asterisk/sounds/it_IT_m_Carlo/demo-instruct.g722",
}


def real_speech(cache: Path) -> list[Path]:
    """Two voices, from the cache or fetched into it; fewer when they cannot be had."""
    deadline = time.monotonic() + DEADLINE
    cache.mkdir(parents=True, exist_ok=True)
    found = []
    for package, member in PACKAGES.items():
        target = cache / f"{package}.g722"
        if target.exists() or _fetch(package, member, target, deadline):
            found.append(target)
    return found


def _fetch(package: str, member: str, target: Path, deadline: float) -> bool:
    """Download one package and take one file out of it."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return False
    folder = target.with_suffix(".tmp").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        if not _run(["apt-get", "download", package], folder, deadline):
            # No package lists, as on a new machine: fetch them into a folder of our own, which needs no root.
            lists = target.parent.absolute() / "apt"
            (lists / "state/lists/partial").mkdir(parents=True, exist_ok=True)
            (lists / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
            own = ["-o", f"Dir::State::lists={lists}/state/lists", "-o", f"Dir::Cache={lists}/cache"]
            if not (
                _run(["apt-get", *own, "update"], folder, deadline)
                and _run(["apt-get", *own, "download", package], folder, deadline)
            ):
                return False
        archive = next(folder.glob("*.deb"), None)
        if archive is None or not _run(["dpkg-deb", "-x", str(archive), "."], folder, deadline):
            return False
        shutil.move(folder / member, target)
        return True
    except OSError:
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], folder: Path, deadline: float) -> bool:
    left = deadline - time.monotonic()
    if left <= 0:
        return False
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=left, stdin=subprocess.DEVNULL
        )
    except (subprocess.TimeoutExpired, OSError):
        return False
    return done.returncode == 0
