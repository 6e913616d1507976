"""Measures for the pages in docs/voice and writes their tables and figures: `make voice-docs`.

    python tests/bench/voice_docs.py --measurements build/voice.jsonl            measure, then write
    python tests/bench/voice_docs.py --measurements build/voice.jsonl --resume   only what is not in the file yet
    python tests/bench/voice_docs.py --constants                                 nothing but the constants

Tables stand between `<!-- table: NAME -->` and `<!-- end of table -->`, constants of a source file between
`<!-- constants: FILE NAMES -->` and the same; the words around them are written by people.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import voice_constants
from bench_voice import measure, numbers_of
from voice_tables import (
    COMPARISONS,
    CONCEALED_AXIS,
    QUALITY_AXIS,
    Without,
    comparison_figure,
    conditions,
    delay_figure,
    details,
    overview,
    quality,
)
from voice_trial import PROFILES, Outcome, Trial, trials

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "voice"
END = "<!-- end of table -->"
DELAYS_MS = (20, 60, 100, 150, 220)
T = TypeVar("T")


def wanted_trials(seeds: Sequence[int], seconds: float) -> list[Trial]:
    """Every call that the pages need, once: the engine as it is, then seed by seed without its parts, then the curves."""
    out: dict[Trial, None] = {}

    def add(profiles: Sequence[str], seed: int, without: Without, delay_ms: int | None = None) -> None:
        delay = None if delay_ms is None else delay_ms / 1000
        found = trials(profiles, [seed], seconds=seconds, without=without, playout_delay=delay)
        out.update(dict.fromkeys(found))

    for seed in seeds:
        add(PROFILES, seed, ())
        for comparison in COMPARISONS:
            add(comparison.profiles, seed, comparison.base)
            add(comparison.profiles, seed, comparison.without)
    for delay in DELAYS_MS:
        add(PROFILES, seeds[0], (), delay)
        for comparison in COMPARISONS:
            add(comparison.curves, seeds[0], comparison.base, delay)
            add(comparison.curves, seeds[0], comparison.without, delay)
    return list(out)


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


def load(path: Path) -> dict[Trial, list[Outcome]]:
    """What is in the file, a call a line. A last line that was cut off is left out."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            trial, outcomes = json.loads(line)
        except json.JSONDecodeError:
            break
        found[_from_json(Trial, trial)] = [_from_json(Outcome, o) for o in outcomes]
    return found


def _from_json(kind: Callable[..., T], fields: dict[str, Any]) -> T:
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})


def measure_into(path: Path, wanted: list[Trial], jobs: int) -> None:
    """Append the calls that are not in the file yet."""
    known = load(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(_line(trial, outcomes) for trial, outcomes in known.items()))
    with path.open("a") as file:
        for trial, outcomes in measure([t for t in wanted if t not in known], jobs):
            file.write(_line(trial, outcomes))
            file.flush()


def _line(trial: Trial, outcomes: list[Outcome]) -> str:
    return json.dumps([asdict(trial), [asdict(o) for o in outcomes]]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measurements", type=Path, help="where they are kept, a call a line")
    parser.add_argument("--constants", action="store_true", help="write the constants only")
    parser.add_argument("--resume", action="store_true", help="measure only what is not in that file yet")
    parser.add_argument("--seeds", type=numbers_of, default=numbers_of("101-103"), help="such as 101,105-107")
    parser.add_argument("--seconds", type=float, default=18.0, help="of speech a call")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    write_constants()
    if options.constants:
        return 0
    if options.measurements is None:
        parser.error("--measurements: where they are kept")
    if not options.resume:
        options.measurements.unlink(missing_ok=True)
    begun, wanted = time.monotonic(), wanted_trials(options.seeds, options.seconds)
    measure_into(options.measurements, wanted, options.jobs)
    measured = load(options.measurements)
    outcomes = [outcome for trial in wanted for outcome in measured[trial]]
    if all(o.pesq_wb is None for o in outcomes):
        parser.error("no PESQ: the extra `quality` is not installed")
    write(outcomes, options.seconds)
    print(f"{len(wanted)} calls, {time.monotonic() - begun:.0f} s with {options.jobs} processes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
