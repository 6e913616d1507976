"""The seconds of a call in a few figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from media.quality.stats import ReceivedSecond, SentSecond


@dataclass(frozen=True, slots=True)
class Worst:
    """The second that sounded worst."""

    time: float
    mos_lq: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over the seconds of the call that have a value. Units as in ReceivedSecond and SentSecond.

    The other end's own figures (remote_...) are the last that it told, of the whole call up to then.
    """

    mos_lq: float | None = None
    mos_cq: float | None = None
    worst: Worst | None = None
    lost_percent: float | None = None
    late_percent: float | None = None
    recovered_percent: float | None = None
    concealed_percent: float | None = None
    jitter_ms: float | None = None
    jitter_buffer_ms: float | None = None
    delay_ms: float | None = None
    rtt_ms: float | None = None
    received_bps: float | None = None
    sent_bps: float | None = None
    remote_mos_lq: float | None = None
    remote_mos_cq: float | None = None
    remote_missing_percent: float | None = None
    remote_late_percent: float | None = None
    remote_jitter_buffer_ms: float | None = None


def summarize(received: Sequence[ReceivedSecond], sent: Sequence[SentSecond]) -> Summary:
    """Means of the seconds that have a value, and the worst second (of equal ones the first)."""
    worst: Worst | None = None
    for second in received:
        if second.mos_lq is not None and (worst is None or second.mos_lq < worst.mos_lq):
            worst = Worst(second.time, second.mos_lq)
    return Summary(
        mos_lq=_mean(s.mos_lq for s in received),
        mos_cq=_mean(s.mos_cq for s in received),
        worst=worst,
        lost_percent=_mean(s.lost_percent for s in received),
        late_percent=_mean(s.late_percent for s in received),
        recovered_percent=_mean(s.recovered_percent for s in received),
        concealed_percent=_mean(s.concealed_percent for s in received),
        jitter_ms=_mean(s.jitter_ms for s in received),
        jitter_buffer_ms=_mean(s.jitter_buffer_ms for s in received),
        delay_ms=_mean(s.delay_ms for s in received),
        rtt_ms=_mean(s.rtt_ms for s in sent),
        received_bps=_mean(s.bitrate_bps for s in received),
        sent_bps=_mean(s.bitrate_bps for s in sent),
        remote_mos_lq=_last(s.remote_mos_lq for s in reversed(sent)),
        remote_mos_cq=_last(s.remote_mos_cq for s in reversed(sent)),
        remote_missing_percent=_last(s.remote_missing_percent for s in reversed(sent)),
        remote_late_percent=_last(s.remote_late_percent for s in reversed(sent)),
        remote_jitter_buffer_ms=_last(s.remote_jitter_buffer_ms for s in reversed(sent)),
    )


def _last(newest_first: Iterable[float | None]) -> float | None:
    return next((v for v in newest_first if v is not None), None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
