"""`ringline register | trust | contact | whoami`."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import aiohttp

from signaling.client.api import ServerApi, require_safe
from signaling.client.arguments import check_number, country, pin_digits, six_digits
from signaling.client.device_command import add_device_commands
from signaling.client.profile import Profile, ProfileData
from signaling.client.reach import wait_for_server
from signaling.client.registration import Progress, Registration, check_owner, check_place
from signaling.client.server_trust import CA_HELP, open_session, read_trust
from signaling.errors import ProfileError, RegistrationError
from signaling.identity import key_fingerprint
from signaling.phone_number import parse_number, region_of

SMS_TIMEOUT = 10.0
DEFAULT_SERVER = "http://127.0.0.1:8480"


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the client's commands; the `run` of each takes the parsed arguments and returns the exit code."""
    command = _command(subparsers, "register", register, "register a phone number and write its profile")
    command.add_argument("number", help="the phone number, e.g. +12025550100")
    command.add_argument("--server", default=DEFAULT_SERVER, metavar="URL", help=f"default {DEFAULT_SERVER}")
    command.add_argument("--ca", metavar="FILE|sha256:...", help=CA_HELP)
    command.add_argument("--name", default="ringline", help="what this device is called")
    command.add_argument("--region", type=country, help="country of a number without +NN, e.g. US")
    source = command.add_mutually_exclusive_group()
    command.add_argument("--pin", type=pin_digits, help="the registration PIN, if the number has one")
    source.add_argument("--code", type=six_digits, help="the code, instead of asking for it")
    source.add_argument(
        "--sms-file", type=Path, metavar="PATH", help="read it from the server's --sms file:PATH"
    )

    command = _command(subparsers, "trust", trust, "acknowledge the changed key of a number")
    command.add_argument("number")

    command = _command(subparsers, "contact", contact, "let a number ring that never was in a call")
    command.add_argument("number")

    _command(subparsers, "whoami", whoami, "show a profile")
    add_device_commands(partial(_command, subparsers), DEFAULT_SERVER)


def _command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    help: str,
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.add_argument(
        "--profile",
        type=Path,
        required=True,
        metavar="FILE",
        help="this device's profile: `register` or `link` makes it",
    )
    parser.set_defaults(run=run)
    return parser


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def register(arguments: argparse.Namespace) -> int:
    """Registers and writes the profile."""
    path: Path = arguments.profile
    check_number(arguments.number, arguments.region)
    check_place(path)
    sms_offset = _size(arguments.sms_file)
    # A runner, so that the terminal is asked outside of the loop, where Ctrl-C works.
    with asyncio.Runner() as runner:
        attempt = _Attempt(arguments.server, _trust(arguments))
        try:
            progress = runner.run(attempt.start(arguments.number, arguments.region))
            check_owner(path, progress.number)
            if arguments.code is not None:
                data = runner.run(attempt.verify(arguments.code, arguments.name, arguments.pin))
            elif arguments.sms_file is not None:
                code = _code_from_file(arguments.sms_file, sms_offset, progress.number)
                data = runner.run(attempt.verify(code, arguments.name, arguments.pin))
            else:
                data = _ask_terminal(runner, attempt, progress, arguments.name, arguments.pin)
        finally:
            runner.run(attempt.close())
    with Profile.create(path, data) as profile:
        say(f"{profile.number} is registered as device {data.device}; the profile is {path}")
    return 0


def _trust(arguments: argparse.Namespace) -> str:
    """What proves the server; where it is not said, what proved the same server before."""
    if arguments.ca:
        return read_trust(arguments.ca)
    if arguments.profile.exists():
        with Profile.open(arguments.profile) as old:
            if old.data.server == arguments.server.rstrip("/"):
                return old.data.server_trust
    return ""


class _Attempt:
    """A registration with its HTTP session, which needs a running loop to be made."""

    def __init__(self, server: str, trust: str) -> None:
        self._server = server
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None
        self._registration: Registration | None = None

    @property
    def registration(self) -> Registration:
        assert self._registration is not None
        return self._registration

    async def start(self, number: str, region: str | None) -> Progress:
        await wait_for_server(require_safe(self._server))
        self._session = open_session(self._trust)
        self._registration = Registration(ServerApi(self._session, self._server))
        return await self._registration.start(number, region)

    async def resend(self) -> Progress:
        return await self.registration.resend()

    async def verify(self, code: str, name: str, pin: str | None) -> ProfileData:
        data = await self.registration.verify(code.strip(), name, pin)
        data.server_trust = self._trust
        return data

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _ask_terminal(
    runner: asyncio.Runner, attempt: _Attempt, progress: Progress, name: str, pin: str | None
) -> ProfileData:
    say(f"A code was sent to {progress.number} by SMS.")
    while True:
        try:
            code = input("Code (or r for another SMS): ").strip()
        except EOFError:
            raise RegistrationError("no_code", "no code was given: it comes by SMS") from None
        try:
            if code == "r":
                runner.run(attempt.resend())
                say("Another code is on its way.")
            elif code:
                return runner.run(attempt.verify(code, name, pin))
        except RegistrationError as error:
            again = (error.code == "wrong_code" and error.tries_left) or error.code == "too_many"
            if not again:
                raise
            say(f"{str(error)[0].upper()}{str(error)[1:]}.")


def _size(path: Path | None) -> int:
    return path.stat().st_size if path is not None and path.exists() else 0


def _code_from_file(path: Path, offset: int, number: str) -> str:
    """The code of the last SMS to the number that came after `offset`. Waits for it: the server may be slow."""
    deadline = time.monotonic() + SMS_TIMEOUT
    while time.monotonic() < deadline:
        code = _read_code(path, offset, number)
        if code is not None:
            return code
        time.sleep(0.05)
    raise RegistrationError(
        "no_code", f"no SMS to {number} arrived in {path}: is it the file of the server's --sms file:PATH?"
    )


def _read_code(path: Path, offset: int, number: str) -> str | None:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RegistrationError("no_code", f"cannot read {path}: {error.strerror}") from None
    for line in reversed(lines):
        try:
            message = json.loads(line)
            text = message["text"] if message["to"] == number else ""
        except (ValueError, KeyError, TypeError):
            continue
        words = [word.strip(".,:;") for word in str(text).split()]
        code = next((word for word in words if len(word) == 6 and word.isdecimal() and word.isascii()), None)
        if code is not None:
            return code
    return None


def trust(arguments: argparse.Namespace) -> int:
    """Acknowledges the key because of which a call with the number was refused."""
    with Profile.open(arguments.profile) as profile:
        number = parse_number(arguments.number, region_of(profile.number))
        key = profile.trust(number)
        if key is None:
            raise ProfileError(f"no changed key of {number} was seen: nothing has to be acknowledged")
        lost = profile.verified(number) is not None
    say(f"The key of {number} is now {key_fingerprint(key)}. Compare it with what `whoami` shows there.")
    if lost:
        say(f"It is verified no more. Compare the safety number again, then: ringline verify {number}")
    return 0


def contact(arguments: argparse.Namespace) -> int:
    """Adds a number to those that may ring."""
    with Profile.open(arguments.profile) as profile:
        number = parse_number(arguments.number, region_of(profile.number))
        profile.set_contacts((number,))
    say(f"{number} is a contact.")
    return 0


def whoami(arguments: argparse.Namespace) -> int:
    """Shows number, device, server and key; and whose keys are known."""
    with Profile.open(arguments.profile) as profile:
        data = profile.data
        say(f"number  {data.number}\ndevice  {data.device} ({data.device_name})\nserver  {data.server}")
        say(f"key     {key_fingerprint(profile.public_key)}")
        for number, devices in sorted(data.pins.items()):
            compared = data.verified.get(number)
            for device, key in devices.items():
                mark = ", verified" if (compared or {}).get(device) == key else ""
                say(f"knows   {number} with key {key_fingerprint(key)}{mark}")
            if compared is not None and compared != devices:
                say(f"        its keys changed since you compared them: ringline safety-number {number}")
        for number, devices in sorted(data.refused.items()):
            for key in devices.values():
                say(f"REFUSED {number} with key {key_fingerprint(key)}: see `ringline trust`")
    return 0
