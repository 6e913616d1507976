"""From the engine's cumulative W3C statistics (webrtc-stats) to figures of one interval.

`get_stats` gives {id: {"type", "timestamp", ...}}. Every figure here is a difference between two such
snapshots, never a cumulative one: a bad start must not weigh on the rest of a call. What cannot be known yet
is None.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from media.quality import emodel

Stats = Mapping[str, Mapping[str, Any]]

_FRAME_SAMPLES, _SAMPLE_RATE = 960, 48_000
_VOICED_SAMPLES = 9600  # 0.2 s of voice in an interval tell at which rate it is coded
UDP_IP_BYTES = 28  # of a datagram, by IPv4
# What begins anew when the sender begins a new stream (another SSRC).
_OF_ONE_STREAM = (
    "packetsReceived",
    "packetsLost",
    "packetsMissing",
    "packetsDuplicated",
    "bytesReceived",
    "headerBytesReceived",
)
# What can become less: a packet that was counted as lost comes after all.
_MAY_FALL = ("packetsLost", "packetsMissing", "packetsRecovered")
FLOOR_DBFS = -96.0  # of 16 bits


@dataclass(frozen=True, slots=True)
class ReceivedSecond:
    """What was heard in one interval. `time`: its end, seconds after the report's start.

    `packets` came, each counted once, `packets_late` of them after their turn; `packets_lost` did not come, of which
    `packets_recovered` were played from a copy. Shares are percent: those of packets of the expected ones (came or
    lost), `concealed_percent` of the samples played. It is the sum of its three causes: a packet was missing (lost or
    late), the buffer had run empty (packets held up, or lost at its end), the decoder refused one.
    `stretched_percent`: by how much the sound was made longer or shorter to follow the network, the first 2 s of a call
    apart, in which the buffer finds its length. `burst_ratio`: see
    emodel. Delays and jitter in ms; `bitrate_bps` of RTP packets (headers in); `codec_bps`, at which rate the voice was
    coded, pauses apart; `level_dbfs`, RMS of what was heard (a full-scale square wave has 0). `mos_lq` knows what was
    heard, `mos_cq` also the delay; both G.107.2.
    """

    time: float
    mos_lq: float | None = None
    mos_cq: float | None = None
    packets: float | None = None
    packets_late: float | None = None
    packets_lost: float | None = None
    packets_recovered: float | None = None
    lost_percent: float | None = None
    late_percent: float | None = None
    recovered_percent: float | None = None
    concealed_percent: float | None = None
    concealed_missing_percent: float | None = None
    concealed_empty_percent: float | None = None
    concealed_broken_percent: float | None = None
    stretched_percent: float | None = None
    burst_ratio: float | None = None
    jitter_ms: float | None = None
    jitter_buffer_ms: float | None = None
    jitter_buffer_target_ms: float | None = None
    delay_ms: float | None = None
    bitrate_bps: float | None = None
    codec_bps: float | None = None
    level_dbfs: float | None = None


@dataclass(frozen=True, slots=True)
class SentSecond:
    """What was sent in one interval, and what the other end reported (RTCP) by its end.

    `bitrate_bps` is that of the RTP packets: `media_bps` of the codec, `redundant_bps` of copies (RED), and headers.
    Beside them go `retransmitted_bps` (RTX) and, for the whole call, `rtcp_bps`; `wire_bps` is all that left this end,
    video, SRTP, UDP and IP included. `target_bitrate_bps` is what the codec was told.
    `remote_lost_percent` and `remote_jitter_ms` are of the network, since the report before. How it was heard there
    comes with extended reports, and is of the whole call up to then: `remote_missing_percent` of the packets were
    never played, for loss or for coming too late; `remote_late_percent` are the latter.
    """

    time: float
    packets: float | None = None
    bitrate_bps: float | None = None
    media_bps: float | None = None
    redundant_bps: float | None = None
    retransmitted_bps: float | None = None
    rtcp_bps: float | None = None
    wire_bps: float | None = None
    target_bitrate_bps: float | None = None
    level_dbfs: float | None = None
    remote_lost_percent: float | None = None
    remote_jitter_ms: float | None = None
    rtt_ms: float | None = None
    remote_mos_lq: float | None = None
    remote_mos_cq: float | None = None
    remote_missing_percent: float | None = None
    remote_late_percent: float | None = None
    remote_jitter_buffer_ms: float | None = None


def entries(stats: Stats, type_: str, kind: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The entries of a type (and kind, where they say one), with their ids, in the order of ids."""
    for id_, entry in sorted(stats.items()):
        if entry.get("type") == type_ and (kind is None or entry.get("kind", kind) == kind):
            yield id_, entry


def first(stats: Stats, type_: str, key: str, kind: str | None = None) -> Any:
    """The first value that is there under `key` in the entries of a type, or None."""
    for _, entry in entries(stats, type_, kind):
        if entry.get(key) is not None:
            return entry[key]
    return None


class Change:
    """Sums of counter differences over all entries of a type between two snapshots."""

    def __init__(self, before: Stats, after: Stats, type_: str, kind: str = "audio") -> None:
        self._pairs = [(before.get(id_, {}), entry) for id_, entry in entries(after, type_, kind)]
        # A video stream's repairs are counted with its packets, a voice stream's where it is played.
        self._anew = (*_OF_ONE_STREAM, "packetsRecovered") if kind == "video" else _OF_ONE_STREAM

    def total(self, key: str) -> float | None:
        """Now, cumulative; None where nobody counts it."""
        values = [after[key] for _, after in self._pairs if after.get(key) is not None]
        return float(sum(values)) if values else None

    def of(self, key: str) -> float | None:
        """The difference. An entry that has just come counts from 0, and so does one that began anew."""
        total = None
        for before, after in self._pairs:
            value, old = after.get(key), before.get(key) or 0
            if value is None:
                continue
            if key in self._anew and before.get("ssrc") is not None and before["ssrc"] != after.get("ssrc"):
                old = 0
            total = (total or 0.0) + (value - old if value >= old or key in _MAY_FALL else value)
        return total


def _ratio(part: float | None, whole: float | None, factor: float) -> float | None:
    if part is None or whole is None or whole <= 0:
        return None
    return max(0.0, part / whole) * factor


def without_end(before: Stats, after: Stats) -> Stats:
    """`after`, as if the received sound had ended with its last packet: of what was made up since `before`, that
    behind it is left out."""
    ended = dict(after)
    for id_, entry in entries(after, "inbound-rtp", "audio"):
        old = before.get(id_, {})

        def since(key: str, entry: Mapping[str, Any] = entry, old: Mapping[str, Any] = old) -> int:
            return int(max(0, (entry.get(key) or 0) - (old.get(key) or 0)))

        # What goes on behind a packet that never came was missing, not the end.
        end = min(entry.get("concealedAtEndSamples") or 0, since("concealedEmptySamples"))
        if end:
            ended[id_] = {
                **entry,
                "concealedSamples": entry["concealedSamples"] - end,
                "concealedEmptySamples": entry["concealedEmptySamples"] - end,
                "totalSamplesReceived": entry["totalSamplesReceived"] - end,
                "silentConcealedSamples": entry["silentConcealedSamples"]
                - min(entry.get("silentAtEndSamples") or 0, since("silentConcealedSamples")),
                "concealmentEvents": entry["concealmentEvents"] - min(1, since("concealmentEvents")),
            }
    return ended


def _percent(part: float | None, whole: float | None) -> float | None:
    share = _ratio(part, whole, 100.0)
    return None if share is None else min(100.0, share)


def _first_of(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def rtt_ms(stats: Stats, before: Stats | None = None, kind: str = "audio") -> float | None:
    """Round trip: the mean of the interval's measurements, else the newest one; RTCP's, else ICE's.

    RTCP's comes from reports about what was sent or, for an end that only listens, from answers to its own.
    """
    if before is not None:
        change = Change(before, stats, "remote-inbound-rtp", kind)
        mean = _ratio(change.of("totalRoundTripTime"), change.of("roundTripTimeMeasurements"), 1000)
        if mean is not None:
            return mean
    newest = _first_of(
        first(stats, "remote-inbound-rtp", "roundTripTime", kind),
        first(stats, "remote-outbound-rtp", "roundTripTime", kind),
        first(stats, "candidate-pair", "currentRoundTripTime"),
    )
    return None if newest is None else max(0.0, float(newest)) * 1000


def received(before: Stats, after: Stats, time: float, interval: float) -> ReceivedSecond:
    """Figures of the received audio between two snapshots that lie `interval` seconds apart."""
    change = Change(before, after, "inbound-rtp")
    if not change.total("packetsReceived") or interval <= 0:
        return ReceivedSecond(time)
    packets, lost = unique(change)
    expected = None if packets is None else packets + max(0.0, lost or 0.0)
    samples, concealed = _heard(change, lost)
    late = _first_of(change.of("latePackets"), change.of("packetsDiscarded"))
    recovered = _first_of(change.of("packetsRecovered"), change.of("recoveredFrames"))
    concealed_percent = _percent(concealed, samples)
    causes = _causes(change, concealed)
    burst = _burst_ratio(concealed, change.of("concealmentEvents"), concealed_percent)
    emitted = change.of("jitterBufferEmittedCount")
    buffer_ms = _ratio(change.of("jitterBufferDelay"), emitted, 1000)
    round_trip = rtt_ms(after, before)
    delay = None
    if round_trip is not None and buffer_ms is not None:
        delay = emodel.one_way_delay_ms(round_trip, buffer_ms)
    voiced, stretched = change.of("voicedSamplesReceived"), change.of("stretchedSamples")
    codec_bps = None
    if voiced is not None and voiced >= _VOICED_SAMPLES:
        codec_bps = (change.of("voicedBytesReceived") or 0.0) * 8 * _SAMPLE_RATE / voiced
    jitter = first(after, "inbound-rtp", "jitter", "audio")
    second = ReceivedSecond(
        time=time,
        packets=packets,
        packets_late=late,
        packets_lost=lost,
        packets_recovered=recovered,
        lost_percent=None if lost is None else _percent(lost, expected),
        late_percent=_percent(late, expected),
        recovered_percent=_percent(recovered, expected),
        concealed_percent=concealed_percent,
        concealed_missing_percent=_percent(causes[0], samples),
        concealed_empty_percent=_percent(causes[1], samples),
        concealed_broken_percent=_percent(causes[2], samples),
        stretched_percent=_percent(stretched, samples),
        burst_ratio=burst,
        jitter_ms=None if jitter is None else float(jitter) * 1000,
        jitter_buffer_ms=buffer_ms,
        jitter_buffer_target_ms=_ratio(change.of("jitterBufferTargetDelay"), emitted, 1000),
        delay_ms=delay,
        bitrate_bps=_bitrate(change, "Received", interval),
        codec_bps=codec_bps,
        level_dbfs=_level(change),
    )
    return judged(second, codec_bps, delay)


def judged(second: ReceivedSecond, codec_bps: float | None, delay_ms: float | None) -> ReceivedSecond:
    """The second with the MOS that its figures give; `codec_bps` and `delay_ms` where it has none of its own."""
    if second.concealed_percent is None or second.burst_ratio is None:
        return second
    codec_bps = second.codec_bps if second.codec_bps is not None else codec_bps
    delay_ms = second.delay_ms if second.delay_ms is not None else delay_ms
    impaired = emodel.impaired_percent(second.concealed_percent, second.stretched_percent)
    burst, values = second.burst_ratio, emodel.values_for(codec_bps)
    return replace(
        second,
        mos_lq=emodel.mos(impaired, 0.0, burst, values),
        mos_cq=None if delay_ms is None else emodel.mos(impaired, delay_ms, burst, values),
    )


def unique(change: Change) -> tuple[float | None, float | None]:
    """Packets that came and that did not, each counted once; of a source that does not tell, RFC 3550's."""
    came, twice, missing = (change.of(f"packets{what}") for what in ("Received", "Duplicated", "Missing"))
    if came is None or missing is None:
        return came, change.of("packetsLost")
    return came - (twice or 0.0), missing


def _level(change: Change) -> float | None:
    """RMS in dBFS, from the energy that W3C sums up (totalAudioEnergy)."""
    energy, seconds = change.of("totalAudioEnergy"), change.of("totalSamplesDuration")
    if energy is None or seconds is None or seconds <= 0:
        return None
    return dbfs(energy / seconds)


def dbfs(power: float) -> float:
    """Of a mean square (1: a full-scale square wave)."""
    return max(FLOOR_DBFS, 10 * math.log10(power)) if power > 0 else FLOOR_DBFS


def silent(second: ReceivedSecond) -> ReceivedSecond:
    """The second, once it is known that its sender had nothing to say: nothing was heard that could be judged."""
    return replace(
        second,
        mos_lq=None,
        mos_cq=None,
        concealed_percent=None,
        concealed_missing_percent=None,
        concealed_empty_percent=None,
        concealed_broken_percent=None,
        stretched_percent=None,
        burst_ratio=None,
        jitter_buffer_ms=None,
        jitter_buffer_target_ms=None,
        delay_ms=None,
    )


def _heard(change: Change, lost: float | None) -> tuple[float | None, float | None]:
    """Samples played and, of these, concealed. Where packets came and none is missing, a long concealment (silent
    by then) fills a pause of the sender (DTX, muted): nobody misses anything in it."""
    samples, concealed = change.of("totalSamplesReceived"), change.of("concealedSamples")
    pause = change.of("silentConcealedSamples")
    if (
        samples is None
        or concealed is None
        or pause is None
        or not change.of("packetsReceived")
        or (lost or 0) > 0
    ):
        return samples, concealed
    return samples - pause, concealed - pause


def _causes(change: Change, concealed: float | None) -> tuple[float | None, float | None, float | None]:
    """Of the samples concealed: for a missing packet, an empty buffer, a broken packet. A pause emptied the buffer."""
    missing, broken = change.of("concealedMissingSamples"), change.of("concealedBrokenSamples")
    if concealed is None or missing is None or broken is None:
        return None, None, None
    missing, broken = min(missing, concealed), min(broken, max(0.0, concealed - missing))
    return missing, concealed - missing - broken, broken


def sent(before: Stats, after: Stats, time: float, interval: float) -> SentSecond:
    """Figures of the sent audio between two snapshots that lie `interval` seconds apart."""
    change = Change(before, after, "outbound-rtp")
    if not change.total("packetsSent") or interval <= 0:
        return SentSecond(time)
    fraction = first(after, "remote-inbound-rtp", "fractionLost", "audio")
    jitter = first(after, "remote-inbound-rtp", "jitter", "audio")
    target = first(after, "outbound-rtp", "targetBitrate", "audio")
    lost, late = _remote(after, "lossRate"), _remote(after, "discardRate")
    nominal = _remote(after, "jitterBufferNominalDelay")
    payload, redundant = change.of("bytesSent"), change.of("redundantBytesSent")
    media = None if payload is None or redundant is None else payload - redundant
    transport = Change(before, after, "transport")
    datagrams, size = transport.of("packetsSent"), transport.of("bytesSent")
    wire = None if datagrams is None or size is None else size + datagrams * UDP_IP_BYTES
    return SentSecond(
        time=time,
        packets=change.of("packetsSent"),
        bitrate_bps=_bitrate(change, "Sent", interval),
        media_bps=_bps(media, interval),
        redundant_bps=_bps(redundant, interval),
        retransmitted_bps=_bps(change.of("retransmittedBytesSent"), interval),
        rtcp_bps=_bps(transport.of("rtcpBytesSent"), interval),
        wire_bps=_bps(wire, interval),
        level_dbfs=_level(Change(before, after, "media-source")),
        target_bitrate_bps=None if target is None else float(target),
        remote_lost_percent=None if fraction is None else float(fraction) * 100,
        remote_jitter_ms=None if jitter is None else float(jitter) * 1000,
        rtt_ms=rtt_ms(after, before),
        remote_mos_lq=_remote(after, "mosLq"),
        remote_mos_cq=_remote(after, "mosCq"),
        remote_missing_percent=None if lost is None else (lost + (late or 0.0)) * 100,
        remote_late_percent=None if late is None else late * 100,
        remote_jitter_buffer_ms=None if nominal is None else nominal * 1000,
    )


def _remote(stats: Stats, key: str) -> float | None:
    """What the other end says of how it hears us."""
    value = first(stats, "remote-inbound-rtp", key, "audio")
    return None if value is None else float(value)


def _bps(size: float | None, interval: float) -> float | None:
    return None if size is None else size * 8 / interval


def _bitrate(change: Change, direction: str, interval: float) -> float | None:
    payload = change.of(f"bytes{direction}")
    if payload is None:
        return None
    return (payload + (change.of(f"headerBytes{direction}") or 0.0)) * 8 / interval


def _burst_ratio(
    concealed: float | None, events: float | None, concealed_percent: float | None
) -> float | None:
    """BurstR of the concealed frames; an event that began in the interval before counts as one."""
    if concealed is None or concealed_percent is None:
        return None
    if concealed <= 0:
        return 1.0
    run = concealed / max(1.0, events or 0.0) / _FRAME_SAMPLES
    return emodel.burst_ratio(run, concealed_percent / 100)
