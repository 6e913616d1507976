"""Lip sync: pictures and sound that were taken together are played together.

RTCP sender reports tie each stream's RTP time to the sender's clock (RFC 3550 section 6.4.1). From them comes how long
after its capture each stream is played. The earlier stream is held back, slowly enough that nobody notices:
pictures by their display delay, sound by the jitter buffer's least target.
"""

from dataclasses import dataclass

from media.jitterbuffer.jitter_buffer import JitterBuffer
from media.streams.video_display import MAX_SYNC_DELAY, VideoDisplay

INTERVAL = 0.2
TOLERANCE = 0.010  # seconds; +-40 ms is what is promised
VIDEO_STEP = 0.033  # a frame at a time
AUDIO_STEP = 0.008  # 40 ms a second: what time stretching does unheard
MAX_AUDIO_DELAY = 0.300
SMOOTHING = 0.3


@dataclass(frozen=True, slots=True)
class ClockMap:
    """A sender report: this media time (seconds on the stream's time line) was at this time of the sender's clock."""

    media_time: float
    ntp_time: float  # seconds


class Synchronizer:
    """Looks at both streams five times a second."""

    def __init__(self) -> None:
        self.audio_map: ClockMap | None = None
        self.video_map: ClockMap | None = None
        self.offset: float | None = None  # video later than sound, seconds, smoothed
        self._next = 0.0

    def update(self, audio: JitterBuffer, display: VideoDisplay, now: float) -> None:
        """Measure the offset and move the earlier stream towards the later."""
        if now < self._next:
            return
        self._next = now + INTERVAL
        audio_lag, video_lag = audio.lag(), display.lag()
        if audio_lag is None or video_lag is None or self.audio_map is None or self.video_map is None:
            return
        heard = audio_lag + self.audio_map.media_time - self.audio_map.ntp_time
        seen = video_lag + self.video_map.media_time - self.video_map.ntp_time
        offset = seen - heard
        self.offset = offset if self.offset is None else self.offset + SMOOTHING * (offset - self.offset)
        minimum = audio.delay_manager.minimum
        if offset > TOLERANCE:  # pictures are late
            if display.sync_delay > 0:
                display.sync_delay = max(0.0, display.sync_delay - min(VIDEO_STEP, offset))
            else:
                raised = max(minimum, audio.delay_manager.target) + min(AUDIO_STEP, offset)
                audio.delay_manager.minimum = min(MAX_AUDIO_DELAY, raised)
        elif offset < -TOLERANCE:  # sound is late
            if minimum > 0:
                audio.delay_manager.minimum = max(0.0, minimum - min(AUDIO_STEP, -offset))
            if minimum <= audio.delay_manager.target:
                display.sync_delay = min(MAX_SYNC_DELAY, display.sync_delay + min(VIDEO_STEP, -offset))
