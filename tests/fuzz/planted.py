"""Starts the server with a fault planted: `planted.py FAULT serve ...`. Whoever tests the server must notice each.

A fault is a change of one method of the server. It says when the method it changes is no more, so that a fault that is
not there is not taken for one that is noticed by nobody.
"""

import asyncio
import dataclasses
import functools
import itertools
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from aiohttp import web

from signaling.bound_session import BoundSession
from signaling.routing import Keep, Router, receivers
from signaling.server import peer
from signaling.server.app import Server
from signaling.server.router import StoringRouter
from signaling.server.turns import Turns
from signaling.server.websocket import Connection
from signaling.server_limits import Limits
from signaling.storage.batch import Batch
from signaling.storage.store import Store
from signaling.stream import Stream
from signaling.xml import local_name, namespace_of

Fault = Callable[[], None]
EVERY = 1000
leaked: list[Any] = []


def replace(owner: type, name: str) -> Callable[[Callable[..., Any]], None]:
    """The method becomes the decorated function, which gets the original first."""

    def decorate(wrapper: Callable[..., Any]) -> None:
        original = owner.__dict__[name]  # KeyError: it is no more, and so is the fault

        @functools.wraps(original)
        def method(*arguments: Any, **named: Any) -> Any:
            return wrapper(original, *arguments, **named)

        setattr(owner, name, method)

    return decorate


def acknowledged_before_stored() -> None:
    @replace(Batch, "add")
    async def _(original: Callable[..., Awaitable[Any]], self: Any, item: Any) -> Any:
        if not isinstance(item, Keep):
            return await original(self, item)
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, lambda: leaked.append(loop.create_task(original(self, item))))
        return True


def not_stored_where_online() -> None:
    @replace(Router, "_message")
    def _(original: Callable[..., Any], self: Any, sender: Any, stanza: Any, to: Any, now: float) -> Any:
        found = original(self, sender, stanza, to, now)
        online = receivers(self._sessions, to) if isinstance(found, Keep) else []
        for receiver in online:
            receiver.deliver(stanza, now)
        return None if online else found


def kept_in_a_wrong_order() -> None:
    @replace(Store, "kept_messages")
    async def _(original: Callable[..., Awaitable[list[Any]]], self: Any, *arguments: Any) -> list[Any]:
        found = await original(self, *arguments)
        return [*found[1:2], *found[:1], *found[2:]]


def _each_thousandth(name: str) -> Callable[[Any], bool]:
    numbers = itertools.count(1)
    return lambda stanza: local_name(stanza) == name and next(numbers) % EVERY == 0


def one_in_a_thousand_dropped() -> None:
    is_chosen = _each_thousandth("message")

    @replace(StoringRouter, "route")
    async def _(original: Callable[..., Awaitable[None]], self: Any, sender: Any, stanza: Any) -> None:
        if not is_chosen(stanza):
            await original(self, sender, stanza)


def one_in_a_thousand_doubled() -> None:
    is_chosen = _each_thousandth("message")

    @replace(BoundSession, "deliver")
    def _(original: Callable[..., None], self: Any, stanza: Any, *rest: Any) -> None:
        original(self, stanza, *rest)
        if is_chosen(stanza):
            original(self, stanza, *rest)


def one_in_a_thousand_iqs_unanswered() -> None:
    is_chosen = _each_thousandth("iq")

    @replace(StoringRouter, "route")
    async def _(original: Callable[..., Awaitable[None]], self: Any, sender: Any, stanza: Any) -> None:
        if not is_chosen(stanza):
            await original(self, sender, stanza)


def a_task_leaked_per_connection() -> None:
    @replace(Connection, "run")
    async def _(original: Callable[..., Awaitable[None]], self: Any) -> None:
        leaked.append(asyncio.create_task(asyncio.Event().wait()))
        await original(self)


def a_socket_leaked_per_call() -> None:
    @replace(StoringRouter, "route")
    async def _(original: Callable[..., Awaitable[None]], self: Any, sender: Any, stanza: Any) -> None:
        if any(child.get("action") == "session-initiate" for child in stanza):
            leaked.append(socket.socket())
        await original(self, sender, stanza)


def a_queue_without_bound() -> None:
    @replace(Connection, "__init__")
    def _(original: Callable[..., None], self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        self._limits = Limits(queue_stanzas=10**9, queue_bytes=10**12)

    @replace(BoundSession, "__init__")
    def _(original: Callable[..., None], self: Any, jid: Any, generation: int, link: Any, *most: int) -> None:
        original(self, jid, generation, link, 10**9, 10**12)


def bytes_leaked_per_stanza() -> None:
    @replace(StoringRouter, "route")
    async def _(original: Callable[..., Awaitable[None]], self: Any, sender: Any, stanza: Any) -> None:
        leaked.append(bytearray(200))
        await original(self, sender, stanza)


def bytes_leaked_in_one_piece() -> None:
    piece = bytearray()

    @replace(StoringRouter, "route")
    async def _(original: Callable[..., Awaitable[None]], self: Any, sender: Any, stanza: Any) -> None:
        piece.extend(b"x" * 200)
        await original(self, sender, stanza)


def blocked_by_broken_frames() -> None:
    @replace(Stream, "receive_frame")
    def _(original: Callable[..., None], self: Any, *arguments: Any) -> None:
        open_before = not self.is_ending
        original(self, *arguments)
        if open_before and self.is_ending and "<close" not in str(arguments[0])[:20]:
            time.sleep(0.2)


def aborts_on_a_rare_stanza() -> None:
    @replace(StoringRouter, "route")
    async def _(original: Callable[..., Awaitable[None]], self: Any, sender: Any, stanza: Any) -> None:
        if stanza.get("type") == "headline" and any(namespace_of(c) == "urn:xmpp:moved:1" for c in stanza):
            os.abort()
        await original(self, sender, stanza)


def grows_in_the_store() -> None:
    @replace(Store, "kept_messages")
    async def _(original: Callable[..., Awaitable[list[Any]]], self: Any, *arguments: Any) -> list[Any]:
        return [
            dataclasses.replace(m, stanza=m.stanza.replace("&amp;", "&amp;amp;"))
            for m in await original(self, *arguments)
        ]


def strangers_go_first() -> None:
    """What strangers send is read at once, all of it, and whatever it is."""

    @replace(Turns, "ask")
    def _(original: Callable[..., None], self: Any, call: Callable[[], None], path: Any) -> None:
        call()

    @replace(Server, "__init__")
    def _(original: Callable[..., None], self: Any, *arguments: Any) -> None:
        without = {"frames_before_login": 10**9, "bytes_before_login": 10**12}
        original(
            self, *(dataclasses.replace(a, **without) if isinstance(a, Limits) else a for a in arguments)
        )

    @replace(web.WebSocketResponse, "__init__")
    def _(original: Callable[..., None], self: Any, **named: Any) -> None:
        original(self, **named | {"autoping": True})  # answered as they come, all that are there

    peer.PIECE = peer.MEMBERS_PIECE


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        acknowledged_before_stored,
        not_stored_where_online,
        kept_in_a_wrong_order,
        one_in_a_thousand_dropped,
        one_in_a_thousand_doubled,
        one_in_a_thousand_iqs_unanswered,
        a_task_leaked_per_connection,
        a_socket_leaked_per_call,
        a_queue_without_bound,
        bytes_leaked_per_stanza,
        bytes_leaked_in_one_piece,
        blocked_by_broken_frames,
        aborts_on_a_rare_stanza,
        grows_in_the_store,
        strangers_go_first,
    )
}


if __name__ == "__main__":
    from signaling.__main__ import main

    FAULTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
