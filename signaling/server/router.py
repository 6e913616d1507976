"""Routing with the store: a message is kept before anybody gets it, and dropped when somebody has it (XEP-0198)."""

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from signaling import stanza as st
from signaling.blocking import BLOCKING
from signaling.bound_session import BoundSession, again, lost_for_good, with_delay
from signaling.errors import XmlError
from signaling.external_services import EXTERNAL_SERVICES
from signaling.routing import Announced, Asked, Keep, Router, receivers, refuse
from signaling.server.context import Context
from signaling.server.reach import Reach
from signaling.storage.batch import Batch
from signaling.storage.received import Received
from signaling.storage.room import KeptMessage
from signaling.xml import Element, byte_length, local_name, namespace_of, parse, serialise

logger = logging.getLogger(__name__)

# Kept messages are read from the store in groups of this many, at most.
BATCH = 50
# For how long a sender waits for room at who it sends to, and how often it looks.
LOOK_FOR_ROOM = 0.02
ROOM_LOOKS = 100
NOT_NOW = "this cannot be stored just now; try again later"


class StoringRouter:
    def __init__(self, context: Context, reach: Reach) -> None:
        self._context = context
        self._reach = reach
        self._sessions = context.sessions
        self._clock = context.store_clock
        self._batch = min(BATCH, context.limits.queue_stanzas // 4)
        self._router = Router(
            context.domain, context.sessions, context.budget, context.services, context.limits.message_bytes
        )
        self._post = Batch(self._keep)
        self._received = Received(context.store, context.counters.store_failed)
        self._expiring: dict[BoundSession, asyncio.TimerHandle] = {}

    async def route(self, sender: BoundSession, stanza: Element) -> None:
        """One stanza from a bound stream. When this returns it is delivered, kept or answered with an error."""
        self._context.counters.count("stanzas", local_name(stanza))
        try:
            if not sender.by_key and _is_of_account(stanza):
                return refuse(
                    sender, stanza, "forbidden", "this needs a login with a proof by the device's key"
                )
            if not self._router.accept(sender, stanza) or not await self._reach.admit(sender, stanza):
                return
            await self._slow_down(sender, stanza)
            match self._router.route(sender, stanza, self._clock.now(), self._context.clock()):
                case Keep() as keep:
                    if not await self._post.add(keep):
                        refuse(sender, stanza, "service-unavailable")
                case Asked(iq):
                    await self._reach.blocking(sender, iq)
                case Announced():
                    await self.deliver_kept(sender)
        except SQLAlchemyError as error:
            self._context.counters.store_failed(error)
            refuse(sender, stanza, "resource-constraint", NOT_NOW)

    async def _slow_down(self, sender: BoundSession, stanza: Element) -> None:
        """Waits a little for room where a device has none for what nobody keeps: who sends it is read slower, nobody
        else. A device that lets it wait in vain is waited for once, until it has taken something."""
        to = st.recipient_of(stanza)
        if to is None or local_name(stanza) == "presence" or st.is_to_be_kept(stanza):
            return
        size = byte_length(serialise(stanza))
        for left in range(ROOM_LOOKS, -1, -1):
            waiting = receivers(self._sessions, to)
            taking = [session for session in waiting if session.takes(sender.jid.local, size)]
            for session in waiting:
                session.stalled &= session not in taking
            if taking or all(session.stalled for session in waiting):
                return
            if left:
                await asyncio.sleep(LOOK_FOR_ROOM)
        for session in waiting:
            session.stalled = True

    def settle(self, session: BoundSession, tags: list[int]) -> None:
        """The device has these kept messages."""
        for other in self._sessions.of(session.jid.local):
            if other is not session:
                other.settle(tags)
        self._received.add(tags)

    async def received(self, session: BoundSession, tags: list[int]) -> None:
        """The same, and there is room for more."""
        self.settle(session, tags)
        try:
            if session.available and not session.caught_up:
                await self.deliver_kept(session)
        except SQLAlchemyError as error:  # they are delivered again some day
            self._context.counters.store_failed(error)

    def lost(self, session: BoundSession) -> None:
        """Its connection is gone, it may be resumed for a while."""
        loop = asyncio.get_running_loop()
        self._expiring[session] = loop.call_later(self._context.limits.resumable, self.over, session)

    def resumed(self, session: BoundSession) -> None:
        if (timer := self._expiring.pop(session, None)) is not None:
            timer.cancel()

    def over(self, session: BoundSession) -> None:
        """It cannot be resumed any more: what never arrived goes to the other devices, or back (XEP-0198 section 4)."""
        self.resumed(session)
        session.is_over, session.available = True, False
        is_current = self._sessions.remove(session)
        parser = self._context.parser
        for entry in session.management.unacknowledged if session.management is not None else ():
            stanza = lost_for_good(entry, parser)
            if stanza is not None and (sender := st.sender_of(stanza)) is not None:
                if (back := self._sessions.find(sender)) is not None:
                    refuse(back, stanza, "recipient-unavailable")
            elif entry.tag > 0 and is_current:
                for other in self._sessions.online(session.jid.local):
                    if entry.tag not in other.in_flight():
                        frame = again(entry, self._context.domain, self._clock, parser)
                        other.deliver(parse(frame, parser=parser), entry.at, entry.tag)

    async def close(self) -> None:
        for session in list(self._expiring):
            self.resumed(session)
        await self._post.close()
        await self._received.close()

    async def _keep(self, batch: list[Keep]) -> list[bool]:
        limits, now = self._context.limits, self._clock.now()
        sees = self._context.budget.sees
        messages = [
            KeptMessage(
                0,
                keep.to.local,
                keep.sender,
                now,
                serialise(keep.stanza),
                of_stranger=not sees(keep.sender, keep.to.local),
            )
            for keep in batch
        ]
        ids = await self._context.store.keep_messages(
            messages, limits.message_bytes, limits.messages_kept, limits.messages_kept_of_one
        )
        for keep, message, id_ in zip(batch, messages, ids, strict=True):
            for session in receivers(self._sessions, keep.to) if id_ else ():
                self._context.budget.heard(message.number, message.sender)
                session.caught_up &= session.room > 0
                if not session.caught_up:
                    session.again = True
                elif session.cursor < id_:
                    session.cursor = id_
                    session.deliver(keep.stanza, now, id_ if session.by_key else 0)
        return [id_ > 0 for id_ in ids]

    async def deliver_kept(self, session: BoundSession) -> None:
        """What is kept for the number and not on its way to a device already: as much as may be on its way at once.
        The rest comes when that is acknowledged."""
        if session.draining or not session.available:
            return
        if not session.by_key:  # a guest (protocol.md section 3) takes nothing away from the device
            session.caught_up = True
            return
        session.draining, session.caught_up = True, False
        try:
            while await self._deliver_some(session):
                link, on_its_way = session.link, len(session.in_flight())
                is_full = on_its_way >= self._batch or session.room <= 0
                if link is None or is_full or not await link.drained():
                    return
            session.caught_up = True
        finally:
            session.draining = False

    async def _deliver_some(self, session: BoundSession) -> bool:
        session.again = False
        number, since = session.jid.local, self._clock.now() - self._context.limits.message_life
        messages = await self._context.store.kept_messages(number, since, session.cursor, self._batch)
        busy = {tag for other in self._sessions.of(number) for tag in other.in_flight()}
        room = session.room
        for message in messages:
            if room <= 0:
                break
            session.cursor, room = message.id, room - byte_length(message.stanza)
            if message.id in busy or message.id in self._received.ids:
                continue
            if (stanza := self._read_back(message)) is None:
                self._received.add([message.id])
                continue
            self._context.budget.heard(number, message.sender)
            since = self._clock.to_wall(message.kept)
            session.deliver(with_delay(stanza, self._context.domain, since), message.kept, message.id)
        return bool(messages) or session.again

    def _read_back(self, message: KeptMessage) -> Element | None:
        """A message from our own store; parsed once more, as nothing is trusted twice. None for one that no client
        would take: an earlier version kept those, and who got one could not stay online."""
        try:
            stanza = parse(message.stanza, parser=self._context.parser)
        except XmlError as error:
            why: str | None = str(error)
        else:
            why = st.oversize(stanza)
        if why is None:
            return stanza
        logger.error("a kept message is dropped, no client could take it: %s", why)
        return None


def _is_of_account(stanza: Element) -> bool:
    """Whether it asks for, or changes, what the server keeps for or gives to the account: not for guests (protocol.md
    section 3). Whom it is for does not matter: no other account gets such an iq."""
    is_request = local_name(stanza) == "iq" and stanza.get("type") in ("get", "set") and len(stanza) > 0
    return is_request and namespace_of(stanza[0]) in (BLOCKING, EXTERNAL_SERVICES)
