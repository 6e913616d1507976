"""What a step of load_test.py amounts to: every call accounted for, percentiles, bounds, and what gave way first."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

# A call that did not end in words: how far it is known to have come.
MISSING = ("nothing was heard of it", "placed, then nothing was heard", "up, then nothing was heard")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a step must meet: all calls up until they were hung up, and these."""

    mos: float = 4.0  # 5th percentile over the ends of all calls, listening
    late_ms: float = 20.0  # 99th percentile of how late 10 ms of sound were played


@dataclass(frozen=True, slots=True)
class Cost:
    """Of processes, while all calls of a step were up. None: not known on this system."""

    media_cores: list[float] | None = None  # one a process
    server_cores: float | None = None
    machine_busy: float | None = None  # share of all cores, 0 to 1
    other_cores: float | None = None  # used by what is no part of this test, and the kernel
    media_mb: float | None = None  # all media processes, above what they took with everybody signed in


@dataclass(slots=True)
class Step:
    """One number of calls at once. `records` is what the media processes told."""

    calls: int
    people: list[tuple[str, str]]  # (caller, callee)
    offline: dict[str, str] = field(default_factory=dict)  # number -> why
    records: list[dict[str, Any]] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    died: dict[int, int] = field(default_factory=dict)  # media processes -> exit code
    cut_short: bool = False

    def outcomes(self) -> dict[str, str]:
        """Caller -> "hung up", "lost: why", "failed: why", or one of MISSING. Every call is here once."""
        found = dict.fromkeys((caller for caller, _ in self.people), MISSING[0])
        for caller, callee in self.people:
            why = self.offline.get(caller) or self.offline.get(callee)
            if why is not None:
                found[caller] = f"failed: not signed in: {why}"
        for record in self.records:
            if record["kind"] in ("placed", "up"):
                found[record["caller"]] = MISSING[1 if record["kind"] == "placed" else 2]
            elif record["kind"] == "failed":
                found[record["caller"]] = f"failed: {record['reason']}"
            elif record["kind"] == "ended" and record["end"] == "caller":
                found[record["caller"]] = f"lost: {record['reason']}" if record["lost"] else "hung up"
        return found

    def ends(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == "ended"]

    def lateness(self, name: str) -> Counter[int]:
        """Histogram of `pulls` or `lag` over all processes, ms -> how often."""
        total: Counter[int] = Counter()
        for record in self.records:
            if record["kind"] == "load":
                total.update({int(late): count for late, count in record[name].items()})
        return total


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def percentile_of_counts(counts: Counter[int], percent: float) -> float | None:
    """The same for a histogram."""
    left = math.ceil(counts.total() * percent / 100)
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return float(value)
    return None


def summarize(step: Step, bounds: Bounds) -> dict[str, Any]:
    """The step as JSON-able figures, with what is broken of the bounds and where."""
    outcomes = Counter(step.outcomes().values())
    kept = outcomes["hung up"]
    failed = sum(n for text, n in outcomes.items() if text.startswith("failed"))
    lost = sum(n for text, n in outcomes.items() if text.startswith("lost"))
    ends = step.ends()
    callers = [end for end in ends if end["end"] == "caller"]
    figures: dict[str, Any] = {
        "calls": step.calls,
        "placed": len(step.people),
        "kept_up": kept,
        "lost": lost,
        "failed": failed,
        "unaccounted": sum(outcomes[text] for text in MISSING),
        "died": [f"media process {which} ended by itself: {code}" for which, code in step.died.items()],
        "cut_short": step.cut_short,
        "reasons": {text: n for text, n in outcomes.most_common() if text != "hung up"},
        "callees_reported": sum(end["end"] == "callee" for end in ends),
        "setup_ms": {
            name: _spread(callers, lambda end, name=name: _ms(end["setup"].get(name)))
            for name in ("ringing", "accepted", "ice_connected", "srtp_keys", "connected", "first_sound")
        },
        "mos_lq": _spread(ends, lambda end: end["mos_lq"], low=True),
        "mos_cq": _spread(ends, lambda end: end["mos_cq"], low=True),
        "mouth_to_ear_ms": _spread(ends, lambda end: end["delay_ms"]),
        "jitter_buffer_ms": _spread(ends, lambda end: end["jitter_buffer_ms"]),
        "concealed_percent": _spread(ends, lambda end: end["concealed_percent"]),
        "playout_late_ms": _spread_of_counts(step.lateness("pulls")),
        "loop_lag_ms": _spread_of_counts(step.lateness("lag")),
        "cost": {
            "media_cores": step.cost.media_cores,
            "server_cores": step.cost.server_cores,
            "machine_busy": step.cost.machine_busy,
            "other_cores": step.cost.other_cores,
            "cores_per_call": _per_call(step.cost.media_cores and sum(step.cost.media_cores), kept + lost),
            "mb_per_call": _per_call(step.cost.media_mb, kept + lost),
        },
    }
    figures["broken"] = broken(figures, bounds)
    figures["where"] = where(figures) if figures["broken"] else None
    return figures


def broken(figures: dict[str, Any], bounds: Bounds) -> list[str]:
    """Which bounds the step does not meet, in words."""
    found = list(figures["died"])
    if figures["cut_short"]:
        found.append("it was cut short")
    for name, words in (
        ("failed", "failed"),
        ("lost", "were lost"),
        ("unaccounted", "are not accounted for"),
    ):
        if figures[name]:
            found.append(f"{figures[name]} of {figures['placed']} calls {words}")
    silent = figures["kept_up"] + figures["lost"] - figures["callees_reported"]
    if silent:
        found.append(f"{silent} callees did not report their end")
    mos, late = figures["mos_lq"]["p5"], figures["playout_late_ms"]["p99"]
    if mos is None or mos <= bounds.mos:
        found.append(f"MOS p5 is {_text(mos)}, not above {bounds.mos:g}")
    if late is None or late > bounds.late_ms:
        found.append(
            f"1 % of the sound is played {_text(late)} ms late or later, above {bounds.late_ms:g} ms"
        )
    return found


def where(figures: dict[str, Any]) -> str:
    """What was used up, by the figures of the processes; said only where a figure shows it."""
    cost, found = figures["cost"], list(figures["died"])
    media = cost["media_cores"]
    if media and max(media) >= 0.9:
        found.append(f"a media process used {max(media):.2f} cores (one is all that Python can use)")
    if cost["server_cores"] is not None and cost["server_cores"] >= 0.8:
        found.append(f"the signaling server used {cost['server_cores']:.2f} cores")
    if cost["machine_busy"] is not None and cost["machine_busy"] >= 0.95:
        found.append(f"the machine was {cost['machine_busy'] * 100:.0f} % busy")
    if cost["other_cores"] is not None and cost["other_cores"] >= 0.3:
        found.append(f"other programs used {cost['other_cores']:.2f} cores")
    reasons = " ".join(figures["reasons"])
    if "Too many open files" in reasons or "Errno 24" in reasons:
        found.append("sockets: too many open files")
    if "not signed in" in reasons:
        found.append("signing in, before any call")
    if any(text in reasons for text in ("did not answer", "no device of", "server could not", "no server")):
        found.append("signaling messages came too late or not at all")
    if "no way through the network" in reasons:
        found.append("ICE or DTLS did not finish in time")
    lag = figures["loop_lag_ms"]["p99"]
    if not found and lag is not None:
        found.append(f"neither processor nor sockets: the event loops were {lag:.0f} ms late (p99)")
    return "; ".join(found) or "not found"


def knee(steps: Iterable[dict[str, Any]]) -> int | None:
    """The largest number of calls up to which every step met all bounds."""
    best = None
    for step in steps:
        if step["broken"]:
            break
        best = step["calls"]
    return best


def _spread(ends: Iterable[dict[str, Any]], of: Any, *, low: bool = False) -> dict[str, float | None]:
    """p50 and the bad side: p95, p99, max; `low`: p5, p1, min."""
    values = [value for end in ends if (value := of(end)) is not None]
    points = (("p50", 50), ("p5", 5), ("p1", 1), ("min", 0)) if low else PERCENTS
    return {"count": len(values)} | {name: _rounded(percentile(values, p)) for name, p in points}


PERCENTS = (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100))


def _spread_of_counts(counts: Counter[int]) -> dict[str, float | None]:
    return {"count": counts.total()} | {name: percentile_of_counts(counts, p) for name, p in PERCENTS}


def _per_call(total: float | None, calls: int) -> float | None:
    return None if total is None or not calls else round(total / calls, 4)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _text(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"
