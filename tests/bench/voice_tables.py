"""What the pages in docs/voice compare, and how it is shown: tables in Markdown, curves as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from voice_statistics import estimate
from voice_svg import Panel, Series, figure
from voice_trial import PROFILES, Outcome, added, select

LOSSY = PROFILES[1:7]
# A difference is told when its interval does not hold 0 and it is at least this large: less is not heard.
LEAST_PESQ, LEAST_MS = 0.02, 2
Without = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one engine adds to another. `without`: what the poorer one goes without, `base`: the richer one.

    `curves`: profiles on which both are measured at fixed playout delays, too.
    """

    page: str
    title: str
    without: Without
    base: Without = ()
    profiles: Sequence[str] = PROFILES
    curves: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Of the table and of the figure: `nack`, or `nack-without-red`."""
        parts = [part for part in self.without if part not in self.base]
        return "-".join([*parts, "without", *self.base] if self.base else parts)


COMPARISONS = (
    Comparison("buffer", "standing still for late frames", ("late",), curves=("jitter_reorder", "spike")),
    Comparison("delay", "a target that adapts (instead of 40 ms)", ("target",)),
    Comparison("delay", "a target by cost (instead of libwebrtc's rule)", ("cost",)),
    Comparison("delay", "waiting for copies", ("wait",)),
    Comparison("stretch", "time stretching", ("stretch",), curves=("jitter", "spike")),
    Comparison("concealment", "Opus' concealment (instead of silence)", ("plc",), curves=("burst", "spike")),
    Comparison("concealment", "telling the decoder of losses", ("advance",), ("plc",), curves=("burst", "spike")),
    Comparison("red", "RED (instead of in-band FEC)", ("red",), curves=("loss10", "burst")),
    Comparison("red", "RED, RTX not there", ("red", "fec", "nack"), ("fec", "nack"), LOSSY, ("loss10", "burst")),
    Comparison("feedback", "feedback (instead of fixed distances)", ("feedback",), curves=("loss20", "burst")),
    Comparison("nack", "NACK and RTX", ("nack",), curves=("burst_time",)),
    Comparison("nack", "NACK by the clock (instead of by gaps)", ("timer",)),
    Comparison("nack", "NACK and RTX, RED not there", ("red", "nack"), ("red",), LOSSY, ("loss10", "burst")),
    Comparison("fec", "in-band FEC, RED not there", ("red", "fec"), ("red",), LOSSY),
    Comparison("fec", "in-band FEC, RED and RTX not there", ("red", "fec", "nack"), ("red", "nack"), LOSSY,
               ("loss5", "loss10")),
)  # fmt: skip


# -- tables


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mean(outcomes: Sequence[Outcome], name: str, digits: int) -> str:
    found = estimate(getattr(o, name) for o in outcomes)
    return "-" if found is None else f"{found.mean:.{digits}f}"


def quality(outcomes: Sequence[Outcome]) -> str:
    figures = (("pesq_wb", 2), ("mouth_to_ear_median_ms", 0), ("mouth_to_ear_p95_ms", 0), ("holes_percent", 2),
               ("concealed_percent", 2), ("wire_kbit_s", 0))  # fmt: skip
    rows = []
    for profile in PROFILES:
        here = select(outcomes, profile)
        values = ((estimate(getattr(o, name) for o in here), digits) for name, digits in figures)
        rows.append([profile, *("-" if v is None else v.text(digits) for v, digits in values)])
    head = ["profile", "PESQ-WB", "mouth-to-ear median ms", "p95 ms", "holes %", "concealed %", "kbit/s"]
    return markdown(head, rows)


def overview(outcomes: Sequence[Outcome]) -> str:
    """A line a comparison, a cell a profile: PESQ-WB and ms that it adds."""
    rows = []
    for comparison in COMPARISONS:
        row = [f"[{comparison.title}]({comparison.page}.md)"]
        for profile in PROFILES:
            if profile not in comparison.profiles:
                row.append("")
                continue
            values = []
            for name, digits, least, unit in (
                ("pesq_wb", 2, LEAST_PESQ, ""),
                ("mouth_to_ear_median_ms", 0, LEAST_MS, " ms"),
            ):
                found = added(outcomes, profile, comparison.without, name, comparison.base)
                told = found is not None and found.certain and abs(found.mean) >= least
                values.append(f"{found.mean:+.{digits}f}{unit}" if told and found is not None else "")
            row.append(", ".join(v for v in values if v) or "·")
        rows.append(row)
    return markdown(["what it is", *PROFILES], rows)


def details(outcomes: Sequence[Outcome], comparison: Comparison) -> str:
    figures = (("pesq_wb", 2), ("mouth_to_ear_median_ms", 0), ("concealed_percent", 2), ("wire_kbit_s", 0))
    rows = []
    for profile in comparison.profiles:
        left, right = (select(outcomes, profile, w) for w in (comparison.base, comparison.without))
        gain = added(outcomes, profile, comparison.without, "pesq_wb", comparison.base)
        pairs = [f"{_mean(left, name, d)} / {_mean(right, name, d)}" for name, d in figures]
        gained = "-" if gain is None else gain.text(2, sign=True)
        rows.append([profile, pairs[0], gained, *pairs[1:]])
    head = ["with / without", "PESQ-WB", "it adds", "mouth-to-ear ms", "concealed %", "kbit/s"]
    return markdown(head, rows)


def conditions(outcomes: Sequence[Outcome], seconds: float) -> str:
    seeds = sorted({o.seed for o in outcomes})
    return (
        f"Measured on {date.today()}: seeds {', '.join(map(str, seeds))}, {seconds:.0f} s of speech a call, both "
        f"directions counted, {len(outcomes) // 2} calls in all; the curves have one call a point."
    )


# -- figures


def _point(outcomes: Sequence[Outcome], figure_name: str) -> tuple[float, float] | None:
    x, y = (estimate(getattr(o, name) for o in outcomes) for name in ("mouth_to_ear_median_ms", figure_name))
    return None if x is None or y is None else (x.mean, y.mean)


def series(
    outcomes: Sequence[Outcome], profile: str, without: Without, name: str, label: str
) -> tuple[Series, Series]:
    """Fixed playout delays as a line, and what the engine chooses as a mark."""
    here = [o for o in outcomes if o.profile == profile and o.without == without]
    delays = sorted({o.playout_delay for o in here if o.playout_delay is not None})
    line = [_point([o for o in here if o.playout_delay == d], name) for d in delays]
    chosen = _point(select(here, profile, without), name)
    return (
        Series(f"{label}, fixed delays", tuple(p for p in line if p is not None)),
        Series(f"{label}, adaptive", () if chosen is None else (chosen,), line=False),
    )


QUALITY_AXIS, CONCEALED_AXIS = ("pesq_wb", "PESQ-WB"), ("concealed_percent", "concealed %")


def panel(profile: str, axis: tuple[str, str], lines: Sequence[Series]) -> Panel:
    """Quality always on the whole scale, shares from 0 on: small differences are to look small."""
    highest = max((y for line in lines for _, y in line.points), default=0.0)
    y_range = (1.0, 4.5) if axis == QUALITY_AXIS else (0.0, max(1.0, highest))
    return Panel(profile, "mouth-to-ear, ms", axis[1], tuple(s for s in lines if s.points), y_range)


def comparison_figure(outcomes: Sequence[Outcome], comparison: Comparison) -> str:
    panels = []
    for profile in comparison.curves:
        for axis in (CONCEALED_AXIS, QUALITY_AXIS):
            lines = [
                s
                for without, label in ((comparison.base, "with"), (comparison.without, "without"))
                for s in series(outcomes, profile, without, axis[0], label)
            ]
            panels.append(panel(profile, axis, lines))
    return figure(panels, columns=4)


def delay_figure(outcomes: Sequence[Outcome], axis: tuple[str, str]) -> str:
    """Every profile: fixed delays, and where the three rules end up."""
    panels = []
    for profile in PROFILES:
        line, ours = series(outcomes, profile, (), axis[0], "ours")
        lines = [Series("fixed delays", line.points), Series("by cost (ours)", ours.points, line=False)]
        for without, label in ((("cost",), "libwebrtc's rule"), (("target",), "always 40 ms")):
            point = _point(select(outcomes, profile, without), axis[0])
            lines.append(Series(label, () if point is None else (point,), line=False))
        panels.append(panel(profile, axis, lines))
    return figure(panels, columns=4)
