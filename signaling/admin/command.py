"""`ringline limits | backup | restore | pseudonym`."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the operator's commands; the `run` of each takes the parsed arguments and returns the exit code."""
    what = "show what attacks cost under the server's limits"
    command = subparsers.add_parser("limits", help=what, description=what[0].upper() + what[1:] + ".")
    command.add_argument("--json", action="store_true", help="as JSON")
    command.add_argument("--limits", type=Path, metavar="FILE.toml", help="the server's --limits")
    command.set_defaults(run=limits)

    what = "write database and keys of a server, running or not, into one file"
    command = subparsers.add_parser("backup", help=what, description=what[0].upper() + what[1:] + ".")
    command.add_argument("file", type=Path, metavar="FILE.tar.gz")
    command.add_argument(
        "--data", type=Path, default=Path("data"), help="the server's folder (default ./data)"
    )
    command.set_defaults(run=backup)

    what = "put a backup into the data folder of a server that does not run"
    command = subparsers.add_parser("restore", help=what, description=what[0].upper() + what[1:] + ".")
    command.add_argument("file", type=Path, metavar="FILE.tar.gz")
    command.add_argument(
        "--data", type=Path, default=Path("data"), help="the server's folder (default ./data)"
    )
    command.add_argument("--force", action="store_true", help="replace the data that is there")
    command.set_defaults(run=restore)

    what = "the name that a number has in the server's log"
    command = subparsers.add_parser("pseudonym", help=what, description=what[0].upper() + what[1:] + ".")
    command.add_argument("number", help="with country code, e.g. +12025550100")
    command.add_argument(
        "--data", type=Path, default=Path("data"), help="the server's folder (default ./data)"
    )
    command.set_defaults(run=pseudonym)


def limits(arguments: argparse.Namespace) -> int:
    """Raises ServerStartError."""
    # Imported here, and below: the other commands start without it.
    from signaling.policy.cost import costs
    from signaling.storage.data_folder import load_limits

    table = costs(load_limits(arguments.limits))
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(cost) for cost in table], indent=1) + "\n")
    else:
        for cost in table:
            sys.stdout.write(f"{cost.attack:<86} {cost!s:>34}\n")
    return 0


def backup(arguments: argparse.Namespace) -> int:
    """Raises DataError."""
    from signaling.admin import backup as archive

    names = archive.backup(arguments.data, arguments.file)
    sys.stdout.write(f"{arguments.file}: {', '.join(names)}\n")
    if archive.DATABASE not in names:
        sys.stdout.write("There is no SQLite database: back up PostgreSQL by its own means.\n")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    """Raises DataError."""
    from signaling.admin import backup as archive

    names = archive.restore(arguments.file, arguments.data, force=arguments.force)
    sys.stdout.write(f"{arguments.data}: {', '.join(names)}\n")
    return 0


def pseudonym(arguments: argparse.Namespace) -> int:
    """Raises DataError, InvalidNumber."""
    from signaling import logs
    from signaling.errors import DataError
    from signaling.phone_number import parse_number

    try:
        secret = (arguments.data / "keys" / "sms-pepper").read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the server's secret: {error.strerror}") from None
    sys.stdout.write(logs.pseudonym(parse_number(arguments.number), secret) + "\n")
    return 0
