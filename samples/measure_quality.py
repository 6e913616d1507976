"""A real, measured call: the signaling server and two clients in processes of their own, real speech both ways, an
emulated network between them, and a report of how good it was.

    python samples/measure_quality.py                        # 10 s over the network `wifi`
    python samples/measure_quality.py --network loss10 --talk 20 --speech mine.wav

The speech is --speech FILE, or fetched once with the machine's package manager, or else a generated voice.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _checkout import EXIT_FAILED, EXIT_INTERRUPTED, ROOT
from _speech import real_speech

from media import MediaError, get_profile, load_speech
from media.codecs.base import Samples
from media.io.outputs import check_output, write_text
from media.quality.html import render_html
from media.quality.report import QualityReport, document
from media.quality.speech import score
from media.quality.table import render
from ringline.video import compare

ALICE, BOB = "+12025550100", "+12025550101"  # numbers reserved for fiction
STARTED = time.monotonic()
START_TIMEOUT, CALL_TIMEOUT = 20.0, 30.0
RATE = 48000
ROLES = {"alice": "caller", "bob": "callee"}


class DemoError(Exception):
    """A part of the demo failed; the message is for the user."""


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


@contextlib.contextmanager
def process(name: str, *command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A Python process of ours; ended when the block is left, whatever happens."""
    child = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child.stdout is not None:
            child.stdout.close()


def wait_for_line(child: subprocess.Popen[str], start: str, name: str, show: bool = False) -> str:
    """The first line that begins with `start`. A process that ends before that is an error."""
    assert child.stdout is not None
    seen = []
    for line in child.stdout:
        seen.append(line.rstrip())
        if line.startswith(start):
            return line.rstrip()
        if show:
            say(f"{name}: {line.rstrip()}")
    raise DemoError(f"{name} ended: {' / '.join(seen[-3:]) or 'without a word'}")


def register(number: str, server: str, sms: Path, profile: Path) -> None:
    command = [
        "-m",
        "signaling",
        "register",
        number,
        "--server",
        server,
        "--profile",
        profile,
        "--sms-file",
        sms,
    ]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, cwd=ROOT, timeout=START_TIMEOUT
    )
    if done.returncode:
        raise DemoError(f"{number} could not register: {done.stderr.strip() or done.stdout.strip()}")
    say(done.stdout.strip().split(";")[0])


def choose_speech(options: argparse.Namespace) -> list[Path | None]:
    """What caller and callee say; None is the generated voice."""
    if options.speech:
        load_speech(options.speech, 1.0)  # a file that cannot be read is told now
        return [options.speech, options.speech]
    if options.generated:
        say("both ends speak with a generated voice")
        return [None, None]
    say("looking for real speech (15 s at most, then a generated voice is used)")
    found = real_speech(options.cache)
    if not found:
        say("no real speech could be had: both ends speak with a generated voice")
        return [None, None]
    say(f"real speech: {', '.join(path.stem for path in found)}")
    return [found[0], found[-1]]


def call(options: argparse.Namespace, folder: Path) -> None:
    """Server, registration, call. The clients write their reports and recordings into `folder` and --out."""
    speech = choose_speech(options)
    sms = folder / "sms.jsonl"
    serve = ("-m", "signaling", "serve", "--port", "0", "--data", folder / "data", "--sms", f"file:{sms}")
    with process("server", *serve) as server:
        line = wait_for_line(server, "Ringline signaling server", "the server")
        url = line.split()[3]
        say(line)
        profiles = {}
        for name, number in (("alice", ALICE), ("bob", BOB)):
            profiles[name] = folder / f"{name}.profile"
            register(number, url, sms, profiles[name])
        network = [
            "--network",
            options.network,
            "--seed",
            str(options.seed),
            "--quiet",
            "--video",
            options.video,
        ]
        samples = ROOT / "samples"

        def end(name: str, voice: Path | None) -> list[str | Path]:
            play = ["--play", voice.absolute()] if voice else []
            heard, report = options.out / f"{name}-heard.wav", folder / f"{name}.json"
            return [
                "--profile",
                profiles[name],
                "--record",
                heard.absolute(),
                "--report",
                report,
                *play,
                *network,
            ]

        answer = (samples / "answer_call.py", "--once", *end("bob", speech[1]))
        place = (samples / "place_call.py", BOB, "--seconds", str(options.talk), *end("alice", speech[0]))
        with process("callee", *answer) as callee:
            wait_for_line(callee, BOB, "the callee")
            say(f"{BOB} waits for calls; {ALICE} calls over the emulated network {options.network!r}")
            with process("caller", *place) as caller:
                wait_for_line(callee, ALICE, "the callee")
                say(f"{BOB} rings and answers")
                say(f"{wait_for_line(caller, 'connected', 'the caller')}; talking for {options.talk:g} s")
                wait_for_line(caller, "the call ended", "the caller")
                if caller.wait(CALL_TIMEOUT) or callee.wait(CALL_TIMEOUT):
                    raise DemoError("a client did not end well")
    say("hung up; comparing what was heard with what was said")
    report(options, folder, speech)


def report(options: argparse.Namespace, folder: Path, speech: list[Path | None]) -> None:
    """Join both ends' reports with what was said and heard, print and write the whole."""
    ends = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("alice", "bob")}
    reports = []
    for name, other, voice in (("alice", "bob", speech[1]), ("bob", "alice", speech[0])):
        measured = QualityReport.from_dict(ends[name]["ends"][0])
        if voice is not None:
            spoken = load_speech(voice, options.talk)
            heard = load_speech(options.out / f"{name}-heard.wav")
            # Both clocks are this machine's: put the recording on the time line of the other end's microphone.
            late = ends[name]["clock"]["speaker_started"] - ends[other]["clock"]["microphone_started"]
            shift = round(late * RATE)
            heard = np.pad(heard, (shift, 0)) if shift >= 0 else heard[-shift:]
            measured = measured.with_speech(score(spoken, heard))
        if options.video != "none":
            seen = compare(
                ends[other]["pictures"], ends[name]["pictures"], pattern=options.video == "pattern"
            )
            measured = measured.with_video(score=seen) if seen is not None else measured
        reports.append(measured)
    path = options.out / "report.json"
    path.write_text(document(*reports, network=options.network))
    print(render(reports), flush=True)
    say(f"wrote {path} and what was heard, {options.out}/alice-heard.wav and bob-heard.wav")
    write_page(options, sounds_of_call(ends, options.out, speech))


def sounds_of_call(ends: dict[str, Any], folder: Path, speech: list[Path | None]) -> dict[str, Samples]:
    """What both ends said and heard in the call, on one time line: as long as each other, the same sample at once."""
    voices = dict(zip(("alice", "bob"), speech, strict=True))
    found: dict[str, tuple[float, Samples]] = {}
    for talker, listener in (("alice", "bob"), ("bob", "alice")):
        if (voice := voices[talker]) is not None:
            found[f"{ROLES[talker]} said"] = ends[talker]["clock"]["microphone_started"], load_speech(voice)
        heard = load_speech(folder / f"{listener}-heard.wav")
        found[f"{ROLES[listener]} heard"] = ends[listener]["clock"]["speaker_started"], heard
    begin = min(start for start, _ in found.values())
    end = max(start - begin + len(s) / RATE for name, (start, s) in found.items() if name.endswith("heard"))
    sounds = {}
    for name, (start, samples) in found.items():
        sounds[name] = np.zeros(round(end * RATE), np.int16)
        room = sounds[name][round((start - begin) * RATE) :]
        part = samples[: len(room)]
        room[: len(part)] = part
    return sounds


def write_page(options: argparse.Namespace, sounds: dict[str, Samples]) -> None:
    """report.html beside the JSON."""
    page = options.html or options.out / "report.html"
    content = json.loads((options.out / "report.json").read_text())
    page = write_text(page, render_html(content, sounds=sounds, folder=page.parent), replace=not options.html)
    say(f"wrote {page}: open it in a browser, offline if you like")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--network", default="wifi", metavar="PROFILE", help="emulated network (default wifi)")
    add("--seed", type=int, default=1, help="of the emulated network (default 1)")
    add("--talk", type=float, default=10.0, metavar="SECONDS", help="how long to talk (default 10)")
    add("--video", default="pattern", metavar="WHAT", help="pattern (default), none, or a film file")
    add("--speech", type=Path, metavar="FILE", help="what both ends say")
    add("--generated", action="store_true", help="do not look for real speech")
    add("--html", type=Path, metavar="FILE", help="write the page there (default: report.html in --out)")
    add(
        "--out",
        type=Path,
        default=Path("build/demo"),
        metavar="DIR",
        help="what is in it is written anew (default build/demo)",
    )
    add(
        "--cache", type=Path, default=Path("build/speech"), metavar="DIR", help="where fetched speech is kept"
    )
    options = parser.parse_args()
    if not 1 <= options.talk <= 3600:
        parser.error("--talk is from 1 to 3600 seconds")
    return options


def main() -> int:
    options = parse_arguments()
    # SIGTERM unwinds like Ctrl-C, so that the children end with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        get_profile(options.network)
        options.out.mkdir(parents=True, exist_ok=True)
        check_output(options.html or options.out / "report.html")
        for name in ROLES:
            (options.out / f"{name}-heard.wav").unlink(missing_ok=True)  # a recorder writes none anew
        with tempfile.TemporaryDirectory(prefix="ringline-demo-") as folder:
            call(options, Path(folder))
    except (DemoError, MediaError, OSError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
