"""Offers and answers of one connection: what is gathered and described, and then applied, one after the other.

Where both ends have offered, the one that gives way answers the other's offer as if it had not made its own (rollback,
RFC 9429 section 4.1.10.2): ICE's role and a restart that was in it are taken back.
"""

import asyncio
from collections.abc import Awaitable, Callable

from media import sdp
from media.errors import ConnectionClosed
from media.io.secure_transport import SecureTransport
from media.io.setup_steps import SetupSteps
from media.jsep import Jsep
from media.negotiation import LocalParameters, Negotiated


class Negotiator:
    """`transport()` gives the connection's, the same each time; `local(data)` what this end has to offer now, with a
    section for data channels or without; `apply(agreed)` is called when both descriptions are known."""

    def __init__(
        self,
        transport: Callable[[], SecureTransport],
        local: Callable[[bool], LocalParameters],
        apply: Callable[[Negotiated], Awaitable[None]],
        steps: SetupSteps,
    ) -> None:
        self._transport, self._local, self._apply = transport, local, apply
        self._steps = steps
        self._jsep = Jsep()
        self._candidates: list[str] = []
        self._turn = asyncio.Lock()  # W3C's operations chain
        self._closed = False
        self.begun = False  # there is a description: candidates of the peer may come

    @property
    def mid(self) -> str:
        """Of the section to which the candidates belong."""
        return self._jsep.mid

    def offer_again(self, kind: str) -> None:
        """The user has something new of this kind (audio, video, application): see Jsep.offer_again()."""
        self._jsep.offer_again(kind)

    async def create_offer(self, *, ice_restart: bool) -> str:
        async with self._turn:
            await self._gather(controlling=True, restart=ice_restart)
            return self._with_candidates(self._jsep.offer(self._local(False)))

    async def create_answer(self, offer: str) -> str:
        async with self._turn:
            restart = False
            if self.begun and self._transport().started:
                transport = self._transport()
                restart = transport.restarts(self._jsep.preview(offer, self._local(True)).transport)
                if not restart and transport.withdraw_restart():
                    self._candidates = await transport.ice.gather()
            else:
                sdp.parse(offer)  # before a socket is opened
            await self._gather(controlling=False, restart=restart)
            answer, agreed = self._jsep.answer(offer, self._local(True))
            await self._apply(agreed)
            return self._with_candidates(answer)

    async def set_answer(self, answer: str) -> Negotiated:
        async with self._turn:
            agreed = self._jsep.set_answer(answer)
            await self._apply(agreed)
            return agreed

    def close(self) -> None:
        self._closed = True

    async def _gather(self, *, controlling: bool, restart: bool) -> None:
        self._check_open()
        transport = self._transport()
        if not transport.started:
            transport.set_controlling(controlling)
        if restart and self.begun:
            transport.begin_restart()
        elif self.begun:
            return
        self.begun = True
        self._candidates = await transport.latest_ice.gather()
        self._check_open()
        self._steps.reached("candidates_gathered")

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionClosed("the connection is closed")

    def _with_candidates(self, description: sdp.SessionDescription) -> str:
        for media in description.media:
            if media.port and media.mid == self.mid:
                media.candidates = list(self._candidates)
        return str(description)
