"""Who may reach whom: block lists, findability, and the budget for strangers, asked before a stanza is routed."""

from collections import OrderedDict
from collections.abc import Collection

from signaling import stanza as st
from signaling.blocking import BLOCKING_ERRORS, build_blocking, parse_blocking
from signaling.errors import InvalidJid, RemoteProtocolError
from signaling.jid import Jid
from signaling.problem import Problem
from signaling.routing import Session, refuse, show_guest
from signaling.server.context import Context
from signaling.storage.store import Holder, blocks
from signaling.xml import Element, element, local_name

MAX_ADMITTED = 100_000


class Reach:
    def __init__(self, context: Context) -> None:
        self._context = context
        # (asker, account) that may pass. A refusal is always looked up again, so that what is not registered and
        # what is hidden take the same time.
        self._admitted: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._epoch = 0

    def changed(self) -> None:
        """Somebody's choice, block list or generation is another one now."""
        self._epoch += 1
        self._admitted.clear()

    async def admit(self, sender: Session, stanza: Element) -> bool:
        """Whether the stanza may go to another account; if not, it has been answered.

        To whom an account has not shown itself, it is there for messages that are kept, and for nothing else: only
        those take the same way whether a device is online or not. And a refusal is the same, asks the store the same,
        and costs the same, whether there is no account, one that hides or blocks, or one without an acquaintance.
        """
        context, own = self._context, sender.jid.local
        try:
            to = st.address(stanza, "to")
        except InvalidJid:
            return True  # answered by the routing, as is all that is for no other account
        is_presence = local_name(stanza) == "presence"
        if to is None or to.number in (None, own) or to.domain != context.domain or is_presence:
            return True
        is_kept = st.is_to_be_kept(stanza)
        if stanza.get("type") not in ("error", "result"):
            now = context.store_clock.now()
            wait = context.budget.address(own, to.local, now, by_key=sender.by_key)
            if is_kept and not wait:
                wait = context.budget.keep(own, to.local, now)
            if wait:
                context.counters.count("stanzas_refused", "budget")
                refuse(
                    sender, stanza, "resource-constraint", f"too many new numbers; wait {max(wait, 1):.0f} s"
                )
                return False
            if not sender.by_key:
                show_guest(sender, to.local)
        is_guests = self._asks_a_guest(own, to)
        sees = is_guests or context.budget.sees(own, to.local)
        is_welcome = is_kept or sees
        if is_welcome and not is_guests and (own, to.local) in self._admitted:
            return True
        epoch = self._epoch
        blocked, standing = await context.store.relation(own, to.local)
        if blocked:  # the asker's own choice, whoever that is
            if stanza.get("type") not in ("error", "result"):
                sender.deliver(st.error(stanza, "not-acceptable", "", element(BLOCKING_ERRORS, "blocked")))
            return False
        if standing is None or not standing.admits(sees) or not is_welcome:
            context.counters.count("stanzas_refused", "unreachable")
            if stanza.get("type") != "headline":  # as for somebody who is away (RFC 6121 8.5.2.2)
                refuse(sender, stanza, "service-unavailable")
            return False
        if epoch == self._epoch and not is_guests:
            self._admitted[own, to.local] = None
            if len(self._admitted) > MAX_ADMITTED:
                self._admitted.popitem(last=False)
        return True

    def _asks_a_guest(self, own: str, to: Jid) -> bool:
        """Whether it is for a guest who has shown itself to this number."""
        session = self._context.sessions.find(to) if to.is_full else None
        return session is not None and not session.by_key and own in session.shown

    def _is_list(self, numbers: set[str], reader: Jid) -> bool:
        """Whether a block list may be so long; one that its own client could not read would never be seen again."""
        if len(numbers) > self._context.limits.blocked_numbers:
            return False
        answer = st.iq(
            "result", build_blocking("blocklist", numbers, self._context.domain), id="x", to=reader
        )
        return st.oversize(answer) is None

    async def blocking(self, sender: Session, iq: Element) -> None:
        """An iq of XEP-0191 to the own account: answered, and told to the account's other devices."""
        context, own = self._context, sender.jid.local
        try:
            request = parse_blocking(iq, context.domain)
        except RemoteProtocolError as error:
            return refuse(sender, iq, error.condition, str(error))
        if request.name == "blocklist":
            blocked = await self.blocked(own)
            return sender.deliver(st.result(iq, build_blocking("blocklist", blocked, context.domain)))
        by = Holder(own, sender.jid.resource, sender.generation)
        try:
            await self.change_blocks(by, request.numbers, adding=request.name == "block")
        except Problem as refused:
            full = refused.code == "too_large"
            return refuse(sender, iq, "resource-constraint" if full else "forbidden", refused.title)
        sender.deliver(st.result(iq))
        self.push_blocks(own, request.name, request.numbers)

    async def blocked(self, own: str) -> Collection[str]:
        """Whom this number blocks."""
        return await self._context.store.pairs(blocks, own)

    async def change_blocks(self, by: Holder, numbers: Collection[str], *, adding: bool) -> None:
        """Block these numbers, or block them no more (none given: nobody).

        Raises Problem: too_large, device_revoked.
        """
        own, context = by.number, self._context
        before, wanted = set(await self.blocked(own)), set(numbers) - {own}
        if adding and not self._is_list(wanted | before, Jid(own, context.domain, by.device)):
            raise Problem("too_large", "the block list is full")
        removed = set() if adding else wanted or before
        await context.store.change_pairs(blocks, own, wanted if adding else set(), removed, by)
        self.changed()

    def push_blocks(self, own: str, name: str, numbers: Collection[str]) -> None:
        """Tell the account's devices that are online (XEP-0191)."""
        context = self._context
        for session in context.sessions.online(own):
            if not session.by_key:
                continue
            push = build_blocking(name, numbers, context.domain)
            id_ = f"push-{context.rng.getrandbits(64):016x}"
            session.deliver(st.iq("set", push, id=id_, to=session.jid))
