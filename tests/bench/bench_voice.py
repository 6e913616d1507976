"""Voice over many emulated networks in virtual time, scored: every change of the voice path is judged by this.

    python tests/bench/bench_voice.py --profiles loss10,burst --seeds 1-4 --seconds 40
    python tests/bench/bench_voice.py --ablation nack,stretch,red+nack   what each part (or both at once) adds
    python tests/bench/bench_voice.py --without red,nack               the table, without these parts at once
    python tests/bench/bench_voice.py --curve --profiles spike         fixed playout delays against the adaptive one

A call is two engines over a profile's links, both talking; each direction is one measurement. Profiles, seeds and
pairs of speakers are crossed. The speech is real where the test media are beside the checkout, else generated.
Figures are means with half the width of their 95 % confidence interval over the directions. PESQ and ViSQOL need the
extra `quality`. `kbit/s` is what one end sends, IP and UDP headers and its feedback for the other direction included.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from voice_parts import PARTS
from voice_statistics import estimate
from voice_trial import MEDIA, PROFILES, SPEAKERS, Outcome, Trial, added, run, select, trials

from media.simulation.profiles import UnknownProfile, get_profile

# The limits of the row: PESQ-WB at least, mouth-to-ear median at most. Set with other speech than this: a guide.
TARGETS = {
    "clean": (4.38, 55), "loss5": (4.20, 95), "loss10": (4.10, 112), "loss20": (3.85, 112), "burst": (3.50, 150),
    "burst_time": (3.35, 150), "rtt300": (4.05, 235), "jitter": (4.35, 115), "jitter_reorder": (4.35, 115),
    "spike": (4.30, 260),
}  # fmt: skip
DELAYS_MS = (20, 40, 60, 80, 100, 130, 160, 200, 250, 300)
# Title, figure, digits: the lab's columns first.
COLUMNS = (
    ("PESQ-WB", "pesq_wb", 2),
    ("ViSQOL", "visqol", 2),
    ("m2e ms", "mouth_to_ear_median_ms", 0),
    ("p95 ms", "mouth_to_ear_p95_ms", 0),
    ("holes %", "holes_percent", 2),
    ("kbit/s", "wire_kbit_s", 0),
    ("lost %", "lost_percent", 1),
    ("concealed %", "concealed_percent", 2),
    ("MOS-CQ", "mos_cq", 2),
)
COMPARED = COLUMNS[0], COLUMNS[2], COLUMNS[7], COLUMNS[5]


def cells(outcomes: Iterable[Outcome]) -> list[str]:
    outcomes = list(outcomes)
    values = [(estimate(getattr(o, name) for o in outcomes), digits) for _, name, digits in COLUMNS]
    return ["-" if value is None else value.text(digits) for value, digits in values]


def quality_table(outcomes: list[Outcome], profiles: Iterable[str], without: tuple[str, ...]) -> Table:
    table = _table(
        "Voice in virtual time" + (f", without {', '.join(without)}" if without else ""), "profile", "n"
    )
    for title in (*(title for title, _, _ in COLUMNS), "to reach"):
        table.add_column(title, justify="right")
    for profile in profiles:
        rows = select(outcomes, profile, without)
        target = TARGETS.get(profile)
        table.add_row(
            profile, str(len(rows)), *cells(rows), f"{target[0]:.2f}, {target[1]} ms" if target else ""
        )
    return table


def curve_table(outcomes: list[Outcome], profiles: Iterable[str]) -> Table:
    table = _table("Fixed playout delays against the adaptive one", "profile", "playout")
    for title, _, _ in COLUMNS:
        table.add_column(title, justify="right")
    for profile in profiles:
        here = [o for o in outcomes if o.profile == profile]
        for delay in sorted({o.playout_delay for o in here if o.playout_delay is not None}):
            rows = [o for o in here if o.playout_delay == delay]
            table.add_row(profile, f"{delay * 1000:.0f} ms", *cells(rows))
        table.add_row(profile, "adaptive", *cells(select(here, profile)), end_section=True)
    return table


def ablation_table(
    outcomes: list[Outcome], profiles: Iterable[str], ablations: Iterable[tuple[str, ...]]
) -> Table:
    table = _table("What each part adds: the figure with it, less without", "part", "profile")
    for title, _, _ in COMPARED:
        table.add_column(title, justify="right")
    profiles = list(profiles)
    for without in ablations:
        for profile in profiles:
            values = [(added(outcomes, profile, without, name), digits) for _, name, digits in COMPARED]
            texts = ("-" if v is None else v.text(digits, sign=True) for v, digits in values)
            table.add_row("+".join(without), profile, *texts, end_section=profile == profiles[-1])
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=f"{title}: mean ± half the 95 % interval")
    for column in columns:
        table.add_column(column)
    return table


def measure(wanted: list[Trial], jobs: int) -> Iterator[tuple[Trial, list[Outcome]]]:
    """All calls, in order. Tells on stderr how far it is: each call on a terminal, each hundredth in a log."""
    terminal = sys.stderr.isatty()
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        for index, (trial, outcomes) in enumerate(zip(wanted, pool.map(run, wanted), strict=True), 1):
            text = f"{index} of {len(wanted)} calls ({trial.profile})"
            if terminal:
                last = index == len(wanted)
                print(f"\r{text:50}", end="\n" if last else "", file=sys.stderr, flush=True)
            elif index % 100 == 0:
                print(text, file=sys.stderr, flush=True)
            yield trial, outcomes


def numbers_of(text: str) -> list[int]:
    """`1,2,5-8` -> [1, 2, 5, 6, 7, 8]."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        numbers += range(int(first), int(last) + 1) if dash else [int(first)]
    return numbers


def parts_of(text: str) -> tuple[str, ...]:
    """`red,nack`. Raises ArgumentTypeError for what is no part."""
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    return names


def ablations_of(text: str) -> tuple[tuple[str, ...], ...]:
    """`nack,red+fec` -> what is left out at once, each time; `all`: each part alone."""
    if text == "all":
        return tuple((name,) for name in PARTS)
    return tuple(parts_of(group.replace("+", ",")) for group in text.split(","))


def arguments(args: list[str] | None = None) -> argparse.Namespace:
    without = "\n".join(f"  {part.name:9} {part.instead}" for part in PARTS.values())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"parts, and what is there without them:\n{without}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Some lines of a network ("delay=80 loss=0.03") have commas, hence the other separator.
    parser.add_argument(
        "--profiles", default=",".join(PROFILES), help="names by comma, or lines by semicolon"
    )
    parser.add_argument("--seeds", type=numbers_of, default=numbers_of("1-3"), help="such as 1,2,5-8")
    parser.add_argument("--seconds", type=float, default=40.0, help="of speech a call")
    parser.add_argument("--pairs", type=int, default=2, help="pairs of speakers a seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--visqol", action="store_true", help="ViSQOL, too: slow")
    parser.add_argument("--json", type=Path, help="write every measurement here")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--without", type=parts_of, default=(), help="parts by comma, none of which is there")
    kinds.add_argument(
        "--ablation",
        type=ablations_of,
        default=(),
        help="parts by comma, or `all`: each is left out in turn; a+b: both at once",
    )
    kinds.add_argument("--curve", action="store_true", help="force fixed playout delays, too")
    parser.add_argument("--delays", type=numbers_of, default=DELAYS_MS, help="of the curve, ms")
    options = parser.parse_args(args)
    text = options.profiles
    options.profiles = [
        p.strip() for p in text.split(";" if ";" in text or "=" in text else ",") if p.strip()
    ]
    if not 5 <= options.seconds <= 600:
        parser.error("--seconds: 5 to 600")
    for profile in options.profiles:
        try:
            get_profile(profile)
        except UnknownProfile as error:
            parser.error(str(error))
    return options


def wanted_trials(options: argparse.Namespace) -> list[Trial]:
    def of(**engine: object) -> list[Trial]:
        return list(
            trials(
                options.profiles, options.seeds, seconds=options.seconds, pairs=options.pairs,
                visqol=options.visqol, **engine,
            )
        )  # fmt: skip

    wanted = of(without=options.without)
    for without in options.ablation:
        wanted += of(without=without)
    if options.curve:
        for delay in options.delays:
            wanted += of(playout_delay=delay / 1000)
    return wanted


def main() -> int:
    options = arguments()
    console = Console(width=None if sys.stdout.isatty() else 150)
    if not (MEDIA / SPEAKERS[0]).exists():
        console.print("The speech is generated: no test media are beside the checkout.")
    wanted, begun = wanted_trials(options), time.monotonic()
    outcomes = [o for _, measured in measure(wanted, options.jobs) for o in measured]
    if options.curve:
        console.print(curve_table(outcomes, options.profiles))
    else:
        console.print(quality_table(outcomes, options.profiles, options.without))
    if options.ablation:
        console.print(ablation_table(outcomes, options.profiles, options.ablation))
    for name, measured in (("PESQ", "pesq_wb"), ("ViSQOL", "visqol")):
        if (name == "PESQ" or options.visqol) and all(getattr(o, measured) is None for o in outcomes):
            console.print(f"No {name}: the extra `quality` is not installed.")
    wall = time.monotonic() - begun
    console.print(
        f"{len(wanted)} calls of {options.seconds:.0f} s, {wall:.0f} s with {options.jobs} processes"
    )
    if options.json is not None:
        document = {"seconds": options.seconds, "outcomes": [asdict(o) for o in outcomes]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
