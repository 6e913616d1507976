"""Voice over many emulated networks in virtual time, scored: every change of the voice path is judged by this.

    python tests/bench/bench_voice.py --profiles loss10,burst --seeds 1-4 --seconds 40

A call is two engines over a profile's links, both talking; each direction is one measurement. Profiles, seeds and
pairs of speakers are crossed. The speech is real where the test media are beside the checkout, else generated.
Figures are means with half the width of their 95 % confidence interval over the directions. PESQ needs the extra
`quality`. `wire` is what one end sends, IP and UDP headers and its feedback for the other direction included.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from media.codecs.base import Samples
from media.io.files import load_speech
from media.simulation.call import RATE, SimulatedCall, simulate
from media.simulation.profiles import UnknownProfile, get_profile
from media.simulation.voice import generate_voice

PROFILES = (
    *("clean", "loss5", "loss10", "loss20", "burst", "burst_time", "rtt300"),
    *("jitter", "jitter_reorder", "spike"),
)
MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
SPEAKERS = ("speech-en-female-73s.g722", "speech-it-male-64s.g722", "speech-ru-female-73s.g722")
LEAD_IN = 2.0  # seconds of a quiet room before anybody speaks, as in a call that has just been answered
ROOM_RMS = 60.0  # of int16: -55 dBFS
HEADER_BYTES = 28  # IPv4 and UDP
# Two-sided 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom; beyond, the normal one.
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
# The limits of the row: PESQ-WB at least, mouth-to-ear median at most. Set with other speech than this: a guide.
TARGETS = {
    "clean": (4.38, 55), "loss5": (4.20, 95), "loss10": (4.10, 112), "loss20": (3.85, 112), "burst": (3.50, 150),
    "burst_time": (3.35, 150), "rtt300": (4.05, 235), "jitter": (4.35, 115), "jitter_reorder": (4.35, 115),
    "spike": (4.30, 260),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """One call. `pair`: indices of the speakers of caller and callee."""

    profile: str
    seed: int
    pair: tuple[int, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One direction of a call, as its listener has it; `wire_kbit_s` as its speaker sent it."""

    profile: str
    seed: int
    speaker: int
    pesq_wb: float | None
    mos_cq: float | None
    mouth_to_ear_median_ms: float | None
    mouth_to_ear_p95_ms: float | None
    lost_percent: float | None
    concealed_percent: float | None
    recovered_percent: float | None
    wire_kbit_s: float


def speech(speaker: int, seconds: float) -> Samples:
    """A quiet room, then the speaker; int16 mono at 48 kHz."""
    room = np.random.default_rng(speaker).normal(0, ROOM_RMS, round(LEAD_IN * RATE)).astype(np.int16)
    path = MEDIA / SPEAKERS[speaker % len(SPEAKERS)]
    voice = load_speech(path, seconds) if path.exists() else generate_voice(speaker, seconds)
    return np.concatenate((room, voice))


def run(job: Job) -> list[Outcome]:
    """A call, both directions."""
    seconds = job.seconds + LEAD_IN
    voices = (speech(job.pair[0], job.seconds), speech(job.pair[1], job.seconds))
    call = simulate(get_profile(job.profile), job.seed, voices, seconds=seconds)
    return [_outcome(job, call, listener, seconds) for listener in (0, 1)]


def _outcome(job: Job, call: SimulatedCall, listener: int, seconds: float) -> Outcome:
    report = (call.caller, call.callee)[listener]
    sent = next(s for s in call.stats[1 - listener].values() if s["type"] == "transport")
    wire = (sent["bytesSent"] + HEADER_BYTES * sent["packetsSent"]) * 8 / seconds / 1000
    heard, summary = report.speech, report.summary
    assert heard is not None
    return Outcome(
        profile=job.profile,
        seed=job.seed,
        speaker=job.pair[1 - listener],
        pesq_wb=heard.pesq_wb,
        mos_cq=summary.mos_cq,
        mouth_to_ear_median_ms=heard.mouth_to_ear_median_ms,
        mouth_to_ear_p95_ms=heard.mouth_to_ear_p95_ms,
        lost_percent=summary.lost_percent,
        concealed_percent=summary.concealed_percent,
        recovered_percent=summary.recovered_percent,
        wire_kbit_s=wire,
    )


def mean_and_interval(values: Iterable[float | None]) -> tuple[float, float] | None:
    """(mean, half the width of the 95 % interval); None without a value. One value has no interval: nan."""
    known = [v for v in values if v is not None]
    if not known:
        return None
    mean = sum(known) / len(known)
    if len(known) == 1:
        return mean, math.nan
    deviation = math.sqrt(sum((v - mean) ** 2 for v in known) / (len(known) - 1))
    quantile = STUDENT[len(known) - 2] if len(known) - 2 < len(STUDENT) else 1.96
    return mean, quantile * deviation / math.sqrt(len(known))


COLUMNS = (
    ("PESQ-WB", "pesq_wb", 2),
    ("MOS-CQ", "mos_cq", 2),
    ("m2e ms", "mouth_to_ear_median_ms", 0),
    ("p95 ms", "mouth_to_ear_p95_ms", 0),
    ("lost %", "lost_percent", 1),
    ("recovered %", "recovered_percent", 1),
    ("concealed %", "concealed_percent", 2),
    ("wire kbit/s", "wire_kbit_s", 0),
)


def table(outcomes: list[Outcome], profiles: Iterable[str]) -> Table:
    result = Table(title="Voice in virtual time: mean ± half the 95 % interval")
    result.add_column("profile")
    result.add_column("n", justify="right")
    for title, _, _ in COLUMNS:
        result.add_column(title, justify="right")
    result.add_column("to reach", justify="right")
    for profile in profiles:
        rows = [o for o in outcomes if o.profile == profile]
        cells = []
        for _, name, digits in COLUMNS:
            figure = mean_and_interval(getattr(o, name) for o in rows)
            cells.append("-" if figure is None else _figure(*figure, digits))
        target = TARGETS.get(profile)
        result.add_row(profile, str(len(rows)), *cells, f"{target[0]:.2f}, {target[1]} ms" if target else "")
    return result


def _figure(mean: float, half: float, digits: int) -> str:
    return f"{mean:.{digits}f}" + ("" if math.isnan(half) else f"±{half:.{digits}f}")


def seeds_of(text: str) -> list[int]:
    """`1,2,5-8` -> [1, 2, 5, 6, 7, 8]."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        seeds += range(int(first), int(last) + 1) if dash else [int(first)]
    return seeds


def arguments(args: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # Some lines of a network ("delay=80 loss=0.03") have commas, hence the other separator.
    parser.add_argument(
        "--profiles", default=",".join(PROFILES), help="names by comma, or lines by semicolon"
    )
    parser.add_argument("--seeds", type=seeds_of, default=seeds_of("1-3"), help="such as 1,2,5-8")
    parser.add_argument("--seconds", type=float, default=40.0, help="of speech a call")
    parser.add_argument("--pairs", type=int, default=2, help="pairs of speakers")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--json", type=Path, help="write every measurement here")
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


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    pairs = [(index % len(SPEAKERS), (index + 1) % len(SPEAKERS)) for index in range(options.pairs)]
    for profile, seed, pair in product(options.profiles, options.seeds, pairs):
        yield Job(profile, seed, pair, options.seconds)


def main() -> int:
    options = arguments()
    console = Console(width=None if sys.stdout.isatty() else 130)
    if not (MEDIA / SPEAKERS[0]).exists():
        console.print("The speech is generated: no test media are beside the checkout.")
    jobs, outcomes, begun = list(_jobs(options)), [], time.monotonic()
    with ProcessPoolExecutor(max_workers=options.jobs) as pool:
        for job, result in zip(jobs, pool.map(run, jobs), strict=True):
            outcomes += result
            if sys.stderr.isatty():
                print(
                    f"\r{len(outcomes) // 2} of {len(jobs)} calls ({job.profile})   ", end="", file=sys.stderr
                )
    if sys.stderr.isatty():
        print(file=sys.stderr)
    console.print(table(outcomes, options.profiles))
    if all(o.pesq_wb is None for o in outcomes):
        console.print("No PESQ: the extra `quality` is not installed.")
    wall = time.monotonic() - begun
    console.print(f"{len(jobs)} calls of {options.seconds:.0f} s, {wall:.0f} s with {options.jobs} processes")
    if options.json is not None:
        document: dict[str, Any] = {"seconds": options.seconds, "outcomes": [asdict(o) for o in outcomes]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
