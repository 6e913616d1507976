"""`python -m signaling link | approve | devices | remove | pin | safety-number`."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import aiohttp

from signaling.client.api import member
from signaling.client.devices import NewDevice, OwnDevices
from signaling.client.profile import Profile
from signaling.client.registration import check_owner
from signaling.errors import ProfileError
from signaling.identity import key_fingerprint
from signaling.phone_number import parse_number, region_of

T = TypeVar("T")
Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_device_commands(add: Add, default_server: str) -> None:
    """`add(name, run, help)` makes a command with --profile."""
    command = add("link", link, "make this a further device of a number: shows a code, waits for approval")
    command.add_argument("--server", default=default_server, metavar="URL", help=f"default {default_server}")
    command.add_argument("--name", default="ringline", help="what this device is called")
    add("approve", approve, "approve the device that shows this code").add_argument("code")
    add("devices", devices, "list the devices of the own number")
    add("remove", remove, "remove a device of the own number").add_argument("device", metavar="DEVICE")
    command = add("pin", pin, "set the PIN that a new registration of the number will need, or take it away")
    command.add_argument("pin", nargs="?", metavar="PIN", help="6 to 20 digits; none: no PIN any more")
    command = add("safety-number", show_safety_number, "show 60 digits to compare with the other side's")
    command.add_argument("number")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _online(path: Path, step: Callable[[OwnDevices, Profile], Awaitable[T]]) -> T:
    async def run() -> T:
        with Profile.open(path) as profile:
            async with aiohttp.ClientSession() as session:
                return await step(OwnDevices(session, profile), profile)

    return asyncio.run(run())


def link(arguments: argparse.Namespace) -> int:
    """Shows a code, waits until another device approves it, and writes the profile."""
    path: Path = arguments.profile
    if path.exists():
        raise ProfileError(f"{path} exists: choose another file")

    async def run() -> Profile:
        async with aiohttp.ClientSession() as session:
            new = NewDevice(session, arguments.server)
            code = await new.begin(arguments.name)
            say("On a device that is registered, within ten minutes:")
            say(f"python -m signaling approve {code} --profile FILE")
            data = await new.wait()
        check_owner(path, data.number)
        return Profile.create(path, data)

    with asyncio.run(run()) as profile:
        say(f"{profile.number} has this device now, {profile.data.device}; the profile is {path}")
    return 0


def approve(arguments: argparse.Namespace) -> int:
    device, name = _online(arguments.profile, lambda own, profile: own.approve(arguments.code))
    say(f"{device} ({name}) is a device of this number now.")
    return 0


def devices(arguments: argparse.Namespace) -> int:
    """What the server lists, and for which of them a known key vouches."""

    async def run(own: OwnDevices, profile: Profile) -> list[str]:
        account = await own.account()
        known = await own.own_keys(account)
        lines = []
        for entry in member(account, "devices", list):
            device, key, name = (member(entry, field, str) for field in ("device", "key", "name"))
            words = "this device" if entry.get("current") is True else ""
            words = words if known.get(device) == key else "NOBODY VOUCHES FOR IT"
            shown = name if name.isprintable() else "?"
            lines.append(
                f"{device}  {member(entry, 'added', str)}  {key_fingerprint(key)}  {shown}  {words}".rstrip()
            )
        return lines

    say("\n".join(_online(arguments.profile, run)))
    return 0


def remove(arguments: argparse.Namespace) -> int:
    _online(arguments.profile, lambda own, profile: own.remove(arguments.device))
    say(f"{arguments.device} is no device of this number any more.")
    return 0


def pin(arguments: argparse.Namespace) -> int:
    _online(arguments.profile, lambda own, profile: own.set_pin(arguments.pin))
    say("The PIN is set: keep it in mind." if arguments.pin else "There is no PIN any more.")
    return 0


def show_safety_number(arguments: argparse.Namespace) -> int:
    """The same sixty digits on both sides mean that nobody is between them."""

    async def run(own: OwnDevices, profile: Profile) -> tuple[str, str, bool]:
        number = parse_number(arguments.number, region_of(profile.number))
        return number, *await own.safety_number(number)

    number, text, pinned = _online(arguments.profile, run)
    groups = text.split()
    for row in range(0, len(groups), 4):
        say(" ".join(groups[row : row + 4]))
    say(
        f"The same on the side of {number}: nobody is between you. Compare it over another way than this server."
    )
    if not pinned:
        say("There was no call with this number yet: these are the keys that the server names.")
    return 0
