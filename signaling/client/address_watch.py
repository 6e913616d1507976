"""Notices that this machine's way to the server has another address: a network that went, or a better one that came.

The kernel is asked which source address it would use (a UDP socket that is connected and sends nothing); so no
list of interfaces is read, and an interface that does not matter is not noticed.
"""

import asyncio
import socket
from collections.abc import Callable

INTERVAL = 1.0


def source_address(to: tuple[str, int]) -> str | None:
    """The local address that packets to this literal address leave from; None when there is no route."""
    family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(to)
            return str(probe.getsockname()[0])
    except OSError:
        return None


class AddressWatch:
    """Calls `on_change` once for each change, while `is_needed`.

    `server` is the literal address of the server as it was last reached.
    """

    def __init__(
        self,
        server: Callable[[], tuple[str, int] | None],
        is_needed: Callable[[], bool],
        on_change: Callable[[], None],
        look: Callable[[tuple[str, int]], str | None] = source_address,
    ) -> None:
        self._server = server
        self._is_needed = is_needed
        self._on_change = on_change
        self._look = look
        self._known: tuple[tuple[str, int], str] | None = None

    def check(self) -> None:
        """One look."""
        server = self._server()
        if server is None and self._known is not None:
            server = self._known[0]  # the stream is being made again
        if server is None or not self._is_needed():
            self._known = None
            return
        address = self._look(server)
        if address is None:
            return  # no network at all: the next one tells
        before, self._known = self._known, (server, address)
        if before is not None and before[0] == server and before[1] != address:
            self._on_change()

    async def run(self) -> None:
        while True:
            self.check()
            await asyncio.sleep(INTERVAL)
