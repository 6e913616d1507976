"""The short form of tests/bench/kill_server.py: a server process that is killed under clients loses nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(250)  # calls that the kills leave unanswered take their time to end
def test_no_message_is_lost_or_comes_twice(tmp_path: Path) -> None:
    out = tmp_path / "counts.json"
    command = [
        sys.executable,
        "tests/bench/kill_server.py",
        "--seconds",
        "15",
        "--clients",
        "6",
        "--every",
        "4",
        "--rounds",
        "5",
    ]
    done = subprocess.run([*command, "--out", out], cwd=ROOT, capture_output=True, text=True, timeout=230)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(out.read_text())
    assert counts["kills"] >= 2 and counts["messages accepted"] > 100
    assert counts["arrived exactly once"] + counts["reported to the sender"] == counts["messages accepted"]
    assert counts["acknowledged before a kill"] > 50 and not counts["not true of these"]
    assert not counts["lost"] and "HANGS" not in counts["calls"]
