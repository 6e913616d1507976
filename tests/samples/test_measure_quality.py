"""The demo, as `make demo` runs it, with a generated voice and a short call."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "samples" / "measure_quality.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)


@pytest.mark.long
def test_a_measured_call(tmp_path: Path) -> None:
    done = run("--generated", "--talk", "2", "--network", "loss5", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["schema"] == "ringline-report/1" and report["network"] == "loss5"
    assert [end["end"] for end in report["ends"]] == ["caller", "callee"]
    for end in report["ends"]:
        assert end["end_reason"] == "hung_up"
        assert [step for step, at in end["setup"].items() if at is None] == ["preconnected"]
        assert end["summary"]["mos_lq"] > 2
        assert 30 < end["summary"]["rtt_ms"] < 120
    assert "MOS" in done.stdout


@pytest.mark.long
def test_errors_are_one_line(tmp_path: Path) -> None:
    for arguments, words in (
        (("--network", "nonsense"), "nonsense"),
        (("--speech", str(tmp_path / "none.wav")), "none.wav"),
    ):
        done = run(*arguments, "--out", str(tmp_path))
        assert done.returncode == 1
        assert done.stderr.startswith("error: ") and words in done.stderr
        assert done.stderr.count("\n") == 1
