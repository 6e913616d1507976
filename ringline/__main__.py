"""`ringline COMMAND`: calls, and the commands of signaling and media, behind one name."""

import argparse
import difflib
import importlib
import sys
from dataclasses import dataclass

import ringline
from signaling.__main__ import add_commands, guarded
from signaling.command_line import Parser

DESCRIPTION = (
    "Ringline: calls between phone numbers, encrypted from end to end, and how good each of them was."
)
WRONG_COMMAND_LINE = 2  # as argparse has it


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command whose module (with numpy, codecs and the like) is loaded when it is asked for."""

    module: str
    help: str
    command: str = ""  # its name in `media.__main__.COMMANDS`, where it is one of those


LAZY = {
    "call": Lazy("ringline.place_call", "call a number, talk, hang up, and say how good it was"),
    "answer": Lazy("ringline.answer_call", "wait for calls and answer them"),
    "compare": Lazy("ringline.compare_reports", "lay two reports of calls side by side"),
    "simulate": Lazy(
        "media.__main__", "a call of two engines over an emulated network, in no time", "simulate"
    ),
    "relay": Lazy("media.__main__", "an emulated network between two live ends", "relay"),
    "networks": Lazy("media.__main__", "the emulated networks that have a name", "networks"),
    "sound-devices": Lazy("media.__main__", "the microphones and loudspeakers of this machine", "devices"),
}


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0, 1 for a failure told in one line, 2 for a wrong command line, 3 for a call that did not come
    about, 130 for Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    wanted = arguments[0] if arguments else ""
    parser: argparse.ArgumentParser = Parser(prog="ringline", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"ringline {ringline.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, lazy in LAZY.items():
        command = subparsers.add_parser(name, help=lazy.help)
        if name == wanted:
            _load(lazy, command)
    if wanted not in LAZY:
        add_commands(subparsers, only_serve=wanted == "serve")
    if not arguments:
        parser.print_help(sys.stderr)
        return WRONG_COMMAND_LINE
    if not wanted.startswith("-") and wanted not in subparsers.choices:
        near = difflib.get_close_matches(wanted, subparsers.choices, 1)
        hint = f": do you mean {near[0]}?" if near else ""
        parser.error(f"there is no command {wanted!r}{hint}")
    parsed = parser.parse_args(arguments)
    code: int = parsed.run(parsed)
    return code


def _load(lazy: Lazy, parser: argparse.ArgumentParser) -> None:
    """Give the parser the options of the command, and `run`."""
    from media.__main__ import guarded as media_guarded

    module = importlib.import_module(lazy.module)
    if lazy.command:
        add_arguments, run, _ = module.COMMANDS[lazy.command]
        parser.description = f"{lazy.help[0].upper()}{lazy.help[1:]}."
    else:
        add_arguments, run = module.add_arguments, module.run
        parser.description = module.__doc__
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_arguments(parser)
    parser.set_defaults(run=lambda parsed: media_guarded(lambda: run(parsed)))


if __name__ == "__main__":
    sys.exit(main())
