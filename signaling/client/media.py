"""A call's engine in signaling's hands: its events, its candidates out and in, and its end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from signaling.engine import IceServer, IceTransportPolicy, MediaEngine
from signaling.jingle.content import Content
from signaling.jingle.syntax import MAX_CANDIDATES, JingleError
from signaling.jingle.transport import Candidate, is_address, parse_candidate_line

log = logging.getLogger(__name__)

CLOSE_TIMEOUT = 5.0
# A peer takes 20 transport-infos a second: several candidates go into one.
TRICKLE_INTERVAL = 0.1

SendCandidates = Callable[[list[tuple[str, Candidate]]], Awaitable[None]]


class Media:
    """Owns one engine from `start` to `close`."""

    def __init__(self, engine: MediaEngine, on_state: Callable[[str, str], None]) -> None:
        self.engine = engine
        self._on_state = on_state
        self._tasks: list[asyncio.Task[None]] = []
        self._local: list[tuple[str, Candidate]] = []
        self._local_count = 0
        self._more = asyncio.Event()
        self._early: list[tuple[str, Candidate]] = []
        self._remote_applied = False
        self.started = False
        self._configured: tuple[tuple[IceServer, ...], IceTransportPolicy] = ((), IceTransportPolicy.ALL)
        self.refused_candidates = 0
        self.trouble: str | None = None  # with a STUN or TURN server, the last one

    def start(
        self, ice_servers: Sequence[IceServer], policy: IceTransportPolicy = IceTransportPolicy.ALL
    ) -> None:
        self.started = True
        self._configured = tuple(ice_servers), policy
        self.engine.configure(ice_servers, policy)
        self._tasks.append(asyncio.create_task(self._pump(), name="ringline-engine-events"))

    def prepare(self) -> None:
        """Let the engine do while it rings what takes time."""
        self._if_it_can("prepare")

    @property
    def can_preconnect(self) -> bool:
        return callable(getattr(self.engine, "set_media_enabled", None))

    def set_enabled(self, enabled: bool) -> None:
        """Whether sound and pictures may flow."""
        self._if_it_can("set_media_enabled", enabled)

    def _if_it_can(self, name: str, *arguments: bool) -> None:
        function = getattr(self.engine, name, None)
        if callable(function):
            function(*arguments)

    def renew(self, ice_servers: Sequence[IceServer]) -> None:
        """Before an ICE restart: the credentials of relays may be others by now."""
        servers, policy = self._configured
        if tuple(ice_servers) != servers:
            self._configured = tuple(ice_servers), policy
            self.engine.configure(ice_servers, policy)

    def start_trickle(self, send: SendCandidates) -> None:
        """From now on local candidates are sent; those that were found before go first."""
        self._tasks.append(asyncio.create_task(self._trickle(send), name="ringline-trickle"))

    async def _pump(self) -> None:
        try:
            async for event in self.engine.events():
                match event:
                    case ("candidate", mid, line):
                        self._found(mid, line)
                    case ("candidate-error", url, *why):
                        self.trouble = f"{url}: {' '.join(why)}"
                        # That a relay refuses the peer's private addresses is as it should be.
                        usual = " ".join(why).startswith("403 ")
                        log.log(logging.INFO if usual else logging.WARNING, "%s", self.trouble)
                    case ("peer-closed",):
                        self._on_state("peer-closed", "")
                    case ("state", state, *reason):
                        self._on_state(state, " ".join(reason))
        except Exception:
            log.exception("the media engine failed")
            self._on_state("failed", "the media engine failed")

    def _found(self, mid: str, line: str) -> None:
        if self._local_count >= MAX_CANDIDATES or not line:
            return
        try:
            candidate = parse_candidate_line(line)
        except JingleError:
            log.debug("the engine's candidate is not understood")
            return
        if is_address(candidate.ip):  # a peer believes no names
            self._local_count += 1
            self._local.append((mid, candidate))
            self._more.set()

    async def _trickle(self, send: SendCandidates) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            batch, self._local = self._local, []
            if batch:
                await send(batch)
            await asyncio.sleep(TRICKLE_INTERVAL)

    async def remote_applied(self) -> None:
        """The remote description is in: the candidates that came before follow."""
        self._remote_applied = True
        early, self._early = self._early, []
        for mid, candidate in early:
            await self._add(mid, candidate)

    async def add_remote(self, contents: Iterable[Content]) -> None:
        """Candidates of a transport-info; kept until the remote description is applied."""
        for content in contents:
            for candidate in content.transport.candidates:
                if self._remote_applied:
                    await self._add(content.name, candidate)
                else:  # bounded by the session's candidate budget
                    self._early.append((content.name, candidate))

    async def _add(self, mid: str, candidate: Candidate) -> None:
        try:
            await self.engine.add_ice_candidate(mid, candidate.line())
        except Exception:
            # ValueError for one that does not fit; an engine's surprise at one path is no reason to end a call.
            log.debug("the engine refused a candidate", exc_info=True)
            self.refused_candidates += 1

    async def close(self) -> None:
        """Close the engine and stop the tasks; returns within five seconds whatever the engine does."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.engine.close()
        except TimeoutError:
            log.warning("the media engine did not close in %g s", CLOSE_TIMEOUT)
        except Exception:
            log.exception("the media engine failed while closing")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
