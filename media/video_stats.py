"""The video streams' counters under the names of W3C webrtc-stats; see webrtc_stats.py."""

from typing import Any

from media.streams.synchronizer import Synchronizer
from media.streams.video_receiver import VideoReceiver
from media.streams.video_sender import VideoSender

Stats = dict[str, dict[str, Any]]


def outbound(sender: VideoSender, codec: str) -> Stats:
    """outbound-rtp and what the far end reported of it.

    Ringline's own: `paused`, whether no video is sent since the path carries none beside the voice, and `pauses`.
    """
    rtp = sender.rtp
    width, height = sender.frame_size or (None, None)
    limited = sender.rate.paused or sender.frames_skipped > 0 or sender.frames_dropped_by_rate > 0
    stats: Stats = {
        "outbound-rtp-video": {
            "type": "outbound-rtp",
            "kind": "video",
            "ssrc": rtp.ssrc,
            "codec": codec,
            "packetsSent": sender.packets_sent,
            "bytesSent": sender.bytes_sent,
            "headerBytesSent": rtp.header_bytes_sent,
            "retransmittedPacketsSent": sender.packets_retransmitted,
            "retransmittedBytesSent": sender.bytes_retransmitted,
            "targetBitrate": sender.rate.target_bps,
            "framesCaptured": sender.frames_captured,
            "framesEncoded": sender.frames_encoded,
            "framesSent": sender.frames_encoded,
            "keyFramesEncoded": sender.key_frames_encoded,
            "framesSkipped": sender.frames_skipped + sender.frames_dropped_by_rate,
            "frameWidth": width,
            "frameHeight": height,
            "totalEncodeTime": sender.total_encode_time,
            "nackCount": sender.nack_count,
            "pliCount": sender.pli_count,
            "firCount": sender.fir_count,
            "qualityLimitationReason": "bandwidth" if limited else "none",
            "paused": sender.rate.paused,
            "pauses": sender.rate.pauses,
        }
    }
    if rtp.remote is not None:
        stats["remote-inbound-rtp-video"] = {
            "type": "remote-inbound-rtp",
            "kind": "video",
            "ssrc": rtp.ssrc,
            "packetsLost": rtp.remote.packets_lost,
            "fractionLost": rtp.remote.fraction_lost / 256,
            "jitter": rtp.remote.jitter / rtp.clock_rate,
            "roundTripTime": rtp.round_trip_time,
            "totalRoundTripTime": rtp.total_round_trip_time,
            "roundTripTimeMeasurements": rtp.round_trip_time_measurements,
        }
    return stats


def inbound(receiver: VideoReceiver, synchronizer: Synchronizer, codec: str) -> dict[str, Any]:
    """inbound-rtp. `avOffset` is Ringline's own: pictures later than the sound they belong to, seconds."""
    counters, display, received = receiver.counters, receiver.display, receiver.statistics
    width, height = counters.frame_size or (None, None)
    return {
        "type": "inbound-rtp",
        "kind": "video",
        "ssrc": received.ssrc if received else None,
        "codec": codec,
        "packetsReceived": received.packets_received if received else 0,
        "packetsLost": received.packets_lost if received else 0,
        "packetsExpected": received.packets_expected if received else 0,
        "packetsDuplicated": received.packets_duplicated if received else 0,
        "packetsMissing": received.packets_missing if received else 0,
        "packetsRecovered": received.packets_recovered if received else 0,
        "bytesReceived": received.bytes_received if received else 0,
        "headerBytesReceived": received.header_bytes_received if received else 0,
        "jitter": received.jitter if received else None,
        "lossRuns": dict(received.loss_runs) if received else {},
        "retransmittedPacketsReceived": counters.retransmitted_packets_received,
        "retransmittedBytesReceived": counters.retransmitted_bytes_received,
        "framesReceived": counters.frames_received,
        "framesDecoded": counters.frames_decoded,
        "framesRendered": display.frames_rendered,
        "framesDropped": counters.frames_dropped + display.frames_dropped,
        "keyFramesDecoded": counters.key_frames_decoded,
        "decodeErrors": counters.decode_errors,
        "frameWidth": width,
        "frameHeight": height,
        "totalDecodeTime": counters.total_decode_time,
        "totalInterFrameDelay": display.total_inter_frame_delay,
        "totalSquaredInterFrameDelay": display.total_squared_inter_frame_delay,
        "freezeCount": display.freeze_count,
        "totalFreezesDuration": display.total_freezes_duration,
        "nackCount": counters.nack_count,
        "pliCount": counters.pli_count,
        "firCount": 0,
        "lastPacketReceivedTimestamp": receiver.last_packet_received,
        "receivedEstimateBitrate": receiver.estimate_bps,
        "playoutDelay": display.delay + display.sync_delay,
        "avOffset": synchronizer.offset,
    }
