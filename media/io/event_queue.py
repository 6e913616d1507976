"""The events of a connection, for whoever listens."""

import asyncio
from collections.abc import AsyncIterator

MAX_EVENTS = 256

Event = tuple[str, ...]


class EventQueue:
    """Bounded: when nobody listens, only the end is added."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        if self._events.qsize() < MAX_EVENTS or event[:2] == ("state", "closed"):
            self._events.put_nowait(event)

    async def listen(self) -> AsyncIterator[Event]:
        """Each event once; ends after ("state", "closed", ...)."""
        while True:
            event = await self._events.get()
            yield event
            if event[:2] == ("state", "closed"):
                return
