"""`python -m signaling COMMAND`: the server, and the commands of the client; they are those of `ringline`, too."""

import argparse
import os
import sys
from collections.abc import Callable

from signaling.command_line import Parser
from signaling.errors import SignalingError


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0, 1 for a failure told in one line, 2 for a wrong command line, 130 for Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def run() -> int:
        parser: argparse.ArgumentParser = Parser(prog="python -m signaling", description="Ringline signaling")
        subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        add_commands(subparsers, only_serve=arguments[:1] == ["serve"])
        parsed = parser.parse_args(arguments)
        code: int = parsed.run(parsed)
        return code

    return guarded(run)


def add_commands(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]", *, only_serve: bool
) -> None:
    """Adds all commands; the `run` of each takes the parsed arguments and returns the exit code."""
    from signaling.server.command import add_arguments

    add_arguments(subparsers)
    # The server starts without the client's part.
    if not only_serve:
        from signaling.admin.command import add_commands as add_operators_commands
        from signaling.client.account_command import add_account_commands
        from signaling.client.command import add_commands as add_clients_commands

        add_clients_commands(subparsers)
        add_account_commands(subparsers)
        add_operators_commands(subparsers)


def guarded(run: Callable[[], int]) -> int:
    """Run a command, its imports included, so that Ctrl-C during these is quiet as well; what fails is one line."""
    try:
        code = run()
        sys.stdout.flush()
        return code
    except SignalingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output is gone; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
