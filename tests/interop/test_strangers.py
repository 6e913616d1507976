"""The short form of `make bench-strangers`: what strangers cost those who call and sign in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(150)
def test_strangers_keep_nobody_waiting_and_nobody_out(tmp_path: Path) -> None:
    out = tmp_path / "strangers.json"
    command = [sys.executable, "tests/bench/strangers.py", "--seconds", "6", "--out", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=140)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())
    assert {"nobody", "flood", "idle", "slow", "wrong logins", "all"} <= results.keys()
    assert all(result["calls"] and result["sign-ins"] for name, result in results.items() if name != "log")
