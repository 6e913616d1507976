"""The seam: what signaling needs of a media engine. Anything that speaks SDP fits (ours, aiortc, libwebrtc).

Nothing here imports a media library; `media.PeerConnection` implements this by its shape alone.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class IceServer(Protocol):
    """A STUN or TURN server, as W3C webrtc-pc RTCIceServer names it."""

    @property
    def urls(self) -> str | Sequence[str]: ...
    @property
    def username(self) -> str | None: ...
    @property
    def credential(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class IceServerConfig:
    """The plainest thing that is an `IceServer`."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


class IceTransportPolicy(StrEnum):
    """As W3C webrtc-pc RTCIceTransportPolicy names them. RELAY: the peer sees no address but a relay's."""

    ALL = "all"
    RELAY = "relay"


class MediaEngine(Protocol):
    """One call's media. Signaling owns it from the moment it is handed in, and always closes it.

    A remote description or candidate that the engine cannot use raises a ValueError.

    In the middle of a call offers and answers come again, full ones: sections keep their order and mid, new ones
    stand behind. An offer that never got its answer is replaced by the next description of either side. The
    DTLS certificate stays.

    Plain functions that an engine may have, and that are used where they exist: `mute(bool)` and `hold(bool)` by
    `Call.mute` and `Call.hold`; `prepare()` while it rings, after `configure`: find candidates and whatever else takes
    time, send nothing to the peer; `set_media_enabled(bool)`: False comes before the descriptions, and until True the
    engine connects, but opens no device, sends nothing and plays nothing. Without it there is no preconnecting.
    """

    def configure(
        self,
        ice_servers: Sequence[IceServer],
        ice_transport_policy: IceTransportPolicy = IceTransportPolicy.ALL,
    ) -> None:
        """Called before anything else; and again before an ICE restart, when credentials were renewed."""

    async def create_offer(self, *, ice_restart: bool = False) -> str:
        """SDP of our side. Candidates are trickled through `events`; none need be inside."""

    async def create_answer(self, offer: str) -> str:
        """Apply the peer's offer and give our answer."""

    async def set_answer(self, answer: str) -> None:
        """Apply the peer's answer to our offer."""

    async def add_ice_candidate(self, mid: str, candidate: str) -> None:
        """A candidate of the peer: `candidate:...` as in RFC 8839 section 5.1, without `a=`."""

    def events(self) -> AsyncIterator[tuple[str, ...]]:
        """("candidate", mid, line), ("candidate-error", url, why) of a STUN or TURN server,
        ("peer-closed",) where the peer ended the association (DTLS close_notify): it has hung up,
        and ("state", connecting|connected|disconnected|failed|closed[, why]).

        "disconnected" means five seconds without a packet. Ends after ("state", "closed").
        """

    async def close(self) -> None:
        """Idempotent; always returns."""
