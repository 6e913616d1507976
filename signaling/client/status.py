"""Mute and hold: said by session-info (XEP-0167 section 7), done by the engine where it can."""

from typing import TYPE_CHECKING

from signaling.client.websocket import StanzaError
from signaling.errors import ServerUnreachable
from signaling.jingle.content import Action, Jingle
from signaling.jingle.description import RtpDescription
from signaling.jingle.info import Info, InfoKind

if TYPE_CHECKING:
    from signaling.client.live_call import LiveCall

# How long a stream that is being made again is waited for.
TELL_TIMEOUT = 30.0
# kind -> (what it is about, whether it begins)
_MEANING = {
    InfoKind.MUTE: ("mute", True),
    InfoKind.UNMUTE: ("mute", False),
    InfoKind.HOLD: ("hold", True),
    InfoKind.ACTIVE: ("hold", False),
}
_EVENTS = {
    ("mute", True): "muted",
    ("mute", False): "unmuted",
    ("hold", True): "held",
    ("hold", False): "resumed",
}


class OwnStatus:
    """What we last said of ourselves."""

    def __init__(self) -> None:
        self.now = {"mute": False, "hold": False}

    async def change(self, call: "LiveCall", kind: InfoKind) -> None:
        """Raises CallFailed when the call is over."""
        what, begins = _MEANING[kind]
        if call.is_over or call.engine is None:
            raise call.over()
        self.now[what] = begins
        apply = getattr(call.engine.engine, what, None)
        if callable(apply):
            apply(begins)
        infos = [kind]
        if kind is InfoKind.ACTIVE and self.now["mute"]:
            infos.append(InfoKind.MUTE)  # to some clients "active" means not muted either
        for info in infos:
            if self.now[what] is begins:  # not overtaken by its contrary
                await self._tell(call, info)

    async def _tell(self, call: "LiveCall", kind: InfoKind) -> None:
        voice = [
            content
            for content in call.local.contents
            if isinstance(content.description, RtpDescription)
            and content.description.kind == "audio"
            and not content.rejected
        ]
        infos: tuple[Info, ...] = (Info(kind),)
        if kind in (InfoKind.MUTE, InfoKind.UNMUTE):
            infos = tuple(Info(kind, c.name, c.creator) for c in voice) or infos
        jingle = Jingle(Action.SESSION_INFO, call.sid, infos=infos)
        while not call.is_over:
            try:
                return await call.ask_jingle(jingle)
            except StanzaError:
                return  # a client that does not show it
            except ServerUnreachable:
                try:
                    await call.line.connection.wait_online(TELL_TIMEOUT)
                except ServerUnreachable:
                    return


class PeerStatus:
    """What the peer last said of itself."""

    def __init__(self) -> None:
        self._now = {"mute": False, "hold": False}

    def hear(self, call: "LiveCall", infos: tuple[Info, ...]) -> None:
        """Notes an event for each thing that is new."""
        for info in infos:
            kind = InfoKind.ACTIVE if info.kind is InfoKind.UNHOLD else info.kind
            if kind is InfoKind.ACTIVE and self._now["mute"] and not self._now["hold"]:
                kind = InfoKind.UNMUTE
            if kind not in _MEANING:  # ringing
                continue
            what, begins = _MEANING[kind]
            if self._now[what] is not begins:
                self._now[what] = begins
                call.note(_EVENTS[what, begins], by_peer=True)
