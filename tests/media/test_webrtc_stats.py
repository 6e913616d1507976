"""Names and units of the statistics (W3C webrtc-stats)."""

from random import Random

import pytest

from media.engine import MediaEngine
from media.negotiation import AudioParameters
from media.simulation.voice import tone
from media.transport.srtp import PROFILES, SrtpKeys
from media.webrtc_stats import Stats

KEYS = SrtpKeys(PROFILES[1], bytes(range(30)), bytes(range(50, 80)))

# The members of the W3C recommendation's dictionaries that a voice call has, by `type`.
COMMON = {"type", "timestamp"}
STREAM = COMMON | {"ssrc", "kind", "transportId", "codecId"}
W3C = {
    "codec": COMMON | {"transportId", "payloadType", "mimeType", "clockRate", "channels", "sdpFmtpLine"},
    "candidate-pair": COMMON | {"availableOutgoingBitrate"},
    "transport": COMMON
    | {"packetsSent", "packetsReceived", "bytesSent", "bytesReceived", "iceState", "dtlsState", "srtpCipher"},
    "outbound-rtp": STREAM
    | {
        "packetsSent",
        "bytesSent",
        "headerBytesSent",
        "retransmittedPacketsSent",
        "retransmittedBytesSent",
        "targetBitrate",
        "mid",
        "mediaSourceId",
        "remoteId",
        "active",
    },
    "media-source": COMMON
    | {"trackIdentifier", "kind", "audioLevel", "totalAudioEnergy", "totalSamplesDuration"},
    "remote-inbound-rtp": STREAM
    | {
        "packetsReceived",
        "packetsLost",
        "jitter",
        "localId",
        "roundTripTime",
        "totalRoundTripTime",
        "fractionLost",
        "roundTripTimeMeasurements",
    },
    "remote-outbound-rtp": STREAM
    | {"packetsSent", "bytesSent", "localId", "remoteTimestamp", "reportsSent"}
    | {"roundTripTime", "totalRoundTripTime", "roundTripTimeMeasurements"},
    "inbound-rtp": STREAM
    | {
        "packetsReceived",
        "packetsLost",
        "jitter",
        "bytesReceived",
        "headerBytesReceived",
        "packetsDiscarded",
        "lastPacketReceivedTimestamp",
        "jitterBufferDelay",
        "jitterBufferTargetDelay",
        "jitterBufferEmittedCount",
        "totalSamplesReceived",
        "concealedSamples",
        "silentConcealedSamples",
        "concealmentEvents",
        "insertedSamplesForDeceleration",
        "removedSamplesForAcceleration",
        "audioLevel",
        "totalAudioEnergy",
        "totalSamplesDuration",
        "fecPacketsReceived",
        "mid",
        "remoteId",
    },
}
# As the module's docstring says: those of RFC 3611 are of what the peer hears.
OWN = {"packetsRefused", "latePackets", "recoveredFrames", "lossRuns", "pathQueueDelay"}
OWN |= {"packetsExpected", "packetsDuplicated", "packetsMissing", "packetsRecovered", "rtcpBytesSent"}
OWN |= {"helperCodecIds", "voicedBytesReceived", "voicedSamplesReceived", "stretchedSamples"}
OWN |= {"concealedAtEndSamples", "silentAtEndSamples"}
OWN |= {"concealedMissingSamples", "concealedEmptySamples", "concealedBrokenSamples", "redundantBytesSent"}
OWN |= {"qualityLimitationReason"}  # which W3C has for video
RFC_3611 = {
    "rFactor", "mosLq", "mosCq", "lossRate", "discardRate", "burstDensity", "gapDensity", "burstDuration",
    "gapDuration", "endSystemDelay", "jitterBufferNominalDelay", "jitterBufferMaximumDelay",
}  # fmt: skip


def engine() -> MediaEngine:
    end = MediaEngine(rng=Random(1))
    end.configure_audio(AudioParameters("0", 111, frozenset({111})))
    return end


def talked(seconds: float = 2.0, *, skip: frozenset[int] = frozenset()) -> tuple[Stats, Stats]:
    """The statistics of both ends after a call in one direction that loses the packets of `skip`."""
    ends = MediaEngine(rng=Random(1)), MediaEngine(rng=Random(2))
    for end, keys in zip(ends, (KEYS, KEYS.swapped()), strict=True):
        end.configure_audio(AudioParameters("0", 111, frozenset({111}), extended_reports=True))
        end.set_keys(keys, 0.0)
    now, number = 0.0, 0
    for tick in range(round(seconds * 100)):
        if tick % 2 == 0:
            ends[0].push_audio(tone(300, tick * 480, 960, 0.3), now)
        for end, other in (ends, ends[::-1]):
            end.handle_timer(now)
            for data in end.packets_to_send(now):
                rtp = not 192 <= data[1] <= 223
                if not (rtp and end is ends[0] and number in skip):
                    other.receive_packet(data, now)
                number += rtp and end is ends[0]
        ends[1].pull_audio(now)
        now += 0.01
    return ends[0].get_stats(now), ends[1].get_stats(now)


def test_every_name_is_w3c_s_or_declared_as_our_own() -> None:
    seen = set()
    budgeted = MediaEngine(rng=Random(1))
    budgeted.configure_audio(
        AudioParameters("0", 111, frozenset({111}), red_payload_type=63, arrival_feedback=True)
    )
    for stats in (engine().get_stats(0.0), budgeted.get_stats(0.0), *talked(3.5)):
        for members in stats.values():
            kind = members["type"]
            seen.add(kind)
            own = OWN | RFC_3611 if kind == "remote-inbound-rtp" else OWN
            assert set(members) <= W3C[kind] | own, set(members) - W3C[kind] - own
            assert kind != "remote-inbound-rtp" or set(members) >= RFC_3611
    assert seen == set(W3C)


def test_before_the_call_nothing_is_claimed() -> None:
    stats = engine().get_stats(5.0)
    assert "remote-inbound-rtp-audio" not in stats
    inbound = stats["inbound-rtp-audio"]
    assert inbound["ssrc"] is inbound["jitter"] is inbound["lastPacketReceivedTimestamp"] is None
    assert inbound["packetsReceived"] == inbound["totalSamplesReceived"] == 0
    assert stats["transport"]["srtpCipher"] is None
    assert {members["timestamp"] for members in stats.values()} == {5.0}
    assert set(MediaEngine(rng=Random(1)).get_stats(0.0)) == {"transport"}


def test_both_ends_agree() -> None:
    alice, bob = talked()
    out, into = alice["outbound-rtp-audio"], bob["inbound-rtp-audio"]
    assert out["packetsSent"] == into["packetsReceived"] == 100
    assert out["bytesSent"] == into["bytesReceived"]
    assert out["headerBytesSent"] == into["headerBytesReceived"], "extensions are header, too"
    assert out["ssrc"] == into["ssrc"]
    assert alice["transport"]["bytesSent"] == bob["transport"]["bytesReceived"]
    assert alice["transport"]["packetsReceived"] == bob["transport"]["packetsSent"] > 0
    assert alice["transport"]["srtpCipher"] == "AES128_CM_SHA1_80"
    assert alice["media-source-audio"]["totalSamplesDuration"] == 2.0
    assert out["targetBitrate"] == 36000
    assert bob["outbound-rtp-audio"]["packetsSent"] == 0


def test_units() -> None:
    _, bob = talked()
    into = bob["inbound-rtp-audio"]
    assert into["totalSamplesDuration"] == into["totalSamplesReceived"] / 48000
    assert 1.8 <= into["totalSamplesDuration"] <= 2.0
    assert 0.0 <= into["jitter"] < 0.001
    assert 0.2 < into["audioLevel"] < 0.25
    assert into["totalAudioEnergy"] == pytest.approx(0.3**2 / 2 * into["totalSamplesDuration"], rel=0.15)
    assert into["lastPacketReceivedTimestamp"] == pytest.approx(1.98)
    mean_delay = into["jitterBufferDelay"] / into["jitterBufferEmittedCount"]
    assert 0.0 < mean_delay < 0.06
    assert 0.0 < into["jitterBufferTargetDelay"] / into["jitterBufferEmittedCount"] < 0.06


def test_losses_are_seen_at_both_ends() -> None:
    alice, bob = talked(4.0, skip=frozenset(range(20, 180, 10)))
    assert bob["inbound-rtp-audio"]["packetsLost"] == 16
    assert 8 <= alice["remote-inbound-rtp-audio"]["packetsLost"] <= 16
    into = bob["inbound-rtp-audio"]
    played = into["jitterBufferEmittedCount"] + into["concealedSamples"] + 960 * into["recoveredFrames"]
    change = into["insertedSamplesForDeceleration"] - into["removedSamplesForAcceleration"]
    assert abs(played + change - into["totalSamplesReceived"]) <= 2000, "every sample has its origin"
