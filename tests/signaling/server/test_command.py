"""`python -m signaling serve` as a process: start-up line, signals, one-line errors."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINE = re.compile(
    r"Ringline signaling server: (http://127\.0\.0\.1:\d+) \(domain (\S+), data (\S+), SMS to console\)\n"
)


@pytest.fixture
def serve(tmp_path):
    running = []

    def run(*options):
        command = [
            sys.executable,
            "-m",
            "signaling",
            "serve",
            "--port",
            "0",
            "--data",
            str(tmp_path / "data"),
            *options,
        ]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, cwd=ROOT, **pipes))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def fails(process, *words):
    out, err = process.communicate(timeout=20)
    assert process.returncode in (1, 2), err
    assert out == "" and "Traceback" not in err
    for word in words:
        assert word in err
    return err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_drains(serve, tmp_path, number):
    process = serve("--domain", "calls.example")
    found = LINE.fullmatch(process.stdout.readline())
    assert found and found[2] == "calls.example"
    with urllib.request.urlopen(found[1] + "/v1/server", timeout=5) as answer:
        assert b"calls.example" in answer.read()
    # Keys and database are for the owner only.
    keys = tmp_path / "data" / "keys"
    assert keys.stat().st_mode & 0o777 == 0o700
    for path in (*keys.iterdir(), tmp_path / "data" / "ringline.db"):
        assert path.stat().st_mode & 0o777 == 0o600, path
    # A second server on the same folder.
    assert len(fails(serve(), "another server").splitlines()) == 1
    process.send_signal(number)
    out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (0, "", "")
    with pytest.raises(OSError):
        urllib.request.urlopen(found[1] + "/v1/server", timeout=5)


def test_errors_are_one_line(serve, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        (tmp_path / "file").write_text("x")
        started = [
            (serve("--port", port), ("cannot listen", port)),
            (serve("--host", "0.0.0.0"), ("--tls-cert",)),
        ]
        for process, words in started:
            assert len(fails(process, *words).splitlines()) == 1
        for options, words in (
            (("--sms", "pigeon"), ("--sms must be",)),
            (("--data", str(tmp_path / "file" / "x")), ("data folder",)),
            (("--tls-cert", "no.pem", "--tls-key", "no.pem"), ("TLS certificate",)),
        ):
            assert len(fails(serve(*options), *words).splitlines()) == 1
    assert "usage" in fails(serve("--port", "many"))
