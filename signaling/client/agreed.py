"""What the two sides of a running call have agreed on, as the call keeps it, and steps of its engine."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from signaling.client.live_call import LiveCall
from signaling.jingle.agreement import agree, changed, kinds_of, live, without_candidates
from signaling.jingle.content import Content, Role

ENGINE_TIMEOUT = 10.0
T = TypeVar("T")


class Agreed:
    """`call.local` and `call.remote` as an agreement (signaling/jingle/agreement.py), from its first one on."""

    def __init__(self, call: LiveCall) -> None:
        self._call = call
        self.peer = Role.RESPONDER if call.role is Role.INITIATOR else Role.INITIATOR
        local, remote = agree(call.local, call.remote, call.role)
        call.local, call.remote = local, without_candidates(remote)
        self.note_media()

    def placed(self, content: Content) -> Content:
        """A new content of the peer's with the DTLS role that the peer has in this session."""
        setup = next((c.transport.setup for c in self._call.remote.contents if c.transport.setup), None)
        return replace(content, transport=replace(content.transport, setup=setup))

    def apply(self, *, senders: dict[str, str] | None = None, removed: set[str] | None = None) -> None:
        call = self._call
        call.local = changed(call.local, senders=senders, removed=removed or ())
        call.remote = changed(call.remote, senders=senders, removed=removed or ())
        self.note_media()

    def note_media(self) -> None:
        self._call.media = kinds_of(live(self._call.local).values())

    async def engine(self, step: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(ENGINE_TIMEOUT):
            return await self._call.during(step)
