"""Which stream is held back, and how fast."""

from collections.abc import Callable
from itertools import cycle
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from media.streams.synchronizer import (
    AUDIO_STEP,
    INTERVAL,
    TOLERANCE,
    VIDEO_STEP,
    Synchronizer,
)

NTP = 3.9e9  # the sender's clock at the beginning, seconds since 1900

Report = Callable[[float], tuple[float, float] | None]


class Streams:
    """Sound and pictures with lags of their own; the least target is obeyed at once."""

    def __init__(self, audio: float, video: float, target: float = 0.04) -> None:
        self.manager = SimpleNamespace(minimum=0.0, target=target)
        own = target

        def audio_lag() -> float:
            self.manager.target = max(own, self.manager.minimum)
            return audio - own + self.manager.target

        self.audio: Any = SimpleNamespace(delay_manager=self.manager, lag=audio_lag)
        self.display: Any = SimpleNamespace(
            sync_delay=0.0, lag=lambda: video + self.display.sync_delay, is_live=lambda now: self.live
        )
        self.synchronizer = Synchronizer()
        self.report_audio = self.report_video = self.honest
        self.live = True  # pictures come

    @staticmethod
    def honest(now: float) -> tuple[float, float] | None:
        """What a sender report says at `now`: (its clock, media time)."""
        return NTP + now, now

    def run(self, seconds: float, start: float = 0.0) -> float:
        """The true offset at the end; both streams report once a second."""
        for n in range(round(seconds / INTERVAL) + 1):
            now = start + n * (INTERVAL + 1e-6)
            if n % 5 == 0:
                for clock, report in (
                    (self.synchronizer.audio_clock, self.report_audio(now)),
                    (self.synchronizer.video_clock, self.report_video(now)),
                ):
                    if report is not None:
                        clock.receive(7, *report, now)
            self.synchronizer.update(self.audio, self.display, now)
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


def test_without_both_reports_nothing_is_done() -> None:
    streams = Streams(0.05, 0.5)
    streams.report_video = lambda now: None
    streams.run(5)
    assert streams.synchronizer.offset is None and streams.manager.minimum == 0 == streams.display.sync_delay


def nonsense() -> dict[str, Report]:
    rng, half = Random(5), cycle((0.0, 0.5))
    return {
        "no clock": lambda now: (0.0, now),
        "a clock that stands": lambda now: (NTP, now),
        "a time stamp that stands": lambda now: (NTP + now, 7.0),
        "both stand": lambda now: (NTP, 7.0),
        "backwards": lambda now: (NTP - now, now),
        "media backwards": lambda now: (NTP + now, -now),
        "twice as fast": lambda now: (NTP + 2 * now, now),
        "any clock": lambda now: (rng.uniform(1, 2 * NTP), now),
        "any time stamp": lambda now: (NTP + now, rng.uniform(-40_000, 40_000)),
        "half a second to and fro": lambda now: (NTP + now + next(half), now),
        "another time line": lambda now: (NTP + now, now + 1234.0),
        "jumps": lambda now: (NTP + now + 0.7 * int(now / 3), now),
    }


@pytest.mark.parametrize("which", ["report_audio", "report_video"])
@pytest.mark.parametrize("kind", list(nonsense()))
def test_nonsense_never_moves_voice(which: str, kind: str) -> None:
    streams = Streams(0.05, 0.05)
    setattr(streams, which, nonsense()[kind])
    for n in range(60):
        streams.run(1.0, start=1.0 + 1.2 * n)
        assert streams.manager.minimum == 0 == streams.display.sync_delay


@pytest.mark.parametrize("kind", list(nonsense()))
def test_what_was_in_step_stays_when_the_reports_become_nonsense(kind: str) -> None:
    streams = Streams(0.05, 0.2)
    streams.run(20.0, start=1.0)
    assert abs(streams.display.lag() - streams.audio.lag()) <= TOLERANCE + 1e-9
    before = streams.manager.minimum
    streams.report_video = nonsense()[kind]
    streams.run(60.0, start=30.0)
    assert abs(streams.manager.minimum - before) <= TOLERANCE and streams.display.sync_delay == 0


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.3, -0.3])
def test_a_clock_that_is_set_moves_nothing_and_is_followed(step: float) -> None:
    """The sender's clock is set by its own time service; the streams tell of it one after the other."""
    streams = Streams(0.05, 0.05)
    streams.run(10.0, start=1.0)
    streams.report_audio = lambda now: (NTP + step + now, now)
    streams.run(1.0, start=12.0)
    streams.report_video = streams.report_audio
    streams.run(20.0, start=13.4)
    assert streams.manager.minimum == 0 == streams.display.sync_delay
    streams.display.lag = lambda: 0.2 + streams.display.sync_delay
    streams.run(30.0, start=40.0)
    assert abs(streams.display.lag() - streams.audio.lag()) <= TOLERANCE + 1e-9


def test_reports_that_come_twice_or_overtake_each_other_are_no_contradiction() -> None:
    streams = Streams(0.05, 0.2)
    streams.report_video = lambda now: (NTP + now - 3 * (int(now) % 3 == 1), now - 3 * (int(now) % 3 == 1))
    streams.run(20.0, start=1.0)
    assert abs(streams.display.lag() - streams.audio.lag()) <= TOLERANCE + 1e-9


def test_another_source_begins_anew() -> None:
    streams = Streams(0.05, 0.05)
    streams.run(5.0, start=1.0)
    streams.synchronizer.video_clock.receive(8, NTP + 6.0, 500.0, 6.0)
    assert streams.synchronizer.video_clock.offset is None


def test_the_voice_does_not_wait_for_a_picture_that_stands() -> None:
    streams = Streams(0.05, 0.3)
    streams.run(15.0, start=1.0)
    assert streams.manager.minimum > 0.2
    streams.live = False
    streams.run(15.0, start=20.0)
    assert streams.manager.minimum == 0
