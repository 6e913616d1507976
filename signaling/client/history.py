"""What happened to a call, and when: for its user as it happens, and for the report afterwards."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MAX_EVENTS = 64  # that nobody has read yet
MAX_HISTORY = 512
_MOMENTS = ("ringing", "preconnected", "accepted", "session_initiate", "session_accept", "connected", "ended")


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Something that happened to a call.

    Its life: ringing, accepted, session_initiate, session_accept, preconnected (while it rings), connected,
    disconnected, reconnected, ended.
    What the peer says of itself: muted, unmuted, held, resumed.
    What both agreed: content-added, content-changed, content-removed, content-rejected; ice-restarted.
    `at` is in seconds since the call was asked for; `media` the kinds that are meant (audio, video,
    application); `by_peer` whether the other side began it.
    """

    name: str
    at: float
    media: tuple[str, ...] = ()
    by_peer: bool = False


class History:
    """Times count from the making of this object, on `clock`. Bounded: the newest are kept."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self.timings: dict[str, float | None] = {"asked": 0.0, **dict.fromkeys(_MOMENTS)}
        self.all: deque[CallEvent] = deque(maxlen=MAX_HISTORY)
        self.listener: Callable[[CallEvent], None] | None = None
        self.unread: asyncio.Queue[CallEvent] = asyncio.Queue(MAX_EVENTS)

    def note(self, name: str, media: tuple[str, ...] = (), *, by_peer: bool = False) -> None:
        """It happened now; `timings` keeps the first of its kind."""
        event = CallEvent(name, self._clock() - self._began, media, by_peer)
        if self.timings.get(name, 0.0) is None:
            self.timings[name] = event.at
        self.all.append(event)
        if self.unread.full():  # nobody reads: the newest count
            self.unread.get_nowait()
        self.unread.put_nowait(event)
        if self.listener is not None:
            self.listener(event)
