"""Routing with the store: messages for who is away are kept, and delivered when he comes (XEP-0203)."""

import logging
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from signaling.routing import Announced, Keep, Router, Session, refuse
from signaling.server.context import Context
from signaling.server.store import KeptMessage
from signaling.xml import DELAY, MAX_FRAME_BYTES, Element, element, parse, serialise

logger = logging.getLogger(__name__)

# Kept messages are read from the store in groups of this many.
BATCH = 50


class DrainableSession(Session, Protocol):
    async def drained(self) -> bool:
        """Waits until the queue is empty. False if the session ended before."""


class StoringRouter:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._router = Router(context.domain, context.sessions, context.budget)

    async def route(self, sender: DrainableSession, stanza: Element) -> None:
        """One stanza from a bound stream."""
        try:
            match self._router.route(sender, stanza, self._context.clock()):
                case Keep(number, kept):
                    if not await self._keep(sender.jid.local, number, kept):
                        refuse(sender, stanza, "service-unavailable")
                case Announced():
                    await self._deliver_kept(sender)
        except SQLAlchemyError as error:
            logger.error("the store failed: %s", type(error).__name__)
            refuse(sender, stanza, "internal-server-error")

    async def _keep(self, sender: str, number: str, stanza: Element) -> bool:
        text = serialise(stanza)
        limits = self._context.limits
        message = KeptMessage(0, sender, self._context.clock(), text)
        return len(text) <= limits.message_chars and await self._context.store.keep_message(
            number, message, limits.messages_kept, limits.messages_kept_of_one
        )

    async def _deliver_kept(self, session: DrainableSession) -> None:
        number = session.jid.local
        since = self._context.clock() - self._context.limits.message_life
        while messages := await self._context.store.kept_messages(number, since, BATCH):
            for message in messages:
                # Read back from our own store; parsed once more, as nothing is trusted twice.
                stanza = parse(message.stanza, max_bytes=2 * MAX_FRAME_BYTES)
                stamp = datetime.fromtimestamp(message.kept, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                stanza.append(element(DELAY, "delay", {"from": self._context.domain, "stamp": stamp}))
                session.deliver(stanza)
                self._context.budget.know(number, {message.sender})
                if not await session.drained():
                    return
            await self._context.store.drop_messages(number, messages[-1].id)
