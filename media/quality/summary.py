"""The seconds of a call in a few figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from media.quality.packets import Packets
from media.quality.stats import ReceivedSecond, SentSecond, dbfs, judged

# A second that is so much softer than the loudest one is a pause.
_SOUND_RANGE_DB = 30.0


@dataclass(frozen=True, slots=True)
class Worst:
    """The second that sounded worst."""

    time: float
    mos_lq: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over the seconds of the call that have a value. Units as in ReceivedSecond and SentSecond.

    Packets and the shares of them are those of the whole call, MOS that of the same seconds with and without the
    delay, levels those of the seconds in which there was sound (within 30 dB of the loudest).
    The other end's own figures (remote_...) are the last that it told, of the whole call up to then.
    """

    mos_lq: float | None = None
    mos_cq: float | None = None
    worst: Worst | None = None
    packets: Packets | None = None
    packets_sent: int | None = None
    lost_percent: float | None = None
    late_percent: float | None = None
    recovered_percent: float | None = None
    concealed_percent: float | None = None
    concealed_missing_percent: float | None = None
    concealed_empty_percent: float | None = None
    concealed_broken_percent: float | None = None
    stretched_percent: float | None = None
    heard_dbfs: float | None = None
    said_dbfs: float | None = None
    jitter_ms: float | None = None
    jitter_buffer_ms: float | None = None
    delay_ms: float | None = None
    rtt_ms: float | None = None
    received_bps: float | None = None
    codec_bps: float | None = None
    sent_bps: float | None = None
    media_bps: float | None = None
    redundant_bps: float | None = None
    retransmitted_bps: float | None = None
    rtcp_bps: float | None = None
    wire_bps: float | None = None
    target_bitrate_bps: float | None = None
    remote_mos_lq: float | None = None
    remote_mos_cq: float | None = None
    remote_missing_percent: float | None = None
    remote_late_percent: float | None = None
    remote_jitter_buffer_ms: float | None = None


def summarize(
    received: Sequence[ReceivedSecond],
    sent: Sequence[SentSecond],
    packets: Packets | None = None,
    packets_sent: int | None = None,
) -> Summary:
    """Means of the seconds that have a value, and the worst second (of equal ones the first)."""
    worst: Worst | None = None
    for second in received:
        if second.mos_lq is not None and (worst is None or second.mos_lq < worst.mos_lq):
            worst = Worst(second.time, second.mos_lq)
    return Summary(
        mos_lq=_mean(s.mos_lq for s in received),
        mos_cq=_mean(s.mos_cq for s in received),
        worst=worst,
        packets=packets,
        packets_sent=packets_sent,
        lost_percent=None if packets is None else packets.percent(packets.lost),
        late_percent=None if packets is None else packets.percent(packets.late),
        recovered_percent=None if packets is None else packets.percent(packets.recovered),
        concealed_percent=_mean(s.concealed_percent for s in received),
        concealed_missing_percent=_mean(s.concealed_missing_percent for s in received),
        concealed_empty_percent=_mean(s.concealed_empty_percent for s in received),
        concealed_broken_percent=_mean(s.concealed_broken_percent for s in received),
        stretched_percent=_mean(s.stretched_percent for s in received),
        heard_dbfs=_loudness(s.level_dbfs for s in received),
        said_dbfs=_loudness(s.level_dbfs for s in sent),
        jitter_ms=_mean(s.jitter_ms for s in received),
        jitter_buffer_ms=_mean(s.jitter_buffer_ms for s in received),
        delay_ms=_mean(s.delay_ms for s in received),
        rtt_ms=_mean(s.rtt_ms for s in sent),
        received_bps=_mean(s.bitrate_bps for s in received),
        codec_bps=_mean(s.codec_bps for s in received),
        sent_bps=_mean(s.bitrate_bps for s in sent),
        media_bps=_mean(s.media_bps for s in sent),
        redundant_bps=_mean(s.redundant_bps for s in sent),
        retransmitted_bps=_mean(s.retransmitted_bps for s in sent),
        rtcp_bps=_mean(s.rtcp_bps for s in sent),
        wire_bps=_mean(s.wire_bps for s in sent),
        target_bitrate_bps=_mean(s.target_bitrate_bps for s in sent),
        remote_mos_lq=_last(s.remote_mos_lq for s in reversed(sent)),
        remote_mos_cq=_last(s.remote_mos_cq for s in reversed(sent)),
        remote_missing_percent=_last(s.remote_missing_percent for s in reversed(sent)),
        remote_late_percent=_last(s.remote_late_percent for s in reversed(sent)),
        remote_jitter_buffer_ms=_last(s.remote_jitter_buffer_ms for s in reversed(sent)),
    )


def judge(seconds: Sequence[ReceivedSecond]) -> list[ReceivedSecond]:
    """The seconds judged once more: what one does not tell (delay, rate of the voice) is as in the one before it, else
    after it. So the means of MOS with and without the delay are of the same seconds."""
    delay, rate = (
        next((v for second in seconds if (v := getattr(second, name)) is not None), None)
        for name in ("delay_ms", "codec_bps")
    )
    out = []
    for second in seconds:
        delay = delay if second.delay_ms is None else second.delay_ms
        rate = rate if second.codec_bps is None else second.codec_bps
        out.append(judged(second, rate, delay))
    return out


def _loudness(levels: Iterable[float | None]) -> float | None:
    """Mean power of the seconds in which there was sound, in dBFS."""
    known = [level for level in levels if level is not None]
    if not known:
        return None
    loud = [10 ** (level / 10) for level in known if level >= max(known) - _SOUND_RANGE_DB]
    return dbfs(sum(loud) / len(loud))


def _last(newest_first: Iterable[float | None]) -> float | None:
    return next((v for v in newest_first if v is not None), None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
