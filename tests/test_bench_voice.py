"""The arithmetic of the voice bench, and that each part that it leaves out is really left out."""

import importlib
import math
from collections.abc import Iterator
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from media.simulation.call import RATE, simulate
from media.simulation.profiles import get_profile
from media.simulation.voice import generate_voice

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "tests" / "bench"
# Loses in bursts, delays and reorders: every part has something to do.
NETWORK = "delay=20 jitter=8 reorder=1 ge_bad_ms=70 ge_good_ms=350 ge_bad=1.0"
SECONDS = 2.0
SEEDS = (5, 6, 7)  # the first one at which they differ is enough
# What is compared with: in-band FEC works only towards peers without RED.
BASE = {"fec": ("red",)}


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        names = (
            "bench_voice",
            "voice_constants",
            "voice_docs",
            "voice_parts",
            "voice_statistics",
            "voice_svg",
            "voice_tables",
            "voice_trial",
        )
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})


def test_interval_is_that_of_student(bench: SimpleNamespace) -> None:
    found = bench.voice_statistics.estimate([1.0, None, 2.0, 3.0])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.half == pytest.approx(4.30 / math.sqrt(3))
    assert not found.certain
    assert bench.voice_statistics.estimate([5.0, 5.1, 5.0]).certain
    assert bench.voice_statistics.estimate([None]) is None


def test_one_value_has_no_interval(bench: SimpleNamespace) -> None:
    found = bench.voice_statistics.estimate([4.2])
    assert math.isnan(found.half) and not found.certain and found.text(1) == "4.2"


def test_differences_are_paired(bench: SimpleNamespace) -> None:
    left = {1: 4.0, 2: 2.0, 3: 9.0, 4: None}
    right = {1: 3.5, 2: 1.5, 4: 1.0}
    found = bench.voice_statistics.difference(left, right)
    assert (found.mean, found.half, found.count) == (0.5, 0.0, 2)
    assert found.text(1, sign=True) == "+0.5 ± 0.0"


def test_holes_are_the_share_of_speech_that_is_gone(bench: SimpleNamespace) -> None:
    spoken = generate_voice(1, 8.0)
    heard = np.pad(spoken, (round(0.085 * RATE), 0)).copy()
    assert bench.voice_trial.holes_percent(spoken, heard) == 0
    heard[round(2.085 * RATE) : round(4.085 * RATE)] = 0  # 2 of 8 s
    assert 15 < bench.voice_trial.holes_percent(spoken, heard) < 35
    assert bench.voice_trial.holes_percent(spoken, np.zeros_like(heard)) is None


def test_options(bench: SimpleNamespace) -> None:
    options = bench.bench_voice.arguments(
        ["--ablation", "nack,red+fec", "--seeds", "1,4-6", "--profiles", "clean"]
    )
    assert options.ablation == (("nack",), ("red", "fec")) and options.seeds == [1, 4, 5, 6]
    wanted = bench.bench_voice.wanted_trials(options)
    assert len(wanted) == 3 * 4 * 2 and len(set(wanted)) == len(wanted)


def test_axes_have_round_numbers(bench: SimpleNamespace) -> None:
    assert bench.voice_svg.ticks(47, 214) == [0, 50, 100, 150, 200, 250]
    assert bench.voice_svg.ticks(4.12, 4.42) == [4.1, 4.2, 4.3, 4.4, 4.5]
    assert len(bench.voice_svg.ticks(3.0, 3.0)) >= 2


@pytest.mark.long
def test_without_a_part_the_call_is_another(bench: SimpleNamespace) -> None:
    @cache
    def heard(seed: int, without: tuple[str, ...], delay: float | None = None) -> bytes:
        voices = generate_voice(1, SECONDS), generate_voice(2, SECONDS)
        make: Any = partial(bench.voice_parts.TrialEngine, without, delay)
        network = get_profile(NETWORK)
        call = simulate(network, seed, voices, seconds=SECONDS, metrics=False, make_engine=make)
        return call.caller_heard.tobytes()

    for name in bench.voice_parts.PARTS:
        base = BASE.get(name, ())
        used = any(heard(seed, base) != heard(seed, (*base, name)) for seed in SEEDS)
        assert used, f"{name} is still there, or was never used"
    assert heard(SEEDS[0], ()) != heard(SEEDS[0], (), 0.2)


def test_constants_come_with_their_comments(bench: SimpleNamespace, tmp_path: Path) -> None:
    source = tmp_path / "part.py"
    source.write_text(
        "# seconds\n# of sound\nLONG = 2 * 5\nA, B = 1, (2, 3)  # both | here\nlower = 3\nMANY = [\n    1,  # x\n]\n"
    )
    table = bench.voice_constants.table(source)
    assert table.splitlines()[2:] == [
        "| `LONG` | `2 * 5` | seconds of sound |",
        "| `A, B` | `1, (2, 3)` | both / here |",
        "| `MANY` | `[1]` | x |",
    ]
    assert len(bench.voice_constants.table(source, ["MANY"]).splitlines()) == 3
    with pytest.raises(ValueError, match="has no GONE"):
        bench.voice_constants.table(source, ["GONE"])


def test_pages_have_a_place_for_each_table(bench: SimpleNamespace) -> None:
    pages = {path.stem: path.read_text() for path in (ROOT / "docs" / "voice").glob("*.md")}
    for comparison in bench.voice_tables.COMPARISONS:
        changed = bench.voice_docs.replaced(pages[comparison.page], comparison.name, "| new |")
        assert f"<!-- table: {comparison.name} -->\n| new |\n<!-- end of table -->" in changed
    for text in pages.values():
        bench.voice_docs.with_constants(text)  # raises for a constant that the source has no more
    with pytest.raises(ValueError, match="no place"):
        bench.voice_docs.replaced("", "red", "")


def test_measurements_survive_being_cut_off(bench: SimpleNamespace, tmp_path: Path) -> None:
    (first, second) = bench.voice_trial.trials(["clean"], [101, 102], seconds=9.0, without=("red", "fec"))
    names = (field.name for field in fields(bench.voice_trial.Outcome))
    outcome = bench.voice_trial.Outcome(**dict.fromkeys(names, 1.0) | {"without": ("red", "fec")})
    path = tmp_path / "measurements.jsonl"
    path.write_text(bench.voice_docs._line(first, [outcome]) + bench.voice_docs._line(second, [outcome])[:-9])
    assert bench.voice_docs.load(path) == {first: [outcome]}
    assert bench.voice_docs.load(tmp_path / "none") == {}
