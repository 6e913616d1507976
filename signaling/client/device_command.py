"""`ringline link | approve | devices | remove | pin | safety-number | verify`."""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from signaling.client.api import member
from signaling.client.arguments import pin_digits
from signaling.client.devices import NewDevice, OwnDevices, SafetyNumber, named, shown_name
from signaling.client.profile import Profile
from signaling.client.reach import reach
from signaling.client.registration import check_owner, check_place
from signaling.client.server_trust import CA_HELP, read_trust
from signaling.device_link import LinkCode
from signaling.errors import ProfileError, RegistrationError, SignalingError, TokenError
from signaling.identity import key_fingerprint
from signaling.phone_number import parse_number, region_of
from signaling.safety_number import DIGITS

T = TypeVar("T")
Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_device_commands(add: Add, default_server: str) -> None:
    """`add(name, run, help)` makes a command with --profile."""
    command = add("link", link, "make this a further device of a number: shows a code, waits for approval")
    command.add_argument("--server", default=default_server, metavar="URL", help=f"default {default_server}")
    command.add_argument("--ca", metavar="FILE|sha256:...", help=CA_HELP)
    command.add_argument("--name", default="ringline", help="what this device is called")
    add("approve", approve, "approve the device that shows this code").add_argument("code")
    add("devices", devices, "list the devices of the own number")
    add("remove", remove, "remove a device of the own number").add_argument("device", metavar="DEVICE")
    command = add("pin", pin, "set the PIN that a new registration of the number will need, or take it away")
    command.add_argument(
        "pin", nargs="?", type=pin_digits, metavar="PIN", help="6 to 20 digits; none: no PIN any more"
    )
    command = add("safety-number", show_safety_number, "show 60 digits to compare with the other side's")
    command.add_argument("number")
    command = add("verify", verify, "mark a number as verified, once its safety number was compared")
    command.add_argument("number")
    command.add_argument("digits", nargs="*", metavar="DIGITS", help="the 60 digits that the other side sees")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _online(path: Path, step: Callable[[OwnDevices, Profile], Awaitable[T]]) -> T:
    async def run() -> T:
        with Profile.open(path) as profile:
            async with reach(profile.data.server, profile.data.server_trust) as session:
                return await step(OwnDevices(session, profile), profile)

    return asyncio.run(run())


@contextlib.contextmanager
def _instead_of(codes: tuple[str, ...], sentence: str) -> Iterator[None]:
    """What a refusal means here, where the server cannot know it."""
    try:
        yield
    except RegistrationError as error:
        if error.code in codes:
            raise SignalingError(sentence) from None
        raise


def link(arguments: argparse.Namespace) -> int:
    """Shows a code, waits until another device approves it, and writes the profile."""
    path: Path = arguments.profile
    if path.exists():
        raise ProfileError(f"{path} exists: choose another file")
    check_place(path)
    trust = read_trust(arguments.ca) if arguments.ca else ""

    async def run() -> Profile:
        async with reach(arguments.server, trust) as session:
            new = NewDevice(session, arguments.server)
            code = await new.begin(arguments.name)
            say("On a device that is registered, within ten minutes:")
            say(f"ringline approve {code} --profile FILE")
            data = await new.wait()
        data.server_trust = trust
        check_owner(path, data.number)
        return Profile.create(path, data)

    with asyncio.run(run()) as profile:
        say(f"{profile.number} has this device now, {profile.data.device}; the profile is {path}")
    return 0


def approve(arguments: argparse.Namespace) -> int:
    Profile.open(arguments.profile).close()
    try:
        LinkCode.parse(arguments.code)
    except TokenError as error:
        raise SignalingError(f"{error}: it is what `ringline link` shows on the new device") from None
    gone = "no device shows this code any more: run `ringline link` there again, it is good for ten minutes"
    with _instead_of(("not_found", "link_over"), gone):
        device, name = _online(arguments.profile, lambda own, profile: own.approve(arguments.code))
    say(f"{device} ({name}) is a device of this number now.")
    return 0


def devices(arguments: argparse.Namespace) -> int:
    """What the server lists, and for which of them a known key vouches."""

    async def run(own: OwnDevices, profile: Profile) -> list[str]:
        account = await own.account()
        known, there = await own.own_keys(account), named(account)
        lines = []
        for entry in member(account, "devices", list):
            device = member(entry, "device", str)
            key = there[device]
            words = "this device" if device == profile.data.device else ""
            words = words if known.get(device) == key else "NOBODY VOUCHES FOR IT"
            added, name = shown_name(entry, "added"), shown_name(entry, "name")
            lines.append(f"{device}  {added}  {key_fingerprint(key)}  {name}  {words}".rstrip())
        lines += [f"{device}  NOT NAMED BY THE SERVER" for device in known if device not in there]
        return lines

    say("\n".join(_online(arguments.profile, run)))
    return 0


def remove(arguments: argparse.Namespace) -> int:
    missing = f"this number has no device {arguments.device}: `ringline devices` lists them"
    with _instead_of(("not_found",), missing):
        _online(arguments.profile, lambda own, profile: own.remove(arguments.device))
    say(f"{arguments.device} is no device of this number any more.")
    return 0


def pin(arguments: argparse.Namespace) -> int:
    _online(arguments.profile, lambda own, profile: own.set_pin(arguments.pin))
    say("The PIN is set: keep it in mind." if arguments.pin else "There is no PIN any more.")
    return 0


def show_safety_number(arguments: argparse.Namespace) -> int:
    """The same sixty digits on both sides mean that nobody is between them."""
    number, found, is_verified = _safety_number(arguments)
    _show(found.text)
    say(
        f"If {number} sees the same digits, nobody is between you. Ask over another way than this server, then:"
        f" ringline verify {number} DIGITS --profile {arguments.profile}"
    )
    if is_verified:
        say("You have compared it before, and the keys are the same.")
    elif not found.is_pinned:
        say("There was no call with this number yet: these are the keys that the server names.")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Marks the keys of a number as verified, if the other side's digits are the same as here."""
    number, found, _ = _safety_number(arguments)
    theirs = "".join(arguments.digits)
    if not theirs:
        _show(found.text)
        if not sys.stdin.isatty():
            raise ProfileError("give the 60 digits that the other side sees")
        same = input(f"Does {number} see the same digits? Type yes: ").strip().lower() == "yes"
    else:
        theirs = "".join(theirs.split())
        if not (theirs.isascii() and theirs.isdigit() and len(theirs) == DIGITS):
            raise ProfileError(f"a safety number has {DIGITS} digits: give all that the other side sees")
        same = theirs == found.text.replace(" ", "")
    if not same:
        raise ProfileError(
            f"not verified: where the digits differ, somebody may be between you and {number}, or one side"
            " has another device since; see `ringline devices`"
        )
    Profile.open(arguments.profile).verify(number, found.keys)
    say(f"{number} is verified: its calls say so until a key changes.")
    return 0


def _safety_number(arguments: argparse.Namespace) -> tuple[str, SafetyNumber, bool]:
    with Profile.open(arguments.profile) as opened:
        number = parse_number(arguments.number, region_of(opened.number))

    async def run(own: OwnDevices, profile: Profile) -> tuple[str, SafetyNumber, bool]:
        found = await own.safety_number(number)
        return number, found, profile.verified(number) == found.keys

    return _online(arguments.profile, run)


def _show(text: str) -> None:
    groups = text.split()
    for row in range(0, len(groups), 4):
        say(" ".join(groups[row : row + 4]))
