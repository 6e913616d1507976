"""Many calls at once: what the figures say of them, and a small run of the whole."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
FIRST, SECOND = ("+12025550100", "+12025550101"), ("+12025550102", "+12025550103")


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    """samples/_load_figures.py"""
    spec = importlib.util.spec_from_file_location("_load_figures", SAMPLES / "_load_figures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def ended(caller: str, end: str, *, lost: bool = False, mos: float = 4.4) -> dict[str, Any]:
    steps = ("ringing", "accepted", "ice_connected", "srtp_keys", "connected", "first_sound")
    measured = {"mos_cq": mos, "delay_ms": 50.0, "jitter_buffer_ms": 20.0, "concealed_percent": 0.0}
    said = {"lost": lost, "reason": "connection_lost" if lost else "hung_up"} if end == "caller" else {}
    record = {
        "kind": "ended",
        "caller": caller,
        "end": end,
        "mos_lq": mos,
        "setup": dict.fromkeys(steps, 0.1),
    }
    return record | measured | said


def both(caller: str, **options: Any) -> list[dict[str, Any]]:
    up = [{"kind": "placed", "caller": caller}, {"kind": "up", "caller": caller}]
    return up + [ended(caller, end, **options) for end in ("caller", "callee")]


def load(late_ms: int = 1) -> dict[str, Any]:
    return {"kind": "load", "pulls": {str(late_ms): 1000}, "lag": {"1": 100}}


def test_a_step_that_meets_its_bounds(figures: ModuleType) -> None:
    step = figures.Step(2, [FIRST, SECOND], records=[*both(FIRST[0]), *both(SECOND[0]), load()])
    step.cost = figures.Cost(media_cores=[0.1, 0.3], server_cores=0.01, machine_busy=0.2, media_mb=20.0)
    result = figures.summarize(step, figures.Bounds())
    assert (result["kept_up"], result["callees_reported"], result["broken"]) == (2, 2, [])
    assert result["where"] is None
    assert result["cost"]["cores_per_call"] == 0.2 and result["cost"]["mb_per_call"] == 10
    assert result["setup_ms"]["connected"] == {"count": 2, "p50": 100, "p95": 100, "p99": 100, "max": 100}
    json.dumps(result)


@pytest.mark.parametrize(
    ("records", "offline", "outcome", "counted"),
    [
        ([], {}, "nothing was heard of it", "unaccounted"),
        ([{"kind": "placed"}], {}, "placed, then nothing was heard", "unaccounted"),
        ([{"kind": "placed"}, {"kind": "up"}], {}, "up, then nothing was heard", "unaccounted"),
        ([{"kind": "failed", "reason": "CallTimeout: x"}], {}, "failed: CallTimeout: x", "failed"),
        ([], {FIRST[1]: "ServerUnreachable"}, "failed: not signed in: ServerUnreachable", "failed"),
        ([ended(FIRST[0], "caller", lost=True)], {}, "lost: connection_lost", "lost"),
    ],
)
def test_every_call_is_accounted_for(
    figures: ModuleType, records: list[dict[str, Any]], offline: dict[str, str], outcome: str, counted: str
) -> None:
    records = [{"caller": FIRST[0]} | record for record in records]
    step = figures.Step(2, [FIRST, SECOND], offline, [*records, *both(SECOND[0]), load()])
    result = figures.summarize(step, figures.Bounds())
    assert step.outcomes() == {FIRST[0]: outcome, SECOND[0]: "hung up"}
    assert result[counted] == 1 and result["reasons"] == {outcome: 1}
    assert sum(result[name] for name in ("kept_up", "lost", "failed", "unaccounted")) == 2
    assert result["broken"]


def test_what_is_broken_and_where(figures: ModuleType) -> None:
    slow = figures.Step(1, [FIRST], records=[*both(FIRST[0], mos=3.9), load(late_ms=80)])
    slow.cost = figures.Cost(media_cores=[0.97, 0.99], server_cores=0.1, machine_busy=0.99)
    result = figures.summarize(slow, figures.Bounds())
    assert result["broken"] == [
        "MOS p5 is 3.9, not above 4",
        "1 % of the sound is played 80 ms late or later, above 20 ms",
    ]
    assert "media process used 0.99 cores" in result["where"] and "99 % busy" in result["where"]
    good = figures.summarize(figures.Step(1, [FIRST], records=[*both(FIRST[0]), load()]), figures.Bounds())
    steps = [good | {"calls": 1}, good | {"calls": 2}, result | {"calls": 3}, good | {"calls": 4}]
    assert figures.knee(steps) == 2
    assert figures.knee(steps[2:]) is None


def test_percentiles_are_those_of_the_nearest_rank(figures: ModuleType) -> None:
    values = [float(n) for n in range(1, 101)]
    assert [figures.percentile(values, p) for p in (0, 5, 50, 99, 100)] == [1, 5, 50, 99, 100]
    assert figures.percentile([], 50) is None
    counts = Counter({1: 98, 5: 1, 40: 1})
    assert [figures.percentile_of_counts(counts, p) for p in (50, 99, 100)] == [1, 5, 40]
    assert figures.percentile_of_counts(Counter(), 50) is None


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SAMPLES / "load_test.py"), "--generated", "--out", str(out), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.long
def test_what_is_no_number_is_told_before_anything_starts(tmp_path: Path) -> None:
    for option in ("--seconds", "--rate", "--min-mos", "--max-late-ms"):
        with start(tmp_path / "out", option, "nan") as process:
            _, told = process.communicate(timeout=30)
        assert process.returncode == 2 and option in told and not (tmp_path / "out").exists()


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except OSError:
            continue
    return found


def wait_until_up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert any(line.endswith("placed are up\n") for line in process.stdout)


@pytest.mark.slow
@pytest.mark.long
def test_four_calls_over_two_processes(tmp_path: Path) -> None:
    process = start(tmp_path, "--steps", "2,4", "--processes", "2", "--seconds", "2", "--min-mos", "3")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    content = json.loads((tmp_path / "load.json").read_text())
    assert [step["kept_up"] for step in content["steps"]] == [2, 4]
    assert "4 kept up + 0 lost + 0 failed + 0 unaccounted = 4, as placed; 4 callees reported" in out
    last = content["steps"][1]
    assert last["mos_lq"]["count"] == 8 and last["mos_lq"]["min"] >= 1
    assert last["setup_ms"]["first_sound"]["count"] == 4
    assert last["playout_late_ms"]["count"] > 8 * 2 * 80  # 10 ms each
    assert "| calls at once | 2 | 4 |" in (tmp_path / "load.md").read_text()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_ctrl_c_tells_what_was_measured_and_leaves_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, "--steps", "1", "--processes", "2", "--seconds", "60")
    wait_until_up(process)
    mine = children(process.pid)
    assert len(mine) == 3
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=40)
    assert process.returncode == 130, out + err
    assert "1 kept up" in out and "it was cut short" in out
    assert not [pid for pid in mine if Path(f"/proc/{pid}").exists()]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    process = start(tmp_path, "--steps", "2,3", "--processes", "2", "--seconds", "3")
    wait_until_up(process)
    workers = [p for p in children(process.pid) if "_load_worker" in Path(f"/proc/{p}/cmdline").read_text()]
    os.kill(workers[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    content = json.loads((tmp_path / "load.json").read_text())
    assert len(content["steps"]) == 1
    step = content["steps"][0]
    assert step["died"] and step["kept_up"] + step["lost"] + step["unaccounted"] == 2
    assert step["callees_reported"] == 1  # the one of the process that lives
