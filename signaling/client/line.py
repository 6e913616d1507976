"""What a call needs of its client, and what the client posts to a call."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signaling.client.contacts import Contacts
from signaling.client.ice_servers import IceServers
from signaling.client.profile import Profile
from signaling.client.websocket import Connection
from signaling.engine import MediaEngine
from signaling.identity import UsedSids
from signaling.jid import Jid
from signaling.jingle.content import Jingle
from signaling.jingle.initiation import Initiation, build_initiation
from signaling.jingle.session import EndReason
from signaling.stanza import ErrorInfo
from signaling.xml import Element

if TYPE_CHECKING:
    from signaling.client.live_call import LiveCall


class Ending(Exception):
    """Raised inside a call's task to end it. `by_peer`: the other side said so and needs not be told."""

    def __init__(
        self,
        reason: EndReason,
        why: str | None = None,
        *,
        by_peer: bool = False,
        tie_break: bool = False,
        migrated_to: str | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(reason, why)
        self.reason = reason
        self.why = why
        self.by_peer = by_peer
        self.tie_break = tie_break
        self.migrated_to = migrated_to
        self.hint = hint  # for the user here: what to do about it


@dataclass(frozen=True, slots=True)
class InitiationReceived:
    """A message of XEP-0353 for this call, from a sender that may send it."""

    initiation: Initiation
    sender: Jid


@dataclass(frozen=True, slots=True)
class JingleReceived:
    """A jingle of this session, from the session's peer. `request` is its iq where that waits for an answer."""

    jingle: Jingle
    request: Element | None = None


@dataclass(frozen=True, slots=True)
class MessageBounced:
    """One of our messages came back."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class EngineState:
    """One of the seam's states, or "peer-closed"."""

    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The user takes the call with this engine; None: with the one that was prepared."""

    engine: MediaEngine | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The engine of a call that rings; the user has not taken it yet."""

    engine: MediaEngine


@dataclass(frozen=True, slots=True)
class Renegotiate:
    """The user changed something at the engine."""

    done: "asyncio.Future[None]"


@dataclass(frozen=True, slots=True)
class RestartIce:
    """The way to the peer may have changed."""

    done: "asyncio.Future[None]"


Request = Renegotiate | RestartIce
Input = Request | InitiationReceived | JingleReceived | MessageBounced | EngineState | Accepted | Prepared


@dataclass(slots=True)
class Line:
    """The client as its calls see it."""

    profile: Profile
    connection: Connection
    contacts: Contacts
    used_sids: UsedSids
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    moved: Callable[["LiveCall", str], None]  # its sid was another one
    gone: Callable[["LiveCall"], None]
    ice_servers: IceServers
    unheard: Callable[[str], InitiationReceived | None] = lambda number: (
        None
    )  # its last proposal, if it did not ring
    allow_loopback: bool = False
    allow_unsigned: bool = False
    preconnect: bool = False

    def say(self, initiation: Initiation, *to: Jid) -> None:
        """One message to each; lost when there is no stream (the peer's timers cope)."""
        for jid in to:
            self.connection.send(build_initiation(initiation, jid, initiation_id(initiation)))

    @property
    def own(self) -> Jid:
        return self.profile.jid


def initiation_id(initiation: Initiation) -> str:
    """The message's id: from it an error is matched to its call (XEP-0353 gives none)."""
    return f"{initiation.kind}-{initiation.sid}"
