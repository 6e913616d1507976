"""Which stream is held back, and how fast."""

from types import SimpleNamespace
from typing import Any

import pytest

from media.streams.synchronizer import (
    AUDIO_STEP,
    INTERVAL,
    MAX_AUDIO_DELAY,
    TOLERANCE,
    VIDEO_STEP,
    ClockMap,
    Synchronizer,
)
from media.streams.video_display import MAX_SYNC_DELAY


class Streams:
    """Sound and pictures with lags of their own; the least target is obeyed at once."""

    def __init__(self, audio: float, video: float, target: float = 0.04) -> None:
        self.manager = SimpleNamespace(minimum=0.0, target=target)
        own = target

        def audio_lag() -> float:
            self.manager.target = max(own, self.manager.minimum)
            return audio - own + self.manager.target

        self.audio: Any = SimpleNamespace(delay_manager=self.manager, lag=audio_lag)
        self.display: Any = SimpleNamespace(sync_delay=0.0, lag=lambda: video + self.display.sync_delay)
        self.synchronizer = Synchronizer()
        self.synchronizer.audio_map = self.synchronizer.video_map = ClockMap(0.0, 0.0)

    def run(self, seconds: float, start: float = 0.0) -> float:
        """The true offset at the end."""
        for n in range(round(seconds / INTERVAL) + 1):
            self.synchronizer.update(self.audio, self.display, start + n * (INTERVAL + 1e-6))
        return float(self.display.lag() - self.audio.lag())


@pytest.mark.parametrize(("audio", "video"), [(0.05, 0.2), (0.2, 0.05), (0.1, 0.1), (0.05, 0.09)])
def test_streams_come_together_and_stay(audio: float, video: float) -> None:
    streams = Streams(audio, video)
    assert abs(streams.run(15)) <= TOLERANCE + 1e-9
    assert abs(streams.run(10, start=20)) <= TOLERANCE + 1e-9
    assert min(streams.manager.minimum, streams.display.sync_delay) == 0, "only one of them is held back"
    assert streams.synchronizer.offset == pytest.approx(0, abs=TOLERANCE + 0.001)


def test_nothing_moves_faster_than_one_can_bear() -> None:
    streams = Streams(0.05, 0.3)
    before = streams.audio.lag()
    for n in range(30):
        streams.synchronizer.update(streams.audio, streams.display, n * (INTERVAL + 1e-6))
        now = streams.audio.lag()
        assert now - before <= AUDIO_STEP + 1e-9
        before = now
    streams = Streams(0.3, 0.05)
    for n in range(30):
        before = streams.display.sync_delay
        streams.synchronizer.update(streams.audio, streams.display, n * (INTERVAL + 1e-6))
        assert streams.display.sync_delay - before <= VIDEO_STEP + 1e-9


def test_delays_are_bounded_when_clocks_are_nonsense() -> None:
    for shift in (3600.0, -3600.0):
        streams = Streams(0.05, 0.05)
        streams.synchronizer.video_map = ClockMap(shift, 0.0)
        streams.run(60)
        assert streams.manager.minimum <= MAX_AUDIO_DELAY and streams.display.sync_delay <= MAX_SYNC_DELAY


def test_without_both_reports_nothing_is_done() -> None:
    streams = Streams(0.05, 0.5)
    streams.synchronizer.video_map = None
    streams.run(5)
    assert streams.synchronizer.offset is None and streams.manager.minimum == 0 == streams.display.sync_delay
