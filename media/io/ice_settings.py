"""What the ICE of one connection is told, for its first gathering and for its restarts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from media.io.ice_syntax import IceServer
from media.simulation.link import Link


@dataclass(slots=True)
class IceSettings:
    """`addresses`: local ones that candidates are made of, None: all. `network`: a link that all that is sent goes
    through. `relay_only`: the peer sees no address of this host, and nothing is sent to it but through relays."""

    servers: Sequence[IceServer] = ()
    addresses: Sequence[str] | None = None
    network: Link | None = None
    relay_only: bool = False

    def configure(self, servers: Sequence[Any], policy: str) -> bool:
        """Whether the policy ("all" or "relay": W3C RTCIceTransportPolicy) is another one now. Raises ValueError."""
        if policy not in ("all", "relay"):
            raise ValueError(f"the ICE transport policy is all or relay, not {policy!r:.40}")
        before = self.relay_only
        self.servers, self.relay_only = [IceServer.of(s) for s in servers], policy == "relay"
        return before != self.relay_only
