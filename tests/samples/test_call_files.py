"""What `ringline call` and `ringline answer` write: recordings, reports, pages; and what disks do to them."""

import argparse
import asyncio
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media import MediaError, load_speech
from ringline import answer_call, place_call
from ringline.endpoint import check_outputs

ALICE, BOB = "+12025550100", "+12025550101"


def options(module: Any, *words: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args([*map(str, words), "--address", "127.0.0.1"])


async def talk(town: Any, alice: list[str | Path], bob: list[str | Path], seconds: float = 1.2) -> None:
    """Alice calls Bob by the commands; returns when both have written what they write."""
    answering = options(answer_call, "--profile", town.profile(BOB), "--once", "--quiet", *bob)
    placing = options(
        place_call, BOB, "--profile", town.profile(ALICE), "--seconds", str(seconds), "--quiet", *alice
    )
    for each in (answering, placing):
        check_outputs(each)
    callee = asyncio.ensure_future(answer_call.answer_calls(answering))
    async with town.online(ALICE):
        pass
    codes = await asyncio.wait_for(asyncio.gather(place_call.place_call(placing), callee), 30)
    assert list(codes) == [0, 0]


@pytest.mark.long
async def test_reports_recordings_and_pages(town: Any, tmp_path: Path) -> None:
    (tmp_path / "heard.wav").write_bytes(b"the last call" * 9)
    page, report = tmp_path / "a.html", tmp_path / "b.json"
    await talk(
        town,
        ["--html", page, "--network", "delay=5"],
        ["--record", tmp_path / "heard.wav", "--report", report],
    )
    assert (tmp_path / "heard.wav").read_bytes() == b"the last call" * 9
    assert np.abs(load_speech(tmp_path / "heard-2.wav")).max() > 1000
    (end,) = json.loads(report.read_text())["ends"]
    assert (end["end"], end["number"], end["peer"]) == ("callee", BOB, ALICE)
    assert end["ended"] == f"{ALICE} hung up" and re.match(
        r"\d{4}-\d\d-\d\dT.*[+-]\d\d:\d\d$", end["started_at"]
    )
    assert {(c["direction"], c["name"]) for c in end["codecs"]} == {("sent", "opus"), ("received", "opus")}
    assert -60 < end["summary"]["heard_dbfs"] < 0 and -60 < end["summary"]["said_dbfs"] < 0
    text = page.read_text()
    assert len(text) < 2_000_000 and text.count("<audio") == 2
    assert f"<b>{ALICE}</b> called <b>{BOB}</b>" in text and "you hung up" in text and "delay=5" in text


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["x.mp4", "x.webm"])
async def test_a_full_disk_costs_the_film_and_not_the_call(
    town: Any, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    report = tmp_path / "a.json"
    await talk(town, ["--record", tmp_path / name, "--report", report], [])
    assert json.loads(report.read_text())["ends"][0]["summary"]["packets"]["received"] > 20
    assert "No space left" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--record", "--report", "--html"])
@pytest.mark.parametrize("place", ["absent/x", "folder", "file/x"])
def test_what_cannot_be_written_is_refused_before_the_call(tmp_path: Path, option: str, place: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").touch()
    chosen = argparse.Namespace(record=None, report=None, html=None)
    setattr(chosen, option.removeprefix("--"), tmp_path / f"{place}.wav")
    with pytest.raises(MediaError):
        check_outputs(chosen)
