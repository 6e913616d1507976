"""Does virtual time tell what the lab measures? The same speech over the same profiles, side by side.

    python ../shared/lab/matrix.py voice --engines wrtc,tests/bench/lab_endpoint.py --seeds 1,2,3 --out results
    python tests/bench/compare_lab.py results --seeds 8

Reads the lab's results of our engine (voice-lab_endpoint-*.json) and makes calls over the same profiles in virtual
time with the lab's speech, its segments and more seeds, since those cost little. Ends with 1 where a row differs by
more than 0.15 MOS (PESQ-WB is one) or 10 ms.
"""

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from lab_modules import use_lab
from rich.console import Console
from rich.table import Table
from voice_statistics import Estimate, estimate
from voice_trial import LEAD_IN, PROFILES, ROOM_RMS

from media.codecs.base import Samples
from media.quality.speech import score
from media.simulation.call import RATE, simulate
from media.simulation.profiles import get_profile

MOS_MARGIN, DELAY_MARGIN_MS = 0.15, 10.0
TAIL = 2 * RATE  # of the recording beyond a segment's end, to find what came late

Scores = tuple[float, float]  # PESQ-WB, mouth-to-ear median in ms


def lab_speech() -> tuple[Samples, list[tuple[int, int]]]:
    """What the lab speaks, 48 kHz, and the ranges that it scores."""
    import material

    speech, segments = material.speech()
    return speech, segments


def lab_scores(folder: Path) -> dict[str, list[Scores]]:
    """By profile: each direction of each call."""
    found = defaultdict(list)
    for path in sorted(folder.glob("voice-lab_endpoint-*.json")):
        result: dict[str, Any] = json.loads(path.read_text())
        for way in ("ab", "ba"):
            found[result["profile"]].append((result[way]["pesq_wb"], result[way]["delay_median_ms"]))
    return found


def virtual_scores(profile: str, seed: int) -> list[Scores]:
    """Both directions of one call in virtual time."""
    speech, segments = lab_speech()
    lead = round(LEAD_IN * RATE)
    room = np.random.default_rng(seed).normal(0, ROOM_RMS, lead).astype(np.int16)
    spoken = np.concatenate((room, speech))
    call = simulate(get_profile(profile), seed, (spoken, spoken), seconds=len(spoken) / RATE)
    heard = zip((call.caller_heard, call.callee_heard), call.heard_after, strict=True)
    return [tuple(_scores(spoken, _placed(samples, after), lead, segments)) for samples, after in heard]


def _placed(heard: Samples, after: float) -> Samples:
    """What was played, from the start of the other end's microphone on."""
    shift = round(after * RATE)
    return np.pad(heard, (shift, 0)) if shift >= 0 else heard[-shift:]


def _scores(spoken: Samples, heard: Samples, lead: int, segments: list[tuple[int, int]]) -> Iterator[float]:
    pieces = [
        score(spoken[lead + begin : lead + end], heard[lead + begin : lead + end + TAIL])
        for begin, end in segments
    ]
    yield float(np.mean([piece.pesq_wb for piece in pieces]))
    yield median(d for piece in pieces if (d := piece.mouth_to_ear_median_ms) is not None)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="the lab's folder")
    parser.add_argument("--seeds", type=int, default=8, help="calls a profile in virtual time (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    use_lab()
    lab = lab_scores(args.results)
    profiles = [profile for profile in (*PROFILES, "lowbw") if profile in lab]
    if not profiles:
        print(f"no results of our engine in {args.results}", file=sys.stderr)
        return 2
    lab_speech()  # makes the lab's cache, once
    wanted = list(product(profiles, range(1, args.seeds + 1)))
    virtual: dict[str, list[Scores]] = defaultdict(list)
    with ProcessPoolExecutor(args.jobs) as pool:
        for (profile, _), scores in zip(
            wanted, pool.map(virtual_scores, *zip(*wanted, strict=True)), strict=True
        ):
            virtual[profile] += scores
    table = Table(title="PESQ-WB and mouth-to-ear median, means ± half the 95 % interval over directions")
    for title in ("profile", "lab", "virtual", "difference", "lab ms", "virtual ms", "difference", "agrees"):
        table.add_column(title, justify="left" if title == "profile" else "right")
    disagreeing = 0
    for profile in profiles:
        mos, delay = ([_estimate(rows[profile], index) for rows in (lab, virtual)] for index in (0, 1))
        mos_off, delay_off = mos[1].mean - mos[0].mean, delay[1].mean - delay[0].mean
        agrees = abs(mos_off) <= MOS_MARGIN and abs(delay_off) <= DELAY_MARGIN_MS
        disagreeing += not agrees
        table.add_row(
            profile, *(e.text(2) for e in mos), f"{mos_off:+.2f}", *(e.text(0) for e in delay), f"{delay_off:+.0f}",
            "yes" if agrees else "NO",
        )  # fmt: skip
    Console(width=130).print(table)
    return int(disagreeing > 0)


def _estimate(rows: list[Scores], index: int) -> Estimate:
    found = estimate(row[index] for row in rows)
    assert found is not None
    return found


if __name__ == "__main__":
    raise SystemExit(main())
