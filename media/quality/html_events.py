"""What happened in a call, and when: what the report says, and what can be read from its seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from media.quality import html_data as data

# A page that names every one of thousands of freezes is of no use; the table of seconds has them all.
MAX_SPANS = 500

_LOW_RATE_BPS = 20_000  # from here down Opus costs 0.3 MOS and more
_LOWER = 0.9  # of the call's usual rate: as in its first second, when the encoder has not settled
# Steps of every call: nobody looks for them on a time line.
_TRIVIAL = ("new", "connecting", "connected", "closed")
_WORDS = {"worst": "worst second", "outage": "no packet came", "freeze": "freeze"}


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to `end`, seconds of the report's time; a moment where both are the same."""

    kind: str
    start: float
    end: float
    name: str
    text: str


def moments(end: Mapping[str, Any]) -> list[Span]:
    """The worst second, outages, freezes and the report's events, at most MAX_SPANS of a kind, by time."""
    found = [*_worst(end)[:1], *_outages(end), *_freezes(end)[:MAX_SPANS], *_events(end)[:MAX_SPANS]]
    return sorted(found, key=lambda span: span.start)


def second_at(end: Mapping[str, Any], time: float) -> Mapping[str, Any] | None:
    """The received second that ends at `time`."""
    series = data.seconds(end, "received")
    nearest = min(series, key=lambda s: abs(s["time"] - time), default=None)
    return nearest if nearest is not None and abs(nearest["time"] - time) < 0.01 else None


def worst_interval(end: Mapping[str, Any]) -> tuple[float, float] | None:
    """Begin and end of the second that sounded worst."""
    time = data.figure(end, "summary", "worst", "time")
    return None if time is None else _interval(end, time)


def why(end: Mapping[str, Any], time: float) -> str:
    """What that second had: the causes in one line, the audible one first. Empty where nothing is known."""
    second = second_at(end, time)
    if second is None:
        return ""
    if second.get("packets") == 0:
        return "no packet came"
    parts = []
    for name, words, inner, inner_words in (
        (
            "concealed_percent",
            "of the sound concealed",
            "concealed_empty_percent",
            "while the buffer was empty",
        ),
        ("lost_percent", "of the packets lost", "recovered_percent", "recovered"),
        ("late_percent", "too late", "", ""),
        ("stretched_percent", "stretched or shortened", "", ""),
    ):
        value = data.number(second.get(name))
        if value is not None and value >= 0.05:
            part = (data.number(second.get(inner)) or 0.0) / value
            share = "all" if part > 0.99 else f"{100 * part:.0f}\u00a0% of that"
            more = f", {share} {inner_words}" if part >= 0.05 else ""
            parts.append(f"{value:.{0 if value >= 9.95 else 1}f}\u00a0% {words}{more}")
    rate = data.number(second.get("codec_bps"))
    if rate is not None and (rate < max(_LOW_RATE_BPS, _LOWER * _usual_rate(end)) or not parts):
        parts.append(f"voice at {rate / 1000:.0f}\u00a0kbit/s")
    delay = data.number(second.get("delay_ms"))
    if delay is not None and (delay > 150 or not parts):
        parts.append(f"{delay:.0f}\u00a0ms mouth to ear")
    return ", ".join(parts)


def _usual_rate(end: Mapping[str, Any]) -> float:
    rates = (data.number(second.get("codec_bps")) for second in data.seconds(end, "received"))
    return median([rate for rate in rates if rate is not None] or [0.0])


def _interval(end: Mapping[str, Any], time: float) -> tuple[float, float]:
    before = [s["time"] for s in data.seconds(end, "received") if s["time"] < time - 0.01]
    return max([time - 1.5, *before[-1:]]) if before else max(0.0, time - 1.0), time


def _worst(end: Mapping[str, Any]) -> list[Span]:
    interval = worst_interval(end)
    if interval is None:
        return []
    mos = data.figure(end, "summary", "worst", "mos_lq")
    told = [f"MOS {mos:.2f}" if mos is not None else "", why(end, interval[1])]
    return [Span("worst", *interval, _WORDS["worst"], ": ".join(t for t in told if t))]


def _outages(end: Mapping[str, Any]) -> list[Span]:
    """Runs of seconds without a packet; where nothing was missed, the other end was silent."""
    found: list[Span] = []
    before = 0.0
    for second in data.seconds(end, "received"):
        time = second["time"]
        if second.get("packets") == 0:
            heard = data.number(second.get("concealed_percent")) is not None
            name = _WORDS["outage"] if heard else "the other end was silent"
            kind = "outage" if heard else "silence"
            if found and found[-1].kind == kind and found[-1].end == before:
                found[-1] = Span(kind, found[-1].start, time, name, "")
            else:
                found.append(Span(kind, before, time, name, ""))
        before = time
    return found[:MAX_SPANS]


def _freezes(end: Mapping[str, Any]) -> list[Span]:
    found = []
    for freeze in data.objects(end, "video", "freezes"):
        start, length = data.figure(freeze, "start"), data.figure(freeze, "duration")
        if start is not None and length is not None:
            stop = start + max(0.0, length)
            found.append(Span("freeze", start, stop, _WORDS["freeze"], f"{length * 1000:.0f} ms"))
    return found


def _events(end: Mapping[str, Any]) -> list[Span]:
    found = []
    for event in data.seconds(end, "events"):
        name = data.text(event, "kind") or "event"
        if name in _TRIVIAL:
            continue
        start = event["time"]
        length = max(0.0, data.figure(event, "duration") or 0.0)
        found.append(
            Span("event", start, start + length, name.replace("_", " "), data.text(event, "text") or "")
        )
    return found
