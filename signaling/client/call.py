"""A call as its user sees it."""

import asyncio
from collections.abc import AsyncIterator

from signaling import words
from signaling.client.history import CallEvent, History
from signaling.errors import CallError
from signaling.identity import Trust
from signaling.jingle.info import InfoKind
from signaling.jingle.session import EndReason


class Call:
    """One call with `number`; made by `Client.call` and `IncomingCall.accept`.

    Attributes:
        number: the other side's, in E.164.
        sid: the session's identifier on the wire.
        media: what was asked for: "audio", "video".
        trust: how far the other side's identity is known, a value of `signaling.identity.Trust`: "not verified" at
            first contact, "same key as before", "verified" once a person has compared it, "new device",
            "unsigned"; None until it was checked.
        timings: step -> seconds since the call was asked for; None until it was reached.
        end_reason: why it is over, a value of `EndReason`; None while it lives.
        ended_by_peer: whether the other side ended it.
        end_text: a detail of the end in words, if there is one.
        error: the end as it is raised where a call did not come about.
    """

    def __init__(self, number: str, sid: str, media: tuple[str, ...], history: History) -> None:
        self.number = number
        self.sid = sid
        self.media = media
        self.trust: Trust | None = None
        self.end_reason: EndReason | None = None
        self.end_text: str | None = None
        self.ended_by_peer = False
        self.error: CallError | None = None
        self.timings = history.timings
        self._history = history
        self._done = asyncio.Event()

    async def hang_up(self) -> None:
        """End the call; the peer is told. Returns when the engine is closed."""
        self._end()
        await self._done.wait()

    async def ended(self) -> EndReason:
        """Wait for the end and say why."""
        await self._done.wait()
        assert self.end_reason is not None
        return self.end_reason

    @property
    def end_sentence(self) -> str:
        """Why the call is over, for a person."""
        if self.end_reason is None or self.error is None:
            return "the call goes on"
        if self.end_reason is EndReason.UNTRUSTED:
            return str(self.error)  # with what to do about it
        return words.call_end(self.end_reason, self.number, by_peer=self.ended_by_peer, why=self.end_text)

    async def events(self) -> AsyncIterator[CallEvent]:
        """What happens to the call, as it happens, up to "ended". For one reader."""
        unread = self._history.unread
        while not (self._done.is_set() and unread.empty()):
            event = await unread.get()
            yield event
            if event.name == "ended":
                return

    @property
    def history(self) -> tuple[CallEvent, ...]:
        """All that happened so far, or its last 512 events."""
        return tuple(self._history.all)

    async def renegotiate(self) -> None:
        """Agree with the peer on what the engine offers now (a camera more, a screen less). Returns when it is so.

        The engine owes no more than its offer: cameras are set there, before. Changes of both sides at once are
        settled one after the other.

        Raises:
            ChangeRefused: the peer does not want it, or not all of it; the call goes on.
            CallError: the call ended meanwhile.
        """
        await self._renegotiate()

    async def restart_ice(self) -> None:
        """Look for a new path to the peer. The client does it by itself when it sees its address change.

        Returns when the peer was asked; "ice-restarted" comes when it answered.
        """
        await self._restart_ice()

    async def mute(self, muted: bool = True) -> None:
        """Mute the engine, if it can, and tell the peer, as soon as it can be reached."""
        await self._say_status(InfoKind.MUTE if muted else InfoKind.UNMUTE)

    async def hold(self, held: bool = True) -> None:
        """As `mute`, for all media in both directions."""
        await self._say_status(InfoKind.HOLD if held else InfoKind.ACTIVE)

    # What the task behind it does (live_call.py).

    def _end(self) -> None:
        raise NotImplementedError

    async def _renegotiate(self) -> None:
        raise NotImplementedError

    async def _restart_ice(self) -> None:
        raise NotImplementedError

    async def _say_status(self, kind: InfoKind) -> None:
        raise NotImplementedError
