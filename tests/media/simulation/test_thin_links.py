"""Video beside voice on links that carry little: the voice keeps its quality, the video steps back, stops, comes back."""

from typing import Any

import pytest

from media.simulation.call import SimulatedCall, simulate
from media.simulation.link import LinkParameters, Schedule, Step
from media.simulation.picture import Pattern
from media.simulation.profiles import Direction, Profile, get_profile, parse_line
from media.simulation.video import SimulatedVideo
from media.simulation.voice import generate_voice

FILM = Pattern(320, 240).picture
SECONDS = 20.0


def call(network: Profile | str, *, seed: int, seconds: float = SECONDS) -> SimulatedCall:
    profile = get_profile(network) if isinstance(network, str) else network
    voices = generate_voice(seed, seconds), generate_voice(seed + 100, seconds)
    return simulate(
        profile, seed, voices, seconds=seconds, metrics=False, video=(SimulatedVideo(picture=FILM),) * 2
    )


def concealed(stats: dict[str, dict[str, Any]]) -> float:
    audio = stats["inbound-rtp-audio"]
    return float(audio["concealedSamples"] / audio["totalSamplesReceived"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("network", "most", "plays"),
    [
        ("delay=30 rate=64 qms=300", 0.03, False),  # its first half second, in which nothing is known
        ("delay=80 rate=90 qms=200", 0.02, False),
        ("delay=15 rate=128 qms=500", 0.02, True),
        ("delay=60 jitter=15 rate=160 qms=400", 0.03, True),
        ("delay=30 rate=200 qms=1000", 0.02, True),
        ("delay=20 rate=180 qms=150 loss=0.01", 0.02, True),
    ],
)
@pytest.mark.parametrize("seed", [3, 4])
def test_the_voice_keeps_its_quality(network: str, most: float, plays: bool, seed: int) -> None:
    outcome = call(network, seed=seed)
    for stats, report in zip(outcome.stats, (outcome.caller, outcome.callee), strict=True):
        assert concealed(stats) < most
        assert report.speech is not None and report.speech.mouth_to_ear_median_ms is not None
        assert report.speech.mouth_to_ear_median_ms < 300
        sent = stats["outbound-rtp-video"]
        assert sent["paused"] is not plays or sent["framesSent"] > 50
        if sent["paused"] or sent["targetBitrate"] < 40_000:
            assert sent["qualityLimitationReason"] == "bandwidth"


@pytest.mark.long
def test_video_comes_back_with_the_link() -> None:
    steps = {0.0: "rate=1000", 8.0: "rate=70", 22.0: "rate=1000"}
    schedule = Schedule(tuple(Step(at, parse_line(line)) for at, line in steps.items()))
    direction = Direction(LinkParameters().changed(parse_line("delay=30 rate=1000 qms=300")), schedule)
    outcome = call(Profile("a while", "", direction, direction), seed=1, seconds=45.0)
    for stats in outcome.stats:
        video = stats["outbound-rtp-video"]
        assert video["pauses"] >= 1 and not video["paused"] and video["targetBitrate"] > 60_000
        assert concealed(stats) < 0.05


def test_on_a_link_for_the_voice_alone_video_pauses_and_says_why() -> None:
    outcome = call("delay=30 rate=64 qms=300", seed=1, seconds=6.0)
    for stats in outcome.stats:
        video = stats["outbound-rtp-video"]
        assert video["paused"] and video["targetBitrate"] == 0 and video["pauses"] == 1
        assert video["qualityLimitationReason"] == "bandwidth"
        assert stats["outbound-rtp-audio"]["packetsSent"] > 250
