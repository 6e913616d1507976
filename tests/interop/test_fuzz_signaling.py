"""The short form of `make fuzz`: nothing that is sent to a server process breaks it, or keeps others waiting."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(240)  # 20 s of it, and what the server and those that were sent on their way may take
def test_nothing_breaks_the_server(tmp_path: Path) -> None:
    command = [sys.executable, "tests/fuzz/fuzz_signaling.py", "--minutes", "0.34", "--out", str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as process:
        try:
            said, _ = process.communicate(timeout=220)
        finally:  # if it hangs, with its server and its attackers
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["problems"] == [] and summary["healthy rounds"] > 0
    # All three were at it, and got past the login.
    assert all(summary["inputs"][kind] > 100 for kind in ("http request", "websocket frame", "xml"))
    assert summary["answers"]["login online"] > 10 and summary["answers"]["iq error"] > 10
