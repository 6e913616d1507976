"""Lip sync: pictures and sound that were taken together are played together.

RTCP sender reports tie each stream's RTP time to the sender's clock (RFC 3550 section 6.4.1). From them comes how long
after its capture each stream is played. The earlier stream is held back, slowly enough that nobody notices:
pictures by their display delay, sound by the jitter buffer's least target.
"""

from media.jitterbuffer.jitter_buffer import JitterBuffer
from media.streams.video_display import MAX_SYNC_DELAY, VideoDisplay

INTERVAL = 0.2
TOLERANCE = 0.010  # seconds; +-40 ms is what is promised
VIDEO_STEP = 0.033  # a frame at a time
AUDIO_STEP = 0.008  # 40 ms a second: what time stretching does unheard
MAX_AUDIO_DELAY = 0.300
SMOOTHING = 0.3


# What a sender says of its clocks is believed once it agrees with itself, as in libwebrtc (RtpToNtpEstimator). Each
# contradiction asks for more of that: a clock that was set once is followed, nonsense never is.
AGREEMENTS, MORE_AGREEMENTS, MAX_AGREEMENTS = 1, 8, 64
WOBBLE, DRIFT = (
    0.100,
    0.002,
)  # seconds, and per second: some senders name the time of their last frame for now
CLOCK_SMOOTHING = 0.3
MAX_OFFSET = 1.0  # seconds; neither stream can be moved as far, and a part of it would only cost delay


class SenderClock:
    """How a stream's media time runs beside its sender's clock, by its sender reports where they agree."""

    def __init__(self) -> None:
        self.offset: float | None = None  # media time less the sender's clock, seconds; None: not known
        self.agreed_at = self.contradicted_at = 0.0  # when a report last did
        self._ssrc: int | None = None
        self._first = self._last = (0.0, 0.0)  # (the sender's clock, offset) of reports that agree
        self._agreements, self._needed = 0, AGREEMENTS

    def receive(self, ssrc: int, ntp_time: float, media_time: float, now: float) -> None:
        """A sender report: seconds of its NTP time stamp and of its RTP time, on the time line of playout."""
        if not ntp_time:
            return  # the sender has no clock (RFC 3550 section 6.4.1)
        report = ntp_time, media_time - ntp_time
        if ssrc != self._ssrc:
            self._ssrc, self.offset, self._needed = ssrc, None, AGREEMENTS
            self._begin(report, now)
        elif not all(_agree(report, before) for before in (self._first, self._last)):
            self._needed = min(MAX_AGREEMENTS, MORE_AGREEMENTS * self._needed)
            self._begin(report, now)
        elif ntp_time > self._last[0]:  # else one that was overtaken, or a copy
            self._agree(report, now)

    def _begin(self, report: tuple[float, float], now: float) -> None:
        self.contradicted_at = now
        self._first = self._last = report
        self._agreements = 0

    def _agree(self, report: tuple[float, float], now: float) -> None:
        self._last = report
        self._agreements += 1
        if self._agreements < self._needed:
            return
        if self.offset is None or self._agreements == self._needed:
            self.offset = report[1]
        self.offset += CLOCK_SMOOTHING * (report[1] - self.offset)
        self.agreed_at = now


def _agree(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[1] - other[1]) <= WOBBLE + DRIFT * abs(one[0] - other[0])


class Synchronizer:
    """Looks at both streams five times a second."""

    def __init__(self) -> None:
        self.audio_clock = SenderClock()
        self.video_clock = SenderClock()
        self.offset: float | None = None  # video later than sound, seconds, smoothed
        self._next = 0.0

    def update(self, audio: JitterBuffer, display: VideoDisplay, now: float) -> None:
        """Measure the offset and move the earlier stream towards the later."""
        if now < self._next:
            return
        self._next = now + INTERVAL
        minimum = audio.delay_manager.minimum
        if not display.is_live(now):
            # A picture that stands is in step with nothing: the voice need not wait for it.
            audio.delay_manager.minimum = max(0.0, minimum - AUDIO_STEP)
            return
        audio_lag, video_lag = audio.lag(), display.lag()
        between = self._between_clocks()
        if audio_lag is None or video_lag is None or between is None:
            return
        offset = video_lag - audio_lag + between
        if abs(offset) > MAX_OFFSET:
            return
        self.offset = offset if self.offset is None else self.offset + SMOOTHING * (offset - self.offset)
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

    def _between_clocks(self) -> float | None:
        """Seconds to add to the difference of the lags; None: the reports do not say, or contradict each other.

        Where one stream's reports have changed the other's may be about to: both have to agree again.
        """
        audio, video = self.audio_clock, self.video_clock
        if audio.offset is None or video.offset is None:
            return None
        if min(audio.agreed_at, video.agreed_at) <= max(audio.contradicted_at, video.contradicted_at):
            return None
        return video.offset - audio.offset
