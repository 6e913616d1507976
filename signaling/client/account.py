"""The own account at the server: the address book, who may find it, and whom it blocks."""

from collections.abc import Iterable
from typing import Any

from signaling.blocking import BLOCKING, build_blocking
from signaling.client.api import NOT_UNDERSTOOD, AccessTokens, member
from signaling.client.contacts import MAX_NUMBERS
from signaling.client.websocket import Connection
from signaling.errors import InvalidJid, ServerUnreachable
from signaling.jid import Jid
from signaling.phone_number import is_e164
from signaling.reachability import Findable
from signaling.xml import child, children


class Account:
    """Everything raises ServerUnreachable, or RegistrationError for a refusal."""

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens

    async def sync(self, numbers: Iterable[str], removed: Iterable[str] = ()) -> set[str]:
        """Which of these E.164 numbers are registered and may be found. They are in the address book, `removed` are
        not any more: a server keeps that only while the account is findable by its address book."""
        found: set[str] = set()
        there, gone = list(dict.fromkeys(numbers)), list(dict.fromkeys(removed))
        for start in range(0, max(len(there), len(gone)), MAX_NUMBERS):
            part = there[start : start + MAX_NUMBERS]
            body = {"numbers": part, "book": True, "removed": gone[start : start + MAX_NUMBERS]}
            answer = await self._tokens.request("POST", "/contacts/lookup", body)
            for entry in member(answer, "registered", list):
                number = entry.get("number") if isinstance(entry, dict) else None
                if number not in part:
                    raise ServerUnreachable(NOT_UNDERSTOOD)
                found.add(number)
        return found

    async def findable(self) -> Findable:
        return _findable(await self._tokens.request("GET", "/account"))

    async def set_findable(self, findable: Findable) -> None:
        """After `mutual`, sync() the whole address book."""
        await self._tokens.request("PATCH", "/account", {"findable": str(findable)})

    async def blocked(self) -> list[str]:
        """Whom this number blocks. Without a stream, so also beside a device that is online."""
        return _blocked(await self._tokens.request("GET", "/blocks"))

    async def block(self, *numbers: str) -> None:
        """To them this account is from now on as if it were not registered."""
        await self._tokens.request("PATCH", "/blocks", {"block": list(numbers)})

    async def unblock(self, *numbers: str) -> None:
        await self._tokens.request("PATCH", "/blocks", {"unblock": list(numbers)})


def _blocked(answer: dict[str, Any]) -> list[str]:
    numbers = [number for number in member(answer, "blocked", list) if isinstance(number, str)]
    return [number for number in numbers if is_e164(number)]


def _findable(answer: dict[str, Any]) -> Findable:
    try:
        return Findable(member(answer, "findable", str))
    except ValueError:
        raise ServerUnreachable(NOT_UNDERSTOOD) from None


class BlockList:
    """XEP-0191, over the stream. Everything raises ServerUnreachable, or StanzaError for a refusal."""

    def __init__(self, connection: Connection, domain: str) -> None:
        self._connection = connection
        self._domain = domain

    async def numbers(self) -> list[str]:
        """Who is blocked."""
        answer = await self._connection.ask("get", build_blocking("blocklist", (), self._domain), None)
        blocklist = child(answer, BLOCKING, "blocklist")
        if blocklist is None:
            raise ServerUnreachable(NOT_UNDERSTOOD)
        found = []
        for item in children(blocklist, BLOCKING, "item"):
            try:
                jid = Jid.parse(item.get("jid") or "")
            except InvalidJid:
                continue
            if is_e164(jid.local):
                found.append(jid.local)
        return found

    async def block(self, *numbers: str) -> None:
        """To them this account is from now on as if it were not registered."""
        await self._change("block", numbers)

    async def unblock(self, *numbers: str) -> None:
        await self._change("unblock", numbers)

    async def _change(self, name: str, numbers: tuple[str, ...]) -> None:
        if not numbers:
            raise ValueError("whom?")
        await self._connection.ask("set", build_blocking(name, numbers, self._domain), None)
