"""The engine's counters under the names of W3C webrtc-stats. Counters are cumulative, times in seconds.

Ringline's own are, of received streams: `packetsExpected`, `packetsDuplicated`, `packetsMissing` (each packet counted
once: expected = received - duplicated + missing), `packetsRecovered` (of the missing), `latePackets` (came after their
turn), `recoveredFrames` (played from a copy), `lossRuns` (packets missing in a row -> how often), and what concealment
stood in for (`concealedMissingSamples`, `concealedEmptySamples`, `concealedBrokenSamples`: together concealedSamples).
Of what is louder than the background: `voicedBytesReceived`, the codec's, and `voicedSamplesReceived`, what these
became. `stretchedSamples`: inserted and removed after the first 2 s. `concealedAtEndSamples`: of concealedSamples,
those since the last packet was played (`silentAtEndSamples`: of silentConcealedSamples); 0 when the next is played. Of
the transport: `rtcpBytesSent`. Of
outbound-rtp: `redundantBytesSent` (copies, RED), `pathQueueDelay`, what the sender takes for a queue on the path, and
for voice, too, `qualityLimitationReason` (cpu or none). Of remote-inbound-rtp: what the peer tells in extended reports,
of the whole call up to then (RFC 3611 section 4.7; `_as_heard`).
"""

from typing import TYPE_CHECKING, Any

from media import video_stats
from media.jitterbuffer.jitter_buffer import LONG_LOSS
from media.parameters import audio_clock_rate
from media.rtp.extended_reports import VoipMetrics
from media.streams.audio_receiver import AudioReceiver
from media.streams.audio_sender import AudioSender

if TYPE_CHECKING:
    from media.engine import MediaEngine

Stats = dict[str, dict[str, Any]]
SAMPLE_RATE = 48000
HELPERS = ("red", "rtx")  # beside a stream's codec


def collect(engine: "MediaEngine", now: float) -> Stats:
    """Stats by id. What has not been measured is None or absent."""
    stats: Stats = {
        "transport": {
            "type": "transport",
            "packetsSent": engine.transport.packets_sent,
            "packetsReceived": engine.transport.packets_received,
            "bytesSent": engine.transport.bytes_sent,
            "bytesReceived": engine.transport.bytes_received,
            "rtcpBytesSent": engine.transport.rtcp_bytes_sent,
            "packetsRefused": engine.transport.packets_refused,
            "srtpCipher": engine.srtp_profile,
        }
    }
    if engine.sender is not None:
        stats |= _outbound(engine.sender, engine.ssrc, engine.reports.remote_metrics)
        if engine.sender.budget_bps is not None:
            stats["candidate-pair"] = {
                "type": "candidate-pair",
                "availableOutgoingBitrate": round(engine.sender.budget_bps),
            }
    if engine.receiver is not None:
        stats["inbound-rtp-audio"] = inbound(engine.receiver)
        if engine.reports.round_trip_time is not None and engine.receiver.statistics is not None:
            stats["remote-outbound-rtp-audio"] = {
                "type": "remote-outbound-rtp",
                "kind": "audio",
                "ssrc": engine.receiver.statistics.ssrc,
                "roundTripTime": engine.reports.round_trip_time,
                "totalRoundTripTime": engine.reports.total_round_trip_time,
                "roundTripTimeMeasurements": engine.reports.round_trip_time_measurements,
            }
    stats |= _codecs(engine)
    if engine.video_parameters is not None:
        codec = engine.video_parameters.codec
        if engine.video_sender is not None and engine.video_sender.frames_captured:
            stats |= video_stats.outbound(engine.video_sender, codec)
        if engine.video_receiver is not None and engine.video_receiver.statistics is not None:
            stats["inbound-rtp-video"] = video_stats.inbound(
                engine.video_receiver, engine.synchronizer, codec
            )
    for id_, beside in _helpers(stats).items():
        stats[id_] |= beside
    for each in stats.values():
        each["timestamp"] = now
    return stats


def _codecs(engine: "MediaEngine") -> Stats:
    """What was agreed on, by direction: `codec-audio-outbound`, and its helpers `codec-audio-outbound-red` ..."""
    found: Stats = {}

    def add(kind: str, way: str, payload_type: int | None, name: str, clock_rate: int, **more: Any) -> None:
        helper = f"-{name}" if name in HELPERS else ""
        if payload_type is not None:
            found[f"codec-{kind}-{way}{helper}"] = {
                "type": "codec",
                "transportId": "transport",
                "payloadType": payload_type,
                "mimeType": f"{kind}/{name}",
                "clockRate": clock_rate,
            } | more

    if (audio := engine.parameters) is not None:
        heard = audio.codec if engine.receiver is None else engine.receiver.codec
        received = next((pt for pt, name in audio.other_codecs if name == heard), audio.send_payload_type)
        for way, codec, payload_type in (
            ("outbound", audio.codec, audio.send_payload_type),
            ("inbound", heard, received),
        ):
            opus = codec == "opus"
            fmtp = f"useinbandfec={int(audio.use_inband_fec)};usedtx={int(audio.use_dtx)}"
            more = {"channels": 2, "sdpFmtpLine": fmtp} if opus else {"channels": 1}
            add("audio", way, payload_type, codec, audio_clock_rate(codec), **more)
            add("audio", way, audio.red_payload_type, "red", audio.clock_rate)
            add("audio", way, audio.rtx_payload_type, "rtx", audio.clock_rate)
    if (video := engine.video_parameters) is not None:
        add("video", "outbound", video.send_payload_type, video.codec, 90_000)
        add("video", "outbound", video.send_rtx_payload_type, "rtx", 90_000)
        add("video", "inbound", video.receive_payload_type, video.codec, 90_000)
        add("video", "inbound", video.receive_rtx_payload_type, "rtx", 90_000)
    return found


def _helpers(stats: Stats) -> Stats:
    """Which codecs each stream uses."""
    out: Stats = {}
    for id_, entry in stats.items():
        if entry["type"] in ("inbound-rtp", "outbound-rtp"):
            codec = f"codec-{entry['kind']}-{entry['type'].removesuffix('-rtp')}"
            beside = [other for name in HELPERS if (other := f"{codec}-{name}") in stats]
            out[id_] = {"codecId": codec, "helperCodecIds": beside}
    return out


def _outbound(sender: AudioSender, ssrc: int, heard: VoipMetrics | None) -> Stats:
    rtp = sender.rtp
    stats: Stats = {
        "outbound-rtp-audio": {
            "type": "outbound-rtp",
            "kind": "audio",
            "ssrc": ssrc,
            "packetsSent": rtp.packets_sent,
            "bytesSent": rtp.bytes_sent,
            "headerBytesSent": rtp.header_bytes_sent,
            "redundantBytesSent": sender.redundant_bytes_sent,
            "retransmittedPacketsSent": sender.packets_retransmitted,
            "retransmittedBytesSent": sender.bytes_retransmitted,
            "targetBitrate": sender.bitrate_bps,
            "pathQueueDelay": sender.path_queue,
            "qualityLimitationReason": "cpu" if sender.hurried else "none",
        },
        "media-source-audio": {
            "type": "media-source",
            "kind": "audio",
            "totalAudioEnergy": sender.total_audio_energy,
            "totalSamplesDuration": sender.total_samples_captured / SAMPLE_RATE,
        },
    }
    if rtp.remote is not None:
        stats["remote-inbound-rtp-audio"] = {
            "type": "remote-inbound-rtp",
            "kind": "audio",
            "ssrc": ssrc,
            "packetsLost": rtp.remote.packets_lost,
            "fractionLost": rtp.remote.fraction_lost / 256,
            "jitter": rtp.remote.jitter / rtp.clock_rate,
            "roundTripTime": rtp.round_trip_time,
            "totalRoundTripTime": rtp.total_round_trip_time,
            "roundTripTimeMeasurements": rtp.round_trip_time_measurements,
        }
        if heard is not None:
            stats["remote-inbound-rtp-audio"] |= _as_heard(heard)
    return stats


def _as_heard(metrics: VoipMetrics) -> dict[str, Any]:
    """How the peer hears us. Rates are shares of packets after repair, times in seconds."""
    return {
        "rFactor": metrics.r_factor,
        "mosLq": metrics.mos_lq,
        "mosCq": metrics.mos_cq,
        "lossRate": metrics.loss_rate,
        "discardRate": metrics.discard_rate,
        "burstDensity": metrics.burst_density,
        "gapDensity": metrics.gap_density,
        "burstDuration": metrics.burst_duration_ms / 1000,
        "gapDuration": metrics.gap_duration_ms / 1000,
        "endSystemDelay": metrics.end_system_delay_ms / 1000,
        "jitterBufferNominalDelay": metrics.jitter_buffer_nominal_ms / 1000,
        "jitterBufferMaximumDelay": metrics.jitter_buffer_maximum_ms / 1000,
    }


def inbound(receiver: AudioReceiver) -> dict[str, Any]:
    """The entry of a received voice stream."""
    counters = receiver.jitter_buffer.counters
    received = receiver.statistics
    at_end = receiver.jitter_buffer.concealed_at_end
    return {
        "type": "inbound-rtp",
        "kind": "audio",
        "ssrc": received.ssrc if received else None,
        "packetsReceived": received.packets_received if received else 0,
        "packetsLost": received.packets_lost if received else 0,
        "bytesReceived": received.bytes_received if received else 0,
        "headerBytesReceived": received.header_bytes_received if received else 0,
        "jitter": received.jitter if received else None,
        "packetsDiscarded": counters.late_packets + counters.duplicate_packets + receiver.packets_discarded,
        "latePackets": counters.late_packets,
        "lossRuns": dict(received.loss_runs) if received else {},
        "packetsExpected": received.packets_expected if received else 0,
        "packetsDuplicated": received.packets_duplicated if received else 0,
        "packetsMissing": received.packets_missing if received else 0,
        "packetsRecovered": counters.recovered_frames - counters.recovered_late_frames,
        "recoveredFrames": counters.recovered_frames,
        "lastPacketReceivedTimestamp": receiver.last_packet_received,
        "jitterBufferDelay": counters.jitter_buffer_delay,
        "jitterBufferTargetDelay": counters.jitter_buffer_target_delay,
        "jitterBufferEmittedCount": counters.jitter_buffer_emitted_count,
        "totalSamplesReceived": counters.total_samples_received,
        "totalSamplesDuration": counters.total_samples_received / SAMPLE_RATE,
        "concealedSamples": counters.concealed_samples,
        "silentConcealedSamples": counters.silent_concealed_samples,
        "concealedMissingSamples": counters.concealed_missing_samples,
        "concealedEmptySamples": counters.concealed_empty_samples,
        "concealedBrokenSamples": counters.concealed_broken_samples,
        "concealmentEvents": counters.concealment_events,
        "concealedAtEndSamples": at_end,
        "silentAtEndSamples": max(0, at_end - LONG_LOSS),
        "insertedSamplesForDeceleration": counters.inserted_samples_for_deceleration,
        "removedSamplesForAcceleration": counters.removed_samples_for_acceleration,
        "stretchedSamples": counters.stretched_samples,
        "voicedBytesReceived": counters.voiced_bytes,
        "voicedSamplesReceived": counters.voiced_samples,
        "audioLevel": receiver.audio_level,
        "totalAudioEnergy": receiver.total_audio_energy,
    }
