"""The video of a call, second by second, from the engine's cumulative statistics; see stats.py for the sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from media.quality.packets import Packets, settle
from media.quality.stats import Change, Stats, entries, unique

# (start on the report's clock, duration), seconds
Freeze = tuple[float, float]


@dataclass(frozen=True, slots=True)
class VideoReceivedSecond:
    """What was seen in one interval that ends at `time` (seconds). Shares in percent of the packets expected.

    `packets` came, each counted once; `packets_lost` did not, of which `packets_recovered` came as retransmissions.
    `frame_delay_ms` is the display's own delay; `av_offset_ms` is above 0 when the sound is ahead of the picture.
    """

    time: float
    frames_per_second: float | None = None
    frames_dropped: float | None = None
    bitrate_bps: float | None = None
    packets: float | None = None
    packets_lost: float | None = None
    packets_recovered: float | None = None
    lost_percent: float | None = None
    recovered_percent: float | None = None
    frame_delay_ms: float | None = None
    jitter_ms: float | None = None
    av_offset_ms: float | None = None
    width: float | None = None
    height: float | None = None
    key_frames: float | None = None
    nacks: float | None = None
    plis: float | None = None


@dataclass(frozen=True, slots=True)
class VideoSentSecond:
    """What was sent in one interval; `encode_ms` is the time that encoding a frame took."""

    time: float
    frames_per_second: float | None = None
    packets: float | None = None
    bitrate_bps: float | None = None
    target_bitrate_bps: float | None = None
    retransmitted_bps: float | None = None
    encode_ms: float | None = None


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """Means over the seconds that have a value, and all freezes. `packets` and the shares of them are of the call."""

    packets: Packets | None = None
    packets_sent: int | None = None  # retransmissions included
    frames_per_second: float | None = None
    freezes: int = 0
    frozen_seconds: float = 0.0
    longest_freeze_ms: float | None = None
    received_bps: float | None = None
    sent_bps: float | None = None
    lost_percent: float | None = None
    recovered_percent: float | None = None
    frame_delay_ms: float | None = None
    av_offset_ms: float | None = None
    plis: float | None = None
    width: float | None = None
    height: float | None = None


@dataclass(frozen=True, slots=True)
class VideoReport:
    """The video part of a report."""

    received: tuple[VideoReceivedSecond, ...]
    sent: tuple[VideoSentSecond, ...]
    summary: VideoSummary
    freezes: tuple[Mapping[str, float], ...] = ()


def video_received(before: Stats, after: Stats, time: float, interval: float) -> VideoReceivedSecond | None:
    """None while no video came."""
    now = next((entry for _, entry in entries(after, "inbound-rtp", "video")), None)
    if now is None or interval <= 0:
        return None
    change = Change(before, after, "inbound-rtp", "video")
    packets, lost = unique(change)
    recovered = change.of("packetsRecovered")
    expected = (packets or 0.0) + max(0.0, lost or 0.0)
    payload = (change.of("bytesReceived") or 0.0) + (change.of("headerBytesReceived") or 0.0)
    rendered = change.of("framesRendered")
    return VideoReceivedSecond(
        time=time,
        frames_per_second=None if rendered is None else rendered / interval,
        frames_dropped=change.of("framesDropped"),
        bitrate_bps=payload * 8 / interval,
        packets=packets,
        packets_lost=lost,
        packets_recovered=recovered,
        lost_percent=None if lost is None else _share(max(0.0, lost), expected),
        recovered_percent=_share(recovered, expected),
        frame_delay_ms=_ms(now.get("playoutDelay")),
        jitter_ms=_ms(now.get("jitter")),
        av_offset_ms=_ms(now.get("avOffset")),
        width=now.get("frameWidth"),
        height=now.get("frameHeight"),
        key_frames=change.of("keyFramesDecoded"),
        nacks=change.of("nackCount"),
        plis=change.of("pliCount"),
    )


def video_sent(before: Stats, after: Stats, time: float, interval: float) -> VideoSentSecond | None:
    """None while no video went."""
    now = next((entry for _, entry in entries(after, "outbound-rtp", "video")), None)
    if now is None or interval <= 0:
        return None
    change = Change(before, after, "outbound-rtp", "video")
    frames = change.of("framesEncoded")
    payload = (change.of("bytesSent") or 0.0) + (change.of("headerBytesSent") or 0.0)
    encoding = change.of("totalEncodeTime")
    return VideoSentSecond(
        time=time,
        frames_per_second=None if frames is None else frames / interval,
        packets=change.of("packetsSent"),
        bitrate_bps=payload * 8 / interval,
        target_bitrate_bps=now.get("targetBitrate"),
        retransmitted_bps=(change.of("retransmittedBytesSent") or 0.0) * 8 / interval,
        encode_ms=1000 * encoding / frames if encoding is not None and frames else None,
    )


def video_report(
    received: Sequence[VideoReceivedSecond],
    sent: Sequence[VideoSentSecond],
    freezes: Sequence[Freeze],
    packets: Packets | None = None,
    packets_sent: int | None = None,
) -> VideoReport | None:
    """All of it; None when there was no video."""
    if not received and not sent:
        return None
    received = settle(received)
    summary = VideoSummary(
        packets=packets,
        packets_sent=packets_sent,
        frames_per_second=_mean(received, "frames_per_second"),
        freezes=len(freezes),
        frozen_seconds=sum(length for _, length in freezes),
        longest_freeze_ms=max((1000 * length for _, length in freezes), default=None),
        received_bps=_mean(received, "bitrate_bps"),
        sent_bps=_mean(sent, "bitrate_bps"),
        lost_percent=None if packets is None else packets.percent(packets.lost),
        recovered_percent=None if packets is None else packets.percent(packets.recovered),
        frame_delay_ms=_mean(received, "frame_delay_ms"),
        av_offset_ms=_mean(received, "av_offset_ms"),
        plis=sum(second.plis or 0.0 for second in received) if received else None,
        width=received[-1].width if received else None,
        height=received[-1].height if received else None,
    )
    spans = tuple({"start": max(0.0, start), "duration": length} for start, length in freezes)
    return VideoReport(tuple(received), tuple(sent), summary, spans)


def _mean(seconds: Sequence[Any], name: str) -> float | None:
    known = [value for second in seconds if (value := getattr(second, name)) is not None]
    return sum(known) / len(known) if known else None


def _share(part: float | None, whole: float) -> float | None:
    return None if part is None or not whole else min(100.0, 100 * part / whole)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
