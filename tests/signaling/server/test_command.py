"""`python -m signaling serve` as a process: start-up line, signals, one-line errors."""

import re
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from signaling.__main__ import main
from signaling.server import command

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


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
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
    out, err = serve().communicate(timeout=20)
    assert out == "" and err == f"error: another server uses the data folder {tmp_path / 'data'}\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (0, "", "")
    with pytest.raises(OSError):
        urllib.request.urlopen(found[1] + "/v1/server", timeout=5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "0.0.0.0"), ("--tls-cert",)),
        (("--host", "0.0.0.0", "--behind-proxy"), ("--allow-console-sms",)),
        (("--sms", "pigeon"), ("--sms must be",)),
        (("--sms", "file:{tmp}/none/sms"), ("cannot write the SMS file",)),
        (("--sms", "webhook:ftp://x"), ("http or https",)),
        (("--data", "{tmp}/file/x"), ("data folder",)),
        (("--tls-cert", "no.pem", "--tls-key", "no.pem"), ("TLS certificate",)),
        (("--tls-cert", "{tmp}/file", "--tls-key", "{tmp}/file"), ("TLS certificate",)),
        (("--database", "nonsense://x:secret@y"), ("database",)),
        (
            ("--host", "192.0.2.1", "--behind-proxy", "--sms", "file:{tmp}/sms"),
            ("cannot listen on 192.0.2.1",),
        ),
        (("--port", "{port}"), ("cannot listen", "{port}")),
        (("--countries", "US,XX"), ("XX",)),
        (("--metrics-port", "{port}"), ("cannot listen on 127.0.0.1", "{port}")),
        (("--limits", "{tmp}/none"), ("cannot read the limits",)),
        (("--limits", "{tmp}/file"), ("the limits are no TOML",)),
    ],
)
def test_errors_are_one_line(tmp_path, capsys, options, words):
    (tmp_path / "file").write_text("x")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        values = {"tmp": tmp_path, "port": taken.getsockname()[1]}
        options = [option.format(**values) for option in options]
        assert main(["serve", "--port", "0", "--data", str(tmp_path / "data"), *options]) == 1
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
    assert "secret" not in err
    for word in words:
        assert word.format(**values) in err


@pytest.mark.parametrize(
    "arguments", [["serve", "--port", "many"], ["serve", "--nonsense"], ["nonsense"], []]
)
def test_a_wrong_command_line_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2 and "usage" in capsys.readouterr().err


def test_ctrl_c_is_130_and_quiet(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("signaling.server.command.run", interrupted)
    assert main(["serve"]) == 130
    assert capsys.readouterr() == ("", "")


def test_secrets_come_from_the_environment(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GATEWAY", "webhook:ftp://user:secret@x")
    assert main(["serve", "--port", "0", "--data", str(tmp_path), "--sms", "env:GATEWAY"]) == 1
    err = capsys.readouterr().err
    assert "http or https" in err and "secret" not in err
    with pytest.raises(SystemExit):
        main(["serve", "--sms", "env:NOTHING_OF_THIS_NAME"])
    assert "there is no NOTHING_OF_THIS_NAME" in capsys.readouterr().err


@pytest.mark.parametrize("hard", [resource.RLIM_INFINITY, 4096, 512])
def test_the_server_may_open_as_many_files_as_the_system_lets_it(monkeypatch, hard):
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (512, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    command._allow_open_files()
    assert asked == ([] if hard == 512 else [(4096 if hard == 4096 else command.MAX_OPEN_FILES, hard)])
