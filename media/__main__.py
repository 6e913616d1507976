"""`python -m media COMMAND`: calls in virtual time."""

import argparse
import sys
from pathlib import Path

from media.errors import MediaError


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0, 1 for a failure told in one line, 2 for a wrong command line, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m media", description="Ringline's engine")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_simulate(commands)
    parsed = parser.parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
        return code
    except MediaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def add_simulate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "simulate",
        help="a voice call of two engines over an emulated network, in virtual time",
        description="A voice call of two engines over an emulated network, in virtual time. The same seed gives "
        "the same report, byte for byte.",
    )
    parser.add_argument(
        "--profile", default="clean", help="a named network, or a line such as 'delay=80 loss=0.03'"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--speech",
        type=Path,
        action="append",
        metavar="FILE",
        help="what the ends say (twice: caller, callee)",
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write report.json and what each end heard")
    parser.set_defaults(run=simulate)


def simulate(options: argparse.Namespace) -> int:
    """Run the call and print its report."""
    from media.io.files import AudioRecorder, load_speech
    from media.io.sources import Reframer
    from media.quality.report import document
    from media.quality.table import render
    from media.simulation import call
    from media.simulation.profiles import get_profile
    from media.simulation.voice import syllables

    profile = get_profile(options.profile)
    if not 0 < options.seconds <= 3600:
        raise MediaError("--seconds is more than 0 and at most 3600")
    if options.speech:
        speech = [load_speech(path, options.seconds) for path in options.speech[:2]]
    else:
        needed = int(options.seconds * call.RATE)
        speech = []
        for seed in (1, 2):
            speech.append(Reframer(syllables(seed)).take(needed))
    result = call.simulate(profile, options.seed, (speech[0], speech[-1]), seconds=options.seconds)
    text = document(result.caller, result.callee, network=profile.name)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "report.json").write_text(text)
        for name, heard in (("caller", result.caller_heard), ("callee", result.callee_heard)):
            recorder = AudioRecorder(options.out / f"{name}-heard.wav")
            recorder.write(heard)
            recorder.close()
    if options.json:
        sys.stdout.write(text)
    else:
        print(render([result.caller, result.callee], f"{profile.name}, seed {options.seed}: {profile.note}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
