"""`python -m media COMMAND`: calls in virtual time, and the emulated network as a process of its own."""

import argparse
import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from media.arguments import Parser, ip_address, network, seconds, seed
from media.errors import MediaError
from media.simulation.profiles import PROFILES, get_profile

if TYPE_CHECKING:
    from media.codecs.base import Samples
    from media.simulation.call import SimulatedCall

Address = tuple[str, int]
NETWORK_HELP = "a named network (`networks` lists them), or a line such as 'delay=80 jitter=20 loss=0.03'"


class CommandError(MediaError):
    """What was asked for on the command line cannot be done."""


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0, 1 for a failure told in one line, 2 for a wrong command line, 130 for Ctrl-C."""
    parser: argparse.ArgumentParser = Parser(prog="python -m media", description="Ringline's engine")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (add_arguments, run, what) in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        add_arguments(command)
        command.set_defaults(run=run)
    parsed = parser.parse_args(arguments)
    return guarded(lambda: parsed.run(parsed))


def guarded(run: Callable[[], int]) -> int:
    """Run a command; what fails is told in one line."""
    try:
        code = run()
        sys.stdout.flush()
        return code
    except MediaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output is gone; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def list_networks(options: argparse.Namespace) -> int:
    for name, profile in PROFILES.items():
        print(f"{name:16}{profile.note}")
    return 0


def add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", metavar="NAME", help="a sound backend: pulseaudio, alsa, jack, null ...")


def show_devices(options: argparse.Namespace) -> int:
    from media.io.devices import list_devices
    from media.io.sound_system import MiniaudioSystem

    for info in list_devices(MiniaudioSystem(options.backend)):
        print(f"{info.direction:12}{info.name}")
    return 0


def add_network(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--network", type=network, default="clean", metavar="NAME", help=NETWORK_HELP)
    # What it was called before; everywhere else a profile is that of a phone number.
    add("--profile", type=network, dest="network", action=_OldName, help=argparse.SUPPRESS)


class _OldName(argparse.Action):
    def __call__(
        self, parser: object, options: argparse.Namespace, value: object, name: str | None = None
    ) -> None:
        print("note: --profile is called --network now", file=sys.stderr)
        options.network = value


# -- simulate


def add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "A voice call of two engines over an emulated network, in virtual time. The same seed gives "
        "the same report, byte for byte."
    )
    add = parser.add_argument
    add_network(parser)
    add("--seed", type=seed, default=1, help="of the network's and the call's random numbers")
    add(
        "--speech",
        type=Path,
        action="append",
        metavar="FILE",
        help="what the ends say, again and again (twice: caller, callee); default: a generated voice",
    )
    add("--seconds", type=seconds(0.1, 3600), default=60.0, help="how long to talk (default 60)")
    add("--json", action="store_true", help="print the report as JSON")
    add("--out", type=Path, metavar="DIR", help="write report.json and what each end heard, anew")
    add(
        "--html",
        type=Path,
        metavar="FILE.html",
        help="write the report as a page, with what was said and heard",
    )


def simulate(options: argparse.Namespace) -> int:
    """Run the call and print its report."""
    import numpy as np

    from media.io.files import load_speech
    from media.io.outputs import check_output
    from media.quality.report import document
    from media.quality.table import render
    from media.simulation import call
    from media.simulation.voice import generate_voice

    profile = get_profile(options.network)
    if options.html:
        check_output(options.html)
    if options.out and options.out.exists() and not options.out.is_dir():
        raise CommandError(f"--out {options.out} is a file, not a folder")
    if options.speech:
        if len(options.speech) > 2:
            raise CommandError("--speech is given twice at most: caller, callee")
        needed = round(options.seconds * call.RATE)
        speech = [np.resize(load_speech(path, options.seconds), needed) for path in options.speech]
    else:
        speech = [generate_voice(seed, options.seconds) for seed in (1, 2)]
    result = call.simulate(profile, options.seed, (speech[0], speech[-1]), seconds=options.seconds)
    text = document(result.caller, result.callee, network=profile.name)
    if options.out:
        write_results(options.out, text, result)
    if options.html:
        write_page(options.html, text, result, (speech[0], speech[-1]))
    if options.json:
        sys.stdout.write(text)
    else:
        print(render([result.caller, result.callee], f"{profile.name}, seed {options.seed}: {profile.note}"))
    return 0


def write_page(path: Path, text: str, result: "SimulatedCall", speech: tuple["Samples", "Samples"]) -> None:
    """The page, with both ends' sound on one time line. Raises SourceError."""
    import numpy as np

    from media.io.outputs import write_text
    from media.quality.html import render_html
    from media.simulation.call import RATE

    said = dict(zip(("caller", "callee"), speech, strict=True))
    heard = {
        "caller": (result.caller_heard, result.heard_after[0]),
        "callee": (result.callee_heard, result.heard_after[1]),
    }
    length = len(result.caller_heard)
    sounds = {}
    for listener, talker in (("callee", "caller"), ("caller", "callee")):
        recording, after = heard[listener]
        shift = round(after * RATE)
        # As long as the call, and on the clock of the one who speaks.
        line = np.pad(recording, (shift, 0)) if shift >= 0 else recording[-shift:]
        for name, sound in ((f"{talker} said", said[talker]), (f"{listener} heard", line)):
            sounds[name] = np.pad(sound[:length], (0, max(0, length - len(sound))))
    written = write_text(path, render_html(json.loads(text), sounds=sounds))
    print(f"wrote {written}", file=sys.stderr)


def write_results(folder: Path, text: str, result: "SimulatedCall") -> None:
    """The report and both recordings. Raises CommandError."""
    from media.io.files import AudioRecorder

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(text)
    except OSError as error:
        raise CommandError(f"{folder} cannot be written: {error.strerror}") from None
    for name, heard in (("caller", result.caller_heard), ("callee", result.callee_heard)):
        recorder = AudioRecorder(folder / f"{name}-heard.wav")
        recorder.write(heard)
        recorder.close()
        if recorder.error:
            raise CommandError(f"{recorder.path} cannot be written: {recorder.error}")
    print(f"wrote {folder / 'report.json'} and what each end heard", file=sys.stderr)


# -- relay


def add_relay(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Two UDP ports with an emulated network between them. Prints one JSON line with its addresses: "
        "end a sends to `a`, end b to `b`. Ends with Ctrl-C or SIGTERM."
    )
    add = parser.add_argument
    add_network(parser)
    add("--seed", type=seed, default=1, help="of the network's random numbers (default 1)")
    add("--host", type=ip_address, default="127.0.0.1", help="local address of both ports")
    add("--a", type=parse_address, metavar="HOST:PORT", help="where end a is; default: where it sends from")
    add("--b", type=parse_address, metavar="HOST:PORT", help="where end b is")
    add("--counters", action="store_true", help="at the end print what went through, as one more JSON line")


def parse_address(text: str) -> Address:
    """`192.0.2.1:5000` or `[2001:db8::1]:5000`. Raises ArgumentTypeError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address with a port") from None
    return host, int(port)


def relay(options: argparse.Namespace) -> int:
    """Relay until the process is told to end."""
    asyncio.run(run_relay(options))
    return 0


async def run_relay(options: argparse.Namespace) -> None:
    from media.io.relay import Relay

    a_to_b, b_to_a = get_profile(options.network).links(options.seed)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C comes as KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = Relay(a_to_b, b_to_a, host=options.host, peer_a=options.a, peer_b=options.b)
    await running.start()
    try:
        print(json.dumps({"a": running.address_for_a, "b": running.address_for_b}), flush=True)
        await stop.wait()
    finally:
        await running.close()
    if options.counters:
        print(json.dumps(running.counters()), flush=True)


# Name -> what adds its options, what runs it, what it is for.
COMMANDS = {
    "simulate": (
        add_simulate,
        simulate,
        "a voice call of two engines over an emulated network, in virtual time",
    ),
    "relay": (add_relay, relay, "an emulated network between two live ends, as a process of its own"),
    "networks": (lambda parser: None, list_networks, "the named networks"),
    "profiles": (lambda parser: None, list_networks, "what networks was called before"),
    "devices": (add_devices, show_devices, "the microphones and loudspeakers of this machine"),
}

if __name__ == "__main__":
    sys.exit(main())
