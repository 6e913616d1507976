"""`python -m media`: exit codes, one line an error, what it prints."""

import json
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media.__main__ import main, parse_address
from media.simulation.voice import generate_voice

ROOT = Path(__file__).resolve().parents[2]


def test_simulate_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--network", "wifi", "--seconds", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("wifi, seed 1:") and "MOS, listening" in out and "libopus" in out
    assert max(map(len, out.splitlines())) <= 80


def test_devices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("miniaudio")
    assert main(["devices", "--backend", "null"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["microphone", "speaker"]
    assert main(["devices", "--backend", "fax"]) == 1
    assert "no sound backend 'fax'" in capsys.readouterr().err


def test_simulate_as_json_twice_the_same(
    capsys: pytest.CaptureFixture[str], write_wav: Callable[..., Path], tmp_path: Path
) -> None:
    command = ["simulate", "--network", "loss10", "--seed", "3", "--seconds", "3", "--json"]
    command += ["--speech", str(write_wav(generate_voice(3, 2.0))), "--out", str(tmp_path / "new" / "out")]
    assert main(command) == 0
    first, told = capsys.readouterr()
    assert f"wrote {tmp_path / 'new' / 'out' / 'report.json'}" in told
    assert main(command) == 0
    assert capsys.readouterr().out == first
    content = json.loads(first)
    assert content["network"] == "loss10" and len(content["ends"]) == 2
    assert [end["end"] for end in content["ends"]] == ["caller", "callee"]
    written = tmp_path / "new" / "out"
    assert (written / "report.json").read_text() == first
    for name in ("caller", "callee"):
        with wave.open(str(written / f"{name}-heard.wav")) as heard:
            assert heard.getnframes() == pytest.approx(3 * 48_000, abs=960)
            sound = np.frombuffer(heard.readframes(3 * 48_000), "<i2")
            # 2 s of speech, and again: the last second is not silent.
            assert np.abs(sound[-30_000:].astype(int)).max() > 500


def test_a_network_as_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--network", "delay=80 loss=0.5", "--seconds", "2", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["network"] == "delay=80 loss=0.5"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--speech", "absent.wav"], "absent.wav cannot be opened: No such file"),
        (["--speech", "."], "directory"),
        (["--speech", "a", "--speech", "b", "--speech", "c"], "twice at most"),
        (["--seconds", "0.1", "--out", __file__], "not a folder"),
    ],
)
def test_failures_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert main(["simulate", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["simulate", "--network", "loss11"], ["simulate", "--network", "loss=2"], ["relay", "--network", "x"],
     *(["simulate", "--seconds", text] for text in ("0", "-3", "nan", "1e9")), ["relay", "--host", "localhost"], ["simulate", "--seconds", "x"], ["simulate", "--seed", "1.5"], ["relay", "--a", "host:1"],
     ["relay", "--b", "127.0.0.1"], ["relay", "--a", "127.0.0.1:0"]],
)  # fmt: skip
def test_a_wrong_command_line_is_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_profiles_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles"]) == 0
    assert "loss10          10 % random loss\n" in capsys.readouterr().out


def test_addresses() -> None:
    assert parse_address("192.0.2.1:5000") == ("192.0.2.1", 5000)
    assert parse_address("[2001:db8::1]:5000") == ("2001:db8::1", 5000)


def test_a_relay_that_cannot_bind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["relay", "--host", "192.0.2.1"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_network_by_the_name_that_the_option_had_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--profile", "loss10", "--seconds", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["network"] == "loss10" and "--network" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_relay_process_says_where_it_is_and_ends_quietly(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "media", "relay", "--network", "wifi", "--seed", "1", "--counters"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            addresses = json.loads(process.stdout.readline())
            assert addresses["a"][0] == addresses["b"][0] == "127.0.0.1"
            assert 0 < addresses["a"][1] != addresses["b"][1] > 0
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["a_to_b"]["packets_in"] == 0
