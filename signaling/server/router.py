"""Where a stanza goes: the table of protocol.md section 3. There is no roster; presence goes to nobody else."""

import logging
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from signaling import stanza as st
from signaling.errors import InvalidJid
from signaling.jid import Jid
from signaling.server.context import Context
from signaling.server.sessions import Session
from signaling.server.store import KeptMessage
from signaling.xml import (
    DELAY,
    DISCO_INFO,
    HINTS,
    MAX_FRAME_BYTES,
    PING,
    Element,
    child,
    children,
    copy,
    element,
    local_name,
    parse,
    serialise,
)

logger = logging.getLogger(__name__)

# Kept messages are read from the store in groups of this many.
BATCH = 50


class Router:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def route(self, sender: Session, stanza: Element) -> None:
        """One stanza from a bound stream. `from` is what the server knows."""
        if stanza.get("from") not in (None, str(sender.jid), str(sender.jid.bare)):
            return sender.end("invalid-from", "from is not this stream's address")
        stanza.set("from", str(sender.jid))
        try:
            to = st.address(stanza, "to") or sender.jid.bare
        except InvalidJid:
            return self._refuse(sender, stanza, "jid-malformed")
        try:
            if local_name(stanza) == "presence":
                await self._presence(sender, stanza)
            elif to.domain != self._context.domain:
                self._refuse(sender, stanza, "remote-server-not-found")
            elif local_name(stanza) == "iq":
                self._iq(sender, stanza, to)
            else:
                await self._message(sender, stanza, to)
        except SQLAlchemyError as error:
            logger.error("the store failed: %s", type(error).__name__)
            self._refuse(sender, stanza, "internal-server-error")

    def _refuse(self, sender: Session, stanza: Element, condition: str, text: str = "") -> None:
        # RFC 6120 8.3.1: an error never answers an error; a result needs no answer; presence gets none here.
        if stanza.get("type") not in ("error", "result") and local_name(stanza) != "presence":
            sender.deliver(st.error(stanza, condition, text))

    async def _presence(self, sender: Session, stanza: Element) -> None:
        kind = stanza.get("type")
        if stanza.get("to") is not None or kind not in (None, "unavailable"):
            return
        first = kind is None and not sender.available
        sender.available = kind is None
        stanza.set("to", str(sender.jid))
        sender.deliver(stanza)
        if first:
            await self._deliver_kept(sender)

    async def _deliver_kept(self, session: Session) -> None:
        number = session.jid.local
        since = self._context.clock() - self._context.limits.message_life
        while messages := await self._context.store.kept_messages(number, since, BATCH):
            for message in messages:
                session.deliver(self._aged(message))
                self._context.budget.know(number, {message.sender})
                if not await session.drained():
                    return
            await self._context.store.drop_messages(number, messages[-1].id)

    def _aged(self, message: KeptMessage) -> Element:
        """The message with its age (XEP-0203)."""
        stanza = parse(message.stanza, max_bytes=2 * MAX_FRAME_BYTES)
        stamp = datetime.fromtimestamp(message.kept, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        stanza.append(element(DELAY, "delay", {"from": self._context.domain, "stamp": stamp}))
        return stanza

    def _iq(self, sender: Session, stanza: Element, to: Jid) -> None:
        kind = stanza.get("type")
        if kind not in st.IQ_TYPES or not stanza.get("id"):
            return self._refuse(sender, stanza, "bad-request")
        if kind in ("get", "set") and len(stanza) != 1:
            return self._refuse(sender, stanza, "bad-request")
        if to.is_full:
            session = self._context.sessions.find(to)
            if session is not None:
                return session.deliver(stanza)
        elif kind == "get" and (not to.local or to == sender.jid.bare):
            if child(stanza, PING, "ping") is not None:
                return sender.deliver(st.result(stanza))
            query = child(stanza, DISCO_INFO, "query")
            if query is not None and query.get("node") is None:
                return sender.deliver(st.result(stanza, self._features(to)))
        self._refuse(sender, stanza, "service-unavailable")

    def _features(self, to: Jid) -> Element:
        identity = {"category": "account", "type": "registered"} if to.local else {"category": "server"}
        identity = {"type": "im", **identity}
        features = (element(DISCO_INFO, "feature", {"var": var}) for var in (DISCO_INFO, PING))
        return element(DISCO_INFO, "query", None, element(DISCO_INFO, "identity", identity), *features)

    async def _message(self, sender: Session, stanza: Element, to: Jid) -> None:
        kind = stanza.get("type", "normal")
        if to.number is None or kind == "groupchat":
            return self._refuse(sender, stanza, "service-unavailable")
        # Only this server says how old a message is.
        for delay in list(children(stanza, DELAY, "delay")):
            if delay.get("from") == self._context.domain:
                stanza.remove(delay)
        session = self._context.sessions.find(to) if to.is_full else None
        if kind == "error":
            if session is not None:
                session.deliver(stanza)
            return
        account = sender.jid.local
        wait = self._context.budget.ask(account, {to.local}, self._context.clock())
        if wait:
            text = f"too many new numbers; wait {wait:.0f} s"
            return self._refuse(sender, stanza, "resource-constraint", text)
        reached = [session] if session is not None else self._context.sessions.online(to.local)
        if reached:
            self._context.budget.know(to.local, {account})
            for receiver in reached:
                receiver.deliver(stanza)
        elif kind == "headline":
            # RFC 6121 8.5.2.2: a headline for nobody is dropped.
            return
        elif child(stanza, HINTS, "store") is None or not await self._keep(account, stanza, to):
            self._refuse(sender, stanza, "service-unavailable")

    async def _keep(self, account: str, stanza: Element, to: Jid) -> bool:
        kept = copy(stanza)
        kept.set("to", str(to))
        text = serialise(kept)
        if len(text) > self._context.limits.message_chars:
            return False
        message = KeptMessage(0, account, self._context.clock(), text)
        return await self._context.store.keep_message(to.local, message, self._context.limits.messages_kept)
