"""The quality report: one object that says how good a call was, as one end of it saw it.

    builder = ReportBuilder(versions)
    builder.sample(stats, now)            every second
    report = builder.build()
    report = report.with_signaling(timings, end_reason).with_speech(score)
    print(report)                         a table
    report.to_json()                      the schema is report_schema.json beside this file

Figures are those of seconds, never cumulative ones; what was not measured is None.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from media.quality.speech import SpeechScore
from media.quality.stats import ReceivedSecond, SentSecond, Stats, received, sent

SCHEMA = "ringline-report/1"
SETUP_STEPS = ("asked", "ringing", "accepted", "ice_connected", "dtls_connected", "first_sound")
DIGITS = 4
MAX_SECONDS = 24 * 3600  # a day; beyond, the oldest seconds go


@dataclass(frozen=True, slots=True)
class Worst:
    """The second that sounded worst."""

    time: float
    mos_lq: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over the seconds of the call."""

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


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What one end of a call measured."""

    end: str = "this end"  # "caller", "callee" where it is known
    duration: float = 0.0  # of the measured part, seconds
    versions: Mapping[str, str] = field(default_factory=dict)
    # seconds after the call was asked for; without signaling, after the connection was made
    setup: Mapping[str, float | None] = field(default_factory=lambda: dict.fromkeys(SETUP_STEPS))
    received: tuple[ReceivedSecond, ...] = ()
    sent: tuple[SentSecond, ...] = ()
    summary: Summary = Summary()
    end_reason: str | None = None
    trust: str | None = None
    speech: SpeechScore | None = None

    def with_signaling(
        self,
        timings: Mapping[str, float | None],
        end_reason: str | None,
        *,
        trust: str | None = None,
        end: str = "this end",
        offset: float = 0.0,
    ) -> "QualityReport":
        """Joined with what signaling knows. `timings`: seconds since the call was asked for; `offset`: that moment,
        seconds after this report's own zero (media's steps are moved by it)."""
        setup = {name: self.setup.get(name) for name in SETUP_STEPS}
        for name in ("ice_connected", "dtls_connected", "first_sound"):
            at = setup[name]
            setup[name] = None if at is None else at - offset
        for name in ("asked", "ringing", "accepted"):
            setup[name] = timings.get(name)
        return replace(self, setup=setup, end_reason=end_reason, trust=trust, end=end)

    def with_speech(self, speech: SpeechScore) -> "QualityReport":
        """Joined with what a comparison of the recording with the known speech gave."""
        return replace(self, speech=speech)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; keys in a fixed order, floats rounded to four digits."""
        return _rounded({f.name: _plain(getattr(self, f.name)) for f in fields(self)})  # type: ignore[no-any-return]

    def to_json(self) -> str:
        return document(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "QualityReport":
        """The report that to_dict() gave. Raises ValueError for something else."""
        try:
            values = {f.name: content[f.name] for f in fields(cls)}
            worst = values["summary"]["worst"]
            values["received"] = tuple(ReceivedSecond(**s) for s in values["received"])
            values["sent"] = tuple(SentSecond(**s) for s in values["sent"])
            values["summary"] = Summary(**values["summary"] | {"worst": Worst(**worst) if worst else None})
            values["speech"] = SpeechScore(**values["speech"]) if values["speech"] else None
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a quality report: {error!r}") from None

    def __str__(self) -> str:
        from media.quality.table import render

        return render([self])


def document(*reports: QualityReport, network: str | None = None) -> str:
    """The report of a call as JSON: of one end or of both, and the network that was emulated between them."""
    content = {"schema": SCHEMA, "network": network, "ends": [r.to_dict() for r in reports]}
    return json.dumps(content, indent=1) + "\n"


class ReportBuilder:
    """Takes a snapshot of the engine's statistics every second."""

    def __init__(self, versions: Mapping[str, str]) -> None:
        self._versions = dict(versions)
        self._started: float | None = None
        self._last: tuple[float, Stats] | None = None
        self._received: list[ReceivedSecond] = []
        self._sent: list[SentSecond] = []

    def sample(self, stats: Stats, now: float) -> None:
        """A snapshot; the first one is the zero of the report's time."""
        if self._started is None or self._last is None:
            self._started, self._last = now, (now, stats)
            return
        before, previous = self._last
        time, interval = now - self._started, now - before
        if interval <= 0:
            return
        self._last = (now, stats)
        self._received.append(received(previous, stats, time, interval))
        self._sent.append(sent(previous, stats, time, interval))
        if len(self._received) > MAX_SECONDS:
            del self._received[0], self._sent[0]

    def build(self, setup: Mapping[str, float | None] | None = None) -> QualityReport:
        """The report up to now; can be asked for again."""
        last = self._received[-1].time if self._received else 0.0
        steps = {name: (setup or {}).get(name) for name in SETUP_STEPS}
        return QualityReport(
            duration=last,
            versions=self._versions,
            setup=steps,
            received=tuple(self._received),
            sent=tuple(self._sent),
            summary=summarize(self._received, self._sent),
        )


def summarize(received_: Sequence[ReceivedSecond], sent_: Sequence[SentSecond]) -> Summary:
    """Means of the seconds that have a value, and the worst second."""
    heard = [s for s in received_ if s.mos_lq is not None]
    worst = min(heard, key=lambda s: s.mos_lq or 0.0, default=None)
    return Summary(
        mos_lq=_mean(s.mos_lq for s in received_),
        mos_cq=_mean(s.mos_cq for s in received_),
        worst=None if worst is None or worst.mos_lq is None else Worst(worst.time, worst.mos_lq),
        lost_percent=_mean(s.lost_percent for s in received_),
        late_percent=_mean(s.late_percent for s in received_),
        recovered_percent=_mean(s.recovered_percent for s in received_),
        concealed_percent=_mean(s.concealed_percent for s in received_),
        jitter_ms=_mean(s.jitter_ms for s in received_),
        jitter_buffer_ms=_mean(s.jitter_buffer_ms for s in received_),
        delay_ms=_mean(s.delay_ms for s in received_),
        rtt_ms=_mean(s.rtt_ms for s in sent_),
        received_bps=_mean(s.bitrate_bps for s in received_),
        sent_bps=_mean(s.bitrate_bps for s in sent_),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return dict(value)
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
