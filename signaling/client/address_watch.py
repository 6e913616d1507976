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
    """Calls `on_change` once for each change.

    `stream` gives the literal addresses of the server's end and of this end of the running stream.
    """

    def __init__(
        self,
        stream: Callable[[], tuple[tuple[str, int], str] | None],
        on_change: Callable[[], None],
        look: Callable[[tuple[str, int]], str | None] = source_address,
    ) -> None:
        self._stream = stream
        self._on_change = on_change
        self._look = look
        self._known: tuple[tuple[str, int], str] | None = None

    def check(self) -> None:
        """One look."""
        stream = self._stream()
        if stream is not None and (self._known is None or self._known[0] != stream[0]):
            self._known = stream
        if self._known is None:
            return
        server, before = self._known
        address = self._look(server)
        if address is not None and address != before:  # None: no network at all, the next one tells
            self._known = server, address
            self._on_change()

    async def run(self) -> None:
        while True:
            self.check()
            await asyncio.sleep(INTERVAL)
