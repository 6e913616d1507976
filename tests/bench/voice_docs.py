"""Measures for the pages in docs/voice and writes their tables and figures: `make voice-docs`.

    python tests/bench/voice_docs.py --measurements build/voice.json           measure, then write
    python tests/bench/voice_docs.py --measurements build/voice.json --reuse   write only
    python tests/bench/voice_docs.py --constants                               nothing but the constants

Tables stand between `<!-- table: NAME -->` and `<!-- end of table -->`, constants of a source file between
`<!-- constants: FILE NAMES -->` and the same; the words around them are written by people.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import voice_constants
from bench_voice import measure, numbers_of
from voice_statistics import estimate
from voice_svg import Panel, Series, figure
from voice_trial import PROFILES, Outcome, Trial, added, select, trials

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "voice"
END = "<!-- end of table -->"
LOSSY = PROFILES[1:7]
DELAYS_MS = (20, 60, 100, 140, 180, 240)
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
        added = [part for part in self.without if part not in self.base]
        return "-".join([*added, "without", *self.base] if self.base else added)


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


def wanted_trials(seeds: Sequence[int], seconds: float) -> list[Trial]:
    """Every call that the pages need, once."""
    out: dict[Trial, None] = {}

    def add(profiles: Sequence[str], without: Without, **forced: float) -> None:
        chosen = seeds[:1] if forced else seeds
        for trial in trials(profiles, chosen, seconds=seconds, without=without, **forced):
            out[trial] = None

    add(PROFILES, ())
    for comparison in COMPARISONS:
        for without in (comparison.base, comparison.without):
            add(comparison.profiles, without)
            for delay in DELAYS_MS:
                add(comparison.curves, without, playout_delay=delay / 1000)
    for delay in DELAYS_MS:
        add(PROFILES, (), playout_delay=delay / 1000)
    return list(out)


# -- tables, in Markdown


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
    return Panel(profile, "mouth-to-ear, ms", axis[1], tuple(s for s in lines if s.points))


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


# -- the files


def replaced(text: str, name: str, table: str) -> str:
    """The text with another table in the place of the named one. Raises ValueError where there is no such place."""
    begin = f"<!-- table: {name} -->\n"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"no place for the table {name}")
    return before + begin + table + "\n" + END + after


def with_constants(text: str) -> str:
    """The text with the constants that the source files have now."""

    def fill(match: re.Match[str]) -> str:
        file, *names = match[1].split()
        return f"<!-- constants: {match[1]} -->\n{voice_constants.table(ROOT / file, names)}\n{END}"

    return re.sub(rf"<!-- constants: (.+?) -->\n.*?{END}", fill, text, flags=re.DOTALL)


def write_constants() -> None:
    for path in DOCS.glob("*.md"):
        path.write_text(with_constants(path.read_text()))


def write(outcomes: Sequence[Outcome], seconds: float) -> None:
    tables = [
        ("README", "quality", quality(outcomes)),
        ("README", "overview", overview(outcomes)),
        ("README", "conditions", conditions(outcomes, seconds)),
    ]
    for comparison in COMPARISONS:
        tables.append((comparison.page, comparison.name, details(outcomes, comparison)))
        if comparison.curves:
            path = DOCS / f"{comparison.name}.svg"
            path.write_text(comparison_figure(outcomes, comparison))
    for name, axis in (("delay-quality", QUALITY_AXIS), ("delay-concealed", CONCEALED_AXIS)):
        (DOCS / f"{name}.svg").write_text(delay_figure(outcomes, axis))
    for page, name, table in tables:
        path = DOCS / f"{page}.md"
        path.write_text(replaced(path.read_text(), name, table))


def load(path: Path) -> tuple[list[Outcome], float]:
    document = json.loads(path.read_text())
    return [Outcome(**{**o, "without": tuple(o["without"])}) for o in document["outcomes"]], document[
        "seconds"
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measurements", type=Path, help="where they are kept, JSON")
    parser.add_argument("--constants", action="store_true", help="write the constants only")
    parser.add_argument("--reuse", action="store_true", help="write the pages from them, measure nothing")
    parser.add_argument("--seeds", type=numbers_of, default=numbers_of("101-103"), help="such as 101,105-107")
    parser.add_argument("--seconds", type=float, default=18.0, help="of speech a call")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    write_constants()
    if options.constants:
        return 0
    if options.measurements is None:
        parser.error("--measurements: where they are kept")
    if not options.reuse:
        begun, wanted = time.monotonic(), wanted_trials(options.seeds, options.seconds)
        outcomes = measure(wanted, options.jobs)
        if all(o.pesq_wb is None for o in outcomes):
            parser.error("no PESQ: the extra `quality` is not installed")
        document = {"seconds": options.seconds, "outcomes": [asdict(o) for o in outcomes]}
        options.measurements.parent.mkdir(parents=True, exist_ok=True)
        options.measurements.write_text(json.dumps(document) + "\n")
        print(f"{len(wanted)} calls in {time.monotonic() - begun:.0f} s with {options.jobs} processes")
    write(*load(options.measurements))
    return 0


if __name__ == "__main__":
    sys.exit(main())
