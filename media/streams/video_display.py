"""When a decoded picture is shown: by its media time, plus a delay that most pictures make.

The delay follows how much later than the fastest one pictures were ready in the last seconds; it is short,
since a late picture is shown at once and costs a little smoothness, while delay costs every word of a call.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from media.quality.freezes import FreezeCounter
from media.video_frame import VideoFrame

WINDOW = 3.0  # seconds of pictures that the delay is taken from
SHARE = 0.85  # of the pictures are ready within the delay
MAX_JITTER_DELAY = 0.150
MAX_SYNC_DELAY = 0.500
BASE_WINDOW = 10.0
MIN_SPACING = 0.008  # between pictures that are late together (libwebrtc's pacing of late frames)
MAX_WAITING = 30
LIVE = 2.0  # seconds since the last picture
MAX_FREEZES = 1000


class VideoDisplay:
    """Pictures in by insert(), out by pictures_to_show() when their time has come."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, VideoFrame, float]] = deque()  # (due, picture, media time)
        self._ready: deque[tuple[float, float]] = deque()  # (now, offset) of the last seconds
        self._bases: deque[tuple[float, float]] = deque()
        self._base = 0.0
        self._shown_at: float | None = None
        self._freezes = FreezeCounter()
        self.sync_delay = 0.0  # added by the synchronizer
        self.delay = 0.0  # jitter part, seconds
        self.shown_media_time: float | None = None
        self.frames_dropped = 0
        self.freezes: deque[tuple[float, float]] = deque(maxlen=MAX_FREEZES)  # (start, duration)
        self.first_shown: float | None = None

    def reset(self) -> None:
        """Another time line."""
        self._ready.clear()
        self._bases.clear()
        self._waiting.clear()

    def insert(self, picture: NDArray[np.uint8], media_time: float, now: float) -> None:
        """A decoded picture (I420) of media time `media_time` (seconds) is ready."""
        offset = now - media_time
        if self._bases and abs(offset - self._base) > 10:
            self.reset()  # the sender's clock jumped
        self._ready.append((now, offset))
        while now - self._ready[0][0] > WINDOW:
            self._ready.popleft()
        if not self._bases or now - self._bases[-1][0] >= 1.0:
            self._bases.append((now, offset))
        elif offset < self._bases[-1][1]:
            self._bases[-1] = (self._bases[-1][0], offset)
        while now - self._bases[0][0] > BASE_WINDOW:
            self._bases.popleft()
        self._base = min(least for _, least in self._bases)
        lateness = sorted(o - self._base for _, o in self._ready)
        self.delay = min(MAX_JITTER_DELAY, lateness[min(len(lateness) - 1, int(SHARE * len(lateness)))])
        due = media_time + self._base + self.delay + self.sync_delay
        if self._waiting:
            due = max(due, self._waiting[-1][0] + MIN_SPACING)
        elif self._shown_at is not None:
            due = max(due, self._shown_at + MIN_SPACING)
        self._waiting.append((max(due, now), VideoFrame(picture, media_time + self._base), media_time))
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.frames_dropped += 1

    def get_timer(self) -> float | None:
        return self._waiting[0][0] if self._waiting else None

    def pictures_to_show(self, now: float) -> list[VideoFrame]:
        """Those whose time has come, oldest first."""
        out = []
        while self._waiting and self._waiting[0][0] <= now:
            _, frame, media_time = self._waiting.popleft()
            self._count(now)
            self.shown_media_time = media_time
            out.append(frame)
        return out

    def is_live(self, now: float) -> bool:
        """Whether pictures come: one was shown in the last moments."""
        return self._shown_at is not None and now - self._shown_at < LIVE

    def lag(self) -> float | None:
        """Time from a picture's media time to its display at the present delays, on our clock less the sender's."""
        return None if not self._bases else self._base + self.delay + self.sync_delay

    def _count(self, now: float) -> None:
        if self.first_shown is None:
            self.first_shown = now
        if (freeze := self._freezes.shown(now)) is not None:
            self.freezes.append((freeze.start, freeze.duration))
        self._shown_at = now

    @property
    def frames_rendered(self) -> int:
        return self._freezes.frames

    @property
    def freeze_count(self) -> int:
        return self._freezes.count

    @property
    def total_freezes_duration(self) -> float:
        return self._freezes.total

    @property
    def total_inter_frame_delay(self) -> float:
        return self._freezes.total_interval

    @property
    def total_squared_inter_frame_delay(self) -> float:
        return self._freezes.total_squared_interval
