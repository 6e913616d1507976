"""`ringline sync | findable | block | unblock | blocked`."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from signaling.address_book import read_address_book
from signaling.client.account import Account
from signaling.client.api import AccessTokens, ServerApi
from signaling.client.command import say
from signaling.client.profile import Profile
from signaling.client.reach import reach
from signaling.errors import InvalidNumber, ProfileError
from signaling.phone_number import parse_number, region_of
from signaling.reachability import Findable

T = TypeVar("T")


def add_account_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the commands; the `run` of each takes the parsed arguments and returns the exit code."""

    def command(name: str, run: Callable[[argparse.Namespace], int], what: str) -> argparse.ArgumentParser:
        parser = subparsers.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        parser.add_argument(
            "--profile", type=Path, required=True, metavar="FILE", help="made by `ringline register`"
        )
        parser.set_defaults(run=run)
        return parser

    parser = command("sync", sync, "read an address book: who is registered, and who may ring here")
    parser.add_argument("book", type=Path, metavar="FILE", help="vCards (.vcf), or one number a line")
    parser.add_argument("--replace", action="store_true", help="who is not in it may not ring any more")
    parser = command("findable", findable, "say, or show, who finds this number")
    parser.add_argument("who", nargs="?", choices=[str(f) for f in Findable])
    for name, run, what in (
        ("block", block, "be unreachable for a number"),
        ("unblock", unblock, "be reachable again for a number"),
    ):
        command(name, run, what).add_argument("number")
    command("blocked", blocked, "list who is blocked")


async def _ask(profile: Profile, question: Callable[[Account], Awaitable[T]]) -> T:
    """Without a stream: a device that is online for a moment would ring for nobody."""
    async with reach(profile.data.server, profile.data.server_trust) as session:
        api = ServerApi(session, profile.data.server)
        return await question(Account(AccessTokens(api, profile)))


def sync(arguments: argparse.Namespace) -> int:
    """All the numbers of the book become contacts, registered or not: they may ring."""
    try:
        texts = read_address_book(arguments.book.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise ProfileError(f"cannot read {arguments.book}: {error.strerror}") from None
    with Profile.open(arguments.profile) as profile:
        numbers: dict[str, None] = {}
        unreadable = 0
        for text in texts:
            try:
                numbers[parse_number(text, region_of(profile.number))] = None
            except InvalidNumber:
                unreadable += 1
        numbers.pop(profile.number, None)
        removed = [n for n in profile.data.contacts if n not in numbers] if arguments.replace else []
        found = asyncio.run(_ask(profile, lambda account: account.sync(numbers, removed)))
        profile.set_contacts(numbers, removed)
    for number in numbers:
        if number in found:
            say(number)
    left = f", {unreadable} could not be read" if unreadable else ""
    say(f"{len(found)} of {len(numbers)} numbers are registered{left}.")
    return 0


def findable(arguments: argparse.Namespace) -> int:
    """After `mutual`, the contacts are sent once more: the server knows nobody's address book before."""

    async def ask(account: Account) -> Findable:
        if arguments.who is not None:
            await account.set_findable(Findable(arguments.who))
            if arguments.who == Findable.MUTUAL:
                await account.sync(profile.data.contacts)
        return await account.findable()

    with Profile.open(arguments.profile) as profile:
        who = asyncio.run(_ask(profile, ask))
    meaning = {
        Findable.EVERYBODY: "everybody",
        Findable.MUTUAL: "the numbers in its address book",
        Findable.NOBODY: "nobody",
    }
    say(f"{profile.number} is found by {meaning[who]}.")
    return 0


def block(arguments: argparse.Namespace) -> int:
    say(f"{_with_number(arguments, lambda account, number: account.block(number))} is blocked.")
    return 0


def unblock(arguments: argparse.Namespace) -> int:
    say(
        f"{_with_number(arguments, lambda account, number: account.unblock(number))} is not blocked any more."
    )
    return 0


def _with_number(arguments: argparse.Namespace, use: Callable[[Account, str], Awaitable[object]]) -> str:
    """Does it with the number on the command line; returns that, in E.164."""
    with Profile.open(arguments.profile) as profile:
        number = parse_number(arguments.number, region_of(profile.number))
        asyncio.run(_ask(profile, lambda account: use(account, number)))
    return number


def blocked(arguments: argparse.Namespace) -> int:
    with Profile.open(arguments.profile) as profile:
        numbers = asyncio.run(_ask(profile, lambda account: account.blocked()))
    for number in numbers:
        say(number)
    return 0
