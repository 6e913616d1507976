"""What a command line says is checked before anything starts: one sentence, nothing made, nobody called."""

from pathlib import Path

import pytest

from ringline.__main__ import main

BOB = "+12025550101"
CALL, ANSWER = ("call", BOB, "--profile", "P"), ("answer", "--profile", "P")
REGISTER = ("register", BOB, "--profile", "new.profile", "--server", "http://127.0.0.1:1")
SERVE = ("serve", "--data", "data")

# (command line, a word of what is said). P is a good profile, README.md a file that is none.
MISTAKES = [
    *(((*end, *option), word) for end in (CALL, ANSWER) for option, word in (
        (("--address", "nonsense"), "not an IP address"),
        (("--address", "192.0.2.77"), "not an address of this machine"),
        (("--address", "127.0.0.1:80"), "not an IP address"),
        (("--network", "nonsense"), "nonsense"),
        (("--network", "delay=nan"), "delay"),
        (("--play", "none.wav"), "none.wav"),
        (("--play", "README.md"), "README.md"),
        (("--play", "."), "directory"),
        (("--video", "none.mp4"), "none.mp4"),
        (("--video", "README.md"), "README.md"),
        (("--seed", "x"), "whole number"),
        (("--record", "heard.xyz"), "heard.xyz"),
        (("--record", "no/folder/x.wav"), "no/folder"),
        (("--report", "no/folder/x.json"), "no/folder"),
        (("--html", "no/folder/x.html"), "no/folder"),
        (("--microphone", "--play", "README.md"), "README.md"),
    )),
    *((("call", "README.md", *rest), "phone number") for rest in (CALL[2:],)),
    (("call", "hello", "--profile", "P"), "not a phone number"),
    (("call", "+1202", "--profile", "P"), "not a valid phone number"),
    (("call", "", "--profile", "P"), "phone number"),
    (("call", "+12025550100", "--profile", "P"), "your own number"),
    *((("call", BOB, "--profile", "P", "--seconds", text), "seconds") for text in ("nan", "inf", "-1", "0", "x", "")),
    *((("call", BOB, "--profile", "P", "--timeout", text), "seconds") for text in ("nan", "inf", "-1", "0", "1e9")),
    *(((*ANSWER, "--ring", text), "seconds") for text in ("nan", "inf", "-1", "1e9")),
    *(((*ANSWER, "--calls", text), "whole number") for text in ("0", "-1", "nan", "1.5", "1000000")),
    ((*ANSWER, "--contacts-only", "--from-anyone"), "not allowed"),
    *((
        (name, *more, "--profile", path), word)
        for name, *more in (("call", BOB), ("answer",), ("whoami",), ("trust", BOB), ("contact", BOB), ("devices",),
                            ("approve", "x"), ("pin",), ("safety-number", BOB), ("remove", "d1"), ("findable",),
                            ("block", BOB), ("blocked",), ("unblock", BOB))
        for path, word in (("README.md", "not a profile"), ("none.profile", "does not exist"), (".", "is a folder"))
    ),
    (("register", "hello", *REGISTER[2:]), "not a phone number"),
    (("register", "+1202", *REGISTER[2:]), "not a valid phone number"),
    ((*REGISTER[:-1], "nonsense"), "not the address of a server"),
    ((*REGISTER[:-1], "http://192.0.2.1:8480"), "not encrypted"),
    ((*REGISTER, "--code", "12x"), "six digits"),
    ((*REGISTER, "--pin", "12"), "6 to 20 digits"),
    ((*REGISTER, "--region", "Mars"), "country"),
    ((*REGISTER[:3], "no/folder/p", *REGISTER[4:]), "no/folder"),
    ((*REGISTER[:3], "README.md", *REGISTER[4:]), "not a profile"),
    (("link", "--profile", "P", "--server", "http://127.0.0.1:1"), "exists"),
    (("link", "--profile", "no/folder/p", "--server", "http://127.0.0.1:1"), "no/folder"),
    (("link", "--profile", "new.profile", "--server", "nonsense"), "not the address of a server"),
    (("pin", "12", "--profile", "P"), "6 to 20 digits"),
    *(((name, "hello", "--profile", "P"), "not a phone number")
      for name in ("trust", "contact", "block", "unblock", "safety-number", "verify")),
    (("approve", "1234", "--profile", "P"), "not a link code"),
    (("findable", "whoever", "--profile", "P"), "whoever"),
    (("sync", "none.vcf", "--profile", "P"), "none.vcf"),
    *(((*SERVE, "--port", text), "port") for text in ("x", "-1", "65536", "nan")),
    *(((*SERVE, "--metrics-port", text), "port") for text in ("x", "-1", "65536")),
    ((*SERVE, "--region", "Mars"), "country"),
    ((*SERVE, "--countries", "Mars"), "country"),
    ((*SERVE, "--sms", "pigeon"), "--sms"),
    ((*SERVE, "--sms", "webhook:nonsense"), "URL"),
    ((*SERVE, "--limits", "none.toml"), "none.toml"),
    ((*SERVE, "--limits", "README.md"), "limits"),
    ((*SERVE, "--domain", "No Domain"), "domain"),
    ((*SERVE, "--turn", "nonsense"), "--turn"),
    ((*SERVE, "--tls-cert", "none.pem"), "--tls-key"),
    ((*SERVE, "--tls-cert", "none.pem", "--tls-key", "none.key"), "none.pem"),
    ((*SERVE, "--host", "nonsense..host"), "nonsense..host"),
    ((*SERVE, "--lan", "nonsense"), "not an IP address"),
    ((*SERVE, "--lan", "192.0.2.77"), "not an IP address of this machine"),
    ((*SERVE, "--lan", "127.0.0.1", "--tls-cert", "x", "--tls-key", "y"), "--lan"),
    ((*REGISTER, "--ca", "none.pem"), "none.pem"),
    ((*REGISTER, "--ca", "README.md"), "PEM"),
    ((*REGISTER, "--ca", "sha256:12"), "64 digits"),
    (("restore", "none.tar", "--data", "data"), "none.tar"),
    *((("simulate", "--seconds", text), "seconds") for text in ("nan", "inf", "-1", "0", "x")),
    (("simulate", "--network", "nonsense"), "nonsense"),
    (("simulate", "--profile", "nonsense"), "nonsense"),
    (("simulate", "--seed", "x"), "whole number"),
    (("simulate", "--speech", "none.wav"), "none.wav"),
    (("simulate", "--speech", "README.md"), "README.md"),
    (("simulate", "--out", "README.md"), "README.md"),
    (("simulate", "--html", "no/folder/x.html"), "no/folder"),
    *((("simulate", *("--speech", "README.md") * 3), "twice"),),
    (("relay", "--host", "nonsense"), "not an IP address"),
    (("relay", "--a", "nonsense"), "nonsense"),
    (("relay", "--network", "nonsense"), "nonsense"),
    (("sound-devices", "--backend", "nonsense"), "nonsense"),
    (("compare", "none.json", "README.md"), "none.json"),
    (("compare", "README.md", "README.md"), "not a report"),
    (("compare", "README.md", "README.md", "--fail-if", "x"), "--fail-if"),
    (("nonsense",), "nonsense"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "word"), MISTAKES, ids=[" ".join(a).replace("/", "|") for a, _ in MISTAKES]
)
def test_a_mistake_is_told_before_anything_starts(
    arguments: tuple[str, ...],
    word: str,
    profile: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(profile.parent)
    Path("README.md").write_text("Not what you look for\n")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    try:
        code = main([str(profile) if argument == "P" else argument for argument in arguments])
    except SystemExit as exit_:  # argparse
        code = int(exit_.code or 0)
    told = capsys.readouterr()
    assert code in (1, 2), told.out
    assert told.err.startswith("error: ") and told.err.count("\n") == 1 and word in told.err, told.err
    assert "Errno" not in told.err and "Traceback" not in told.err
    assert told.out == ""
    after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert after == before
