"""Snapshots of statistics made by hand: a stream whose counters go as the test says."""

from collections.abc import Callable
from typing import Any

import pytest

from media.quality.report import QualityReport, ReportBuilder

Stats = dict[str, dict[str, Any]]


class Counters:
    """A call's counters; `second(...)` lets one pass and gives the snapshot after it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.inbound: dict[str, Any] = {
            "type": "inbound-rtp", "kind": "audio", "ssrc": 1, "packetsReceived": 0, "packetsLost": 0,
            "bytesReceived": 0, "headerBytesReceived": 0, "jitter": 0.002, "latePackets": 0, "recoveredFrames": 0,
            "packetsExpected": 0, "packetsDuplicated": 0, "packetsMissing": 0, "packetsRecovered": 0,
            "concealedMissingSamples": 0, "concealedEmptySamples": 0, "concealedBrokenSamples": 0,
            "totalAudioEnergy": 0.0, "totalSamplesDuration": 0.0,
            "totalSamplesReceived": 0, "concealedSamples": 0, "silentConcealedSamples": 0, "concealmentEvents": 0,
            "jitterBufferDelay": 0.0, "jitterBufferTargetDelay": 0.0, "jitterBufferEmittedCount": 0,
            "audioLevel": 0.1,
        }  # fmt: skip
        self.outbound: dict[str, Any] = {
            "type": "outbound-rtp", "kind": "audio", "packetsSent": 0, "bytesSent": 0, "headerBytesSent": 0,
            "targetBitrate": 32000, "redundantBytesSent": 0, "retransmittedBytesSent": 0,
        }  # fmt: skip
        self.source: dict[str, Any] = {
            "type": "media-source", "kind": "audio", "totalAudioEnergy": 0.0, "totalSamplesDuration": 0.0,
        }  # fmt: skip
        self.transport: dict[str, Any] = {
            "type": "transport", "packetsSent": 0, "bytesSent": 0, "rtcpBytesSent": 0,
        }  # fmt: skip
        self.remote: dict[str, Any] = {
            "type": "remote-inbound-rtp", "kind": "audio", "fractionLost": 0.02, "jitter": 0.003,
            "roundTripTime": 0.06, "totalRoundTripTime": 0.0, "roundTripTimeMeasurements": 0,
        }  # fmt: skip

    def snapshot(self) -> Stats:
        entries = (self.inbound, self.outbound, self.remote, self.source, self.transport)
        return dict(zip("iorst", map(dict, entries), strict=True))

    def second(
        self,
        *,
        packets: int = 50,
        lost: int = 0,
        late: int = 0,
        concealed: int = 0,
        silent: int = 0,
        at_end: int = 0,
        events: int = 0,
        recovered: int = 0,
        buffer: float = 0.06,
        rtt: float = 0.06,
        seconds: float = 1.0,
    ) -> Stats:
        """`concealed`, `silent`: frames of 20 ms (silent ones are concealed too); `at_end`: of the concealed ones,
        those behind the last packet."""
        self.now += seconds
        emitted = packets * 960
        for key, change in (
            ("packetsReceived", packets), ("packetsLost", lost), ("packetsMissing", lost),
            ("packetsExpected", packets + lost), ("packetsRecovered", recovered),
            ("concealedMissingSamples", (concealed - silent - at_end) * 960),
            ("concealedEmptySamples", (silent + at_end) * 960),
            ("totalAudioEnergy", 0.01 * seconds), ("totalSamplesDuration", seconds), ("bytesReceived", packets * 80),
            ("headerBytesReceived", packets * 12), ("latePackets", late), ("recoveredFrames", recovered),
            ("totalSamplesReceived", round(48_000 * seconds)), ("concealedSamples", concealed * 960),
            ("silentConcealedSamples", silent * 960), ("concealmentEvents", events),
            ("jitterBufferDelay", emitted * buffer), ("jitterBufferTargetDelay", emitted * buffer / 2),
            ("jitterBufferEmittedCount", emitted),
        ):  # fmt: skip
            self.inbound[key] += change
        self.inbound["concealedAtEndSamples"] = at_end * 960 + (not packets and silent * 960)
        self.outbound["packetsSent"] += 50
        self.outbound["bytesSent"] += 50 * 80
        self.outbound["headerBytesSent"] += 50 * 12
        self.outbound["redundantBytesSent"] += 50 * 20
        self.outbound["retransmittedBytesSent"] += 100
        self.source["totalAudioEnergy"] += 0.001 * seconds
        self.source["totalSamplesDuration"] += seconds
        self.transport["packetsSent"] += 53
        self.transport["bytesSent"] += 50 * 102 + 200
        self.transport["rtcpBytesSent"] += 200
        self.remote["totalRoundTripTime"] += 2 * rtt
        self.remote["roundTripTimeMeasurements"] += 2
        self.remote["roundTripTime"] = rtt
        return self.snapshot()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def build(counters: Counters) -> Callable[..., QualityReport]:
    """`build({...}, {...})`: the report of a call of such seconds (keywords of Counters.second)."""

    def build(*seconds: dict[str, Any]) -> QualityReport:
        builder = ReportBuilder({"ringline": "0.1.0"})
        builder.sample(counters.snapshot(), counters.now)
        for each in seconds:
            builder.sample(counters.second(**each), counters.now)
        return builder.build({"first_sound": 0.25})

    return build
