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
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from media.quality import plain
from media.quality.in_use import CodecInUse, Path
from media.quality.packets import PacketCounter, Packets, settle
from media.quality.speech import SpeechScore
from media.quality.stats import (
    ReceivedSecond,
    SentSecond,
    Stats,
    entries,
    received,
    sent,
    silent,
    without_end,
)
from media.quality.summary import Summary, Worst, judge, summarize
from media.quality.video_series import (
    Freeze,
    VideoReceivedSecond,
    VideoReport,
    VideoSentSecond,
    video_received,
    video_report,
    video_sent,
)

__all__ = ["MEDIA_STEPS", "QualityReport", "ReportBuilder", "SETUP_STEPS", "Summary", "Worst", "document"]

SCHEMA = "ringline-report/1"
MEDIA_STEPS = (
    "candidates_gathered",
    "first_check",
    "dtls_begun",
    "ice_connected",
    "srtp_keys",
    "dtls_connected",
    "first_packet_sent",
    "first_packet_received",
    "first_sound",
)
# `preconnected`: media could flow, while it rang (signaling's option of that name).
SIGNALING_STEPS = ("asked", "ringing", "preconnected", "accepted", "session_initiate", "session_accept")
SETUP_STEPS = (*SIGNALING_STEPS, *MEDIA_STEPS)
MAX_EVENTS = 500
MAX_SECONDS = 24 * 3600  # a day; beyond, the oldest seconds go
# Samples that come sooner than this after the last one make its second longer: a figure of some ms says nothing.
MIN_INTERVAL = 0.5
MAX_INTERVAL = 1.5
# Packets a second below which a sender does not talk: Opus sends 50, with the longest frames (RFC 7587) 8.3.
_TALKING_PACKETS = 4.0


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What one end of a call measured."""

    end: str = "this end"  # "caller", "callee" where it is known
    number: str | None = None  # of this end, where it was called through signaling
    peer: str | None = None
    started_at: str | None = None  # when the measuring began: ISO 8601, with the offset of the local zone
    duration: float = 0.0  # of the measured part, seconds
    versions: Mapping[str, str] = field(default_factory=dict)
    # seconds after the call was asked for; without signaling, after the connection was made
    setup: Mapping[str, float | None] = field(default_factory=lambda: dict.fromkeys(SETUP_STEPS))
    received: tuple[ReceivedSecond, ...] = ()
    sent: tuple[SentSecond, ...] = ()
    summary: Summary = field(default_factory=Summary)
    end_reason: str | None = None
    ended: str | None = None  # who ended it and why, as this end would say it
    trust: str | None = None
    speech: SpeechScore | None = None
    video: VideoReport | Mapping[str, Any] | None = None
    # {"time", "kind", "text"}: what happened in the call, by the report's own time
    events: tuple[Mapping[str, Any], ...] = ()
    loss_runs: Mapping[str, int] = field(default_factory=dict)  # packets lost in a row -> how often
    path: Path | None = None  # the last one
    codecs: tuple[CodecInUse, ...] = ()  # in use at the end

    def with_signaling(
        self,
        timings: Mapping[str, float | None],
        end_reason: str | None,
        *,
        trust: str | None = None,
        end: str = "this end",
        offset: float = 0.0,
        ended: str | None = None,
        number: str | None = None,
        peer: str | None = None,
    ) -> "QualityReport":
        """Joined with what signaling knows.

        `timings`: seconds since the call was asked for; `offset`: that moment, seconds after this report's own zero
        (media's steps are moved by it). `ended`: the end in a person's words. `number` and `peer`: who called whom.
        """
        setup = {name: self.setup.get(name) for name in SETUP_STEPS}
        for name in MEDIA_STEPS:
            at = setup[name]
            setup[name] = None if at is None else at - offset
        for name in SIGNALING_STEPS:
            setup[name] = timings.get(name)
        return replace(
            self,
            setup=setup,
            end_reason=end_reason,
            ended=ended,
            trust=trust,
            end=end,
            number=number,
            peer=peer,
        )

    def with_speech(self, speech: SpeechScore) -> "QualityReport":
        """Joined with what a comparison of the recording with the known speech gave."""
        return replace(self, speech=speech)

    def with_video(self, **parts: Any) -> "QualityReport":
        """Joined with what was measured of the pictures from outside: `score`, `lip_sync` (dataclasses)."""
        video = dict(plain.to_plain(self.video) or {})
        return replace(self, video=video | {name: plain.to_plain(part) for name, part in parts.items()})

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; keys in a fixed order, floats rounded to four digits."""
        content: dict[str, Any] = plain.to_plain(self)
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "QualityReport":
        """What to_dict() gave, from another process or a file; unknown keys are left out. Raises ValueError."""
        data = plain.mapping(content, "a report")
        setup = plain.mapping(data.get("setup", {}), "setup")
        summary = dict(plain.mapping(data.get("summary", {}), "summary"))
        worst, speech = summary.pop("worst", None), data.get("speech")
        packets = summary.pop("packets", None)
        series = {}
        for name in ("received", "sent", "events", "codecs"):
            series[name] = data.get(name, [])
            if not isinstance(series[name], list):
                raise ValueError(f"{name} is a list")
        return cls(
            end=plain.text(data.get("end"), "end") or "this end",
            number=plain.text(data.get("number"), "number"),
            peer=plain.text(data.get("peer"), "peer"),
            started_at=plain.text(data.get("started_at"), "started_at"),
            duration=plain.number(data.get("duration"), "duration") or 0.0,
            versions={k: str(v) for k, v in plain.mapping(data.get("versions", {}), "versions").items()},
            setup={name: plain.number(setup.get(name), name) for name in SETUP_STEPS},
            received=tuple(plain.numbers(ReceivedSecond, s) for s in series["received"]),
            sent=tuple(plain.numbers(SentSecond, s) for s in series["sent"]),
            summary=replace(
                plain.numbers(Summary, summary),
                worst=None if worst is None else plain.numbers(Worst, worst),
                packets=None if packets is None else plain.numbers(Packets, packets),
            ),
            end_reason=plain.text(data.get("end_reason"), "end_reason"),
            ended=plain.text(data.get("ended"), "ended"),
            trust=plain.text(data.get("trust"), "trust"),
            speech=None if speech is None else plain.numbers(SpeechScore, speech),
            video=None if data.get("video") is None else plain.mapping(data["video"], "video"),
            events=tuple(plain.mapping(e, "an event") for e in series["events"]),
            loss_runs={
                str(k): int(plain.number(v, "a loss run") or 0)
                for k, v in plain.mapping(data.get("loss_runs", {}), "loss_runs").items()
            },
            path=Path.from_dict(data.get("path")),
            codecs=tuple(CodecInUse.from_dict(each) for each in series["codecs"]),
        )

    def to_json(self) -> str:
        return document(self)

    def __str__(self) -> str:
        from media.quality.table import render

        return render([self])


def document(*reports: QualityReport, network: str | None = None) -> str:
    """The report of a call as JSON: of one end or of both, and the network that was emulated between them."""
    content = {"schema": SCHEMA, "network": network, "ends": [r.to_dict() for r in reports]}
    return json.dumps(content, indent=1) + "\n"


class ReportBuilder:
    """Takes a snapshot of the engine's statistics every second.

    A second in which no packet came is an outage or a sender that is silent (muted, DTX). The packets that come
    next tell: after an outage their numbers have a gap. Such a sender's seconds have no figures of what was heard.
    """

    def __init__(self, versions: Mapping[str, str], *, started_at: str | None = None) -> None:
        self._started_at = started_at
        self._versions = dict(versions)
        self._started: float | None = None
        self._begin: tuple[float, Stats] | None = None  # where the newest second begins
        self._earlier: tuple[float, Stats] | None = None  # where the one before it does
        self._last: tuple[float, Stats] | None = None
        self._received: list[ReceivedSecond] = []
        self._sent: list[SentSecond] = []
        self._seen: dict[float, VideoReceivedSecond | None] = {}  # by the second's end
        self._filmed: dict[float, VideoSentSecond | None] = {}
        self._happened: deque[tuple[float, str, str]] = deque(maxlen=MAX_EVENTS)
        self._loss_runs: Mapping[str, int] = {}
        self._path: Path | None = None
        self._codecs: tuple[CodecInUse, ...] = ()
        self._empty = 0  # seconds without a packet at the end of the series
        self._accounts = {kind: PacketCounter() for kind in ("audio", "video")}

    def sample(self, stats: Stats, now: float) -> None:
        """A snapshot; the first one is the zero of the report's time."""
        path = Path.of(stats)
        if path is not None and path != self._path:
            if self._path is not None:
                self.happened(now, "path", str(path))
            self._path = path
        self._codecs = CodecInUse.of(stats) or self._codecs
        if self._last is None or now > self._last[0]:
            last: Stats = {} if self._last is None else self._last[1]
            for kind, account in self._accounts.items():
                account.add(last, stats, kind)
        if self._started is None or self._last is None or self._begin is None:
            self._started, self._begin, self._last = now, (now, stats), (now, stats)
            return
        if now <= self._last[0]:
            return
        if self._received and now - self._last[0] < MIN_INTERVAL and now - self._begin[0] <= MAX_INTERVAL:
            self._seen.pop(self._received[-1].time, None)
            self._filmed.pop(self._received[-1].time, None)
            self._received.pop()
            self._sent.pop()
            self._empty = max(0, self._empty - 1)
        else:
            self._earlier, self._begin = self._begin, self._last
        before, previous = self._begin
        self._last = (now, stats)
        time, interval = now - self._started, now - before
        second = received(previous, stats, time, interval)
        self._received.append(second)
        self._sent.append(sent(previous, stats, time, interval))
        self._seen[time] = video_received(previous, stats, time, interval)
        self._filmed[time] = video_sent(previous, stats, time, interval)
        self._loss_runs = next((e.get("lossRuns", {}) for _, e in entries(stats, "inbound-rtp", "audio")), {})
        if len(self._received) > MAX_SECONDS:
            del self._received[0], self._sent[0]
        self._judge_silence(second, interval)

    def happened(self, now: float, kind: str, text: str = "") -> None:
        """Something that a reader of the report wants to see on its time line."""
        self._happened.append((now, kind, text))

    def build(
        self, setup: Mapping[str, float | None] | None = None, *, freezes: Sequence[Freeze] = ()
    ) -> QualityReport:
        """The report up to now; can be asked for again. `freezes`: (start on the clock of sample(), duration)."""
        zero = self._started or 0.0
        sound, video = self._accounts["audio"], self._accounts["video"]
        last = self._received[-1].time if self._received else 0.0
        steps = {name: (setup or {}).get(name) for name in SETUP_STEPS}
        seconds = judge(settle(self._as_heard()))
        return QualityReport(
            started_at=self._started_at,
            duration=last,
            versions=self._versions,
            setup=steps,
            received=tuple(seconds),
            sent=tuple(self._sent),
            summary=summarize(seconds, self._sent, sound.packets, sound.sent),
            video=video_report(
                [s for s in self._seen.values() if s is not None],
                [s for s in self._filmed.values() if s is not None],
                [(start - zero, length) for start, length in freezes],
                video.packets,
                video.sent,
            ),
            events=tuple(
                {"time": max(0.0, at - zero), "kind": kind, "text": text} for at, kind, text in self._happened
            ),
            loss_runs={str(length): count for length, count in sorted(self._loss_runs.items())},
            path=self._path,
            codecs=self._codecs,
        )

    def _as_heard(self) -> list[ReceivedSecond]:
        """The seconds, where the sound ends with its last packet: a peer that stops sending has hung up, most likely,
        and what is made up until that is told was not missed. A longer time is an outage."""
        seconds = list(self._received)
        if not seconds or self._begin is None or self._last is None or self._empty > 1:
            return seconds
        begin, end, index = self._begin, self._last, -1
        if self._empty == 1:
            seconds[-1] = silent(seconds[-1])
            if self._earlier is None or len(seconds) < 2:
                return seconds
            begin, end, index = self._earlier, self._begin, -2
        stats = without_end(begin[1], end[1])
        seconds[index] = received(begin[1], stats, seconds[index].time, end[0] - begin[0])
        return seconds

    def _judge_silence(self, second: ReceivedSecond, interval: float) -> None:
        if second.packets == 0:
            self._empty = min(self._empty + 1, len(self._received))
            return
        if self._empty and second.packets is not None:
            missing = second.packets_lost or 0.0
            if missing < _TALKING_PACKETS * (self._empty - 1 + interval):
                for index in range(max(0, len(self._received) - 1 - self._empty), len(self._received) - 1):
                    self._received[index] = silent(self._received[index])
            self._empty = 0
