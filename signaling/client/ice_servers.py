"""Which STUN and TURN servers a call uses: the application's own, and those that the server tells of (XEP-0215)."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from signaling.client.websocket import Connection, StanzaError
from signaling.engine import IceServer, IceServerConfig, IceTransportPolicy
from signaling.errors import SignalingError
from signaling.external_services import Service, build_services, parse_services
from signaling.jid import Jid

log = logging.getLogger(__name__)

# A call waits no longer for the answer: it does without.
PATIENCE = 2.0
# What has no expiry is asked for again after so long.
DEFAULT_LIFE = 3600.0


class IceServers:
    """Asks when a call needs them, and again when half of their credentials' life is over."""

    def __init__(
        self,
        connection: Connection,
        domain: str,
        own: Sequence[IceServer],
        policy: IceTransportPolicy,
        wall_clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._domain = Jid("", domain)
        self._own = tuple(own)
        self._policy = policy
        self._wall_clock = wall_clock
        self._told: tuple[Service, ...] = ()
        self._ask_after = 0.0  # Unix seconds
        self._asking: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Ask now, if it is time, so that get() need not wait."""
        if self._asking is None and self._wall_clock() >= self._ask_after:
            self._asking = asyncio.create_task(self._ask(), name="ringline-ice-servers")

    async def get(self) -> tuple[IceServer, ...]:
        """All that are known. Never raises; waits two seconds at most."""
        self.prepare()
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=PATIENCE)
        told = (IceServerConfig((s.url,), s.username, s.password) for s in self._told)
        return (*self._own, *told)

    def policy(self, servers: Sequence[IceServer], known: bool) -> IceTransportPolicy:
        """Which way media may go. Somebody who is not known learns no address of this host, if there is a relay."""
        return IceTransportPolicy.RELAY if has_relay(servers) and not known else self._policy

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask(self) -> None:
        try:
            answer = await self._connection.ask("get", build_services(), self._domain)
            self._told = parse_services(answer)
        except StanzaError as error:
            if error.info.condition not in ("service-unavailable", "feature-not-implemented"):
                log.warning("the server does not tell its STUN and TURN servers: %s", error)
            self._told = ()  # it has none
        except SignalingError as error:
            log.info("STUN and TURN servers are not known: %s", error)
            return  # what was known before may still do
        finally:
            self._asking = None
        now = self._wall_clock()
        lives = [s.expires - now for s in self._told if s.expires is not None]
        self._ask_after = now + min([DEFAULT_LIFE, *(life / 2 for life in lives)])


def has_relay(servers: Sequence[IceServer]) -> bool:
    urls = [url for s in servers for url in ((s.urls,) if isinstance(s.urls, str) else s.urls)]
    return any(url.startswith("turn") for url in urls)
