"""Parts of the page that need no script: set-up waterfall, loss runs, players, all figures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from media.quality import html_data as data
from media.quality.figures import clock, describe
from media.quality.html_events import moments, worst_interval
from media.quality.html_sounds import Sound

# Runs of so many packets and more are one bar: half a second.
LONGEST_RUN = 25
MAX_LISTED = 200  # events


def waterfall_html(ends: Sequence[Mapping[str, Any]]) -> str:
    """The set-up step by step: a bar is the time from the step before it. One scale for all ends."""
    steps = [_steps(end) for end in ends]
    longest = max((at for each in steps for _, at in each), default=0.0)
    if longest <= 0:
        return ""
    figures = "".join(
        _waterfall(data.end_name(e), each, longest) for e, each in zip(ends, steps, strict=True)
    )
    return (
        '<section id="setup"><details class="part" open><summary><h2>Set-up</h2></summary>'
        '<p class="note">After the call was asked for; a bar is the time since the step before it.</p>'
        f'<div class="columns">{figures}</div></details></section>'
    )


def _steps(end: Mapping[str, Any]) -> list[tuple[str, float]]:
    setup = data.at(end, "setup")
    if not isinstance(setup, Mapping):
        return []
    found = [(n, v) for n, x in setup.items() if (v := data.number(x)) is not None]
    return sorted(((str(n), v) for n, v in found if v >= 0), key=lambda step: step[1])


def _waterfall(name: str, steps: list[tuple[str, float]], longest: float) -> str:
    if not steps:
        return f"<figure><figcaption>{escape(name)}</figcaption><p>–</p></figure>"
    rows = []
    for (_, start), (step, stop) in pairwise([("", 0.0), *steps]):
        if stop == 0:
            continue  # the call was asked for: where the time begins
        left, width = start / longest * 100, (stop - start) / longest * 100
        known = describe(step)
        rows.append(
            f'<tr><th scope="row">{escape(known.label)}</th><td class="bar">'
            f'<i style="left:{left:.2f}%;width:max(2px,{width:.2f}%)"></i></td>'
            f'<td class="value">{stop * 1000:.0f}\u00a0ms</td></tr>'
        )
    return (
        f'<figure><figcaption>{escape(name)}</figcaption><table class="waterfall">{"".join(rows)}'
        "</table></figure>"
    )


def loss_runs_html(ends: Sequence[Mapping[str, Any]]) -> str:
    """How many packets in a row were lost, how often: bars of the member `loss_runs` ({"1": 30, "2": 4})."""
    found = [
        (title, index, runs)
        for path, title in ((("loss_runs",), "sound"), (("video", "loss_runs"), "video"))
        for index, end in enumerate(ends)
        if (runs := _runs(data.at(end, *path)))
    ]
    if not found:
        return ""
    figures = "".join(_histogram(f"{data.end_name(ends[i])}, {title}", runs) for title, i, runs in found)
    return (
        '<section id="runs"><details class="part" open><summary><h2>Packets lost in a row</h2></summary>'
        '<p class="note">As they came, late ones included. Single ones are mostly repaired; long runs are what is '
        f'heard and seen.</p><div class="columns">{figures}</div></details></section>'
    )


def _runs(content: Any) -> dict[int, int]:
    if not isinstance(content, Mapping):
        return {}
    runs: dict[int, int] = {}
    for length, value in content.items():
        count = data.number(value)
        if (
            count
            and count >= 1
            and str(length).isascii()
            and str(length).isdigit()
            and 0 < len(str(length)) < 7
        ):
            shown = min(int(length), LONGEST_RUN)
            runs[shown] = runs.get(shown, 0) + int(count)
    return runs


def _histogram(name: str, runs: Mapping[int, int]) -> str:
    most = max(runs.values())
    bars = []
    for length in range(1, max(runs) + 1):
        count = runs.get(length, 0)
        label = f"{length}+" if length == LONGEST_RUN else str(length)
        bars.append(
            f'<li><b>{count or ""}</b><i style="height:{count / most * 100:.1f}%"></i><span>{label}</span></li>'
        )
    packets = sum(length * count for length, count in runs.items())
    return (
        f"<figure><figcaption>{escape(name)}: {sum(runs.values())} runs, {packets} packets</figcaption>"
        f'<ol class="histogram">{"".join(bars)}</ol></figure>'
    )


def sounds_html(sounds: Iterable[Sound], ends: Sequence[Mapping[str, Any]]) -> str:
    """A player a recording. One that an end heard (its name begins with the end's) can be put to the worst second."""
    rows = [_player(sound, ends) for sound in sounds]
    if not rows:
        return ""
    note = (
        "All begin at the same moment; another player goes on where the last one stopped."
        if len(rows) > 1
        else ""
    )
    note = f'<p class="note">{note}</p>' if note else ""
    return f'<section id="sounds"><h2>Listen</h2>{note}<div class="players">{"".join(rows)}</div></section>'


def _player(sound: Sound, ends: Sequence[Mapping[str, Any]]) -> str:
    name = escape(sound.name)
    if sound.source is None:
        reason = f'<p class="note">cannot be read: {escape(sound.error or "")}</p>'
        return f"<figure><figcaption>{name}</figcaption>{reason}</figure>"
    button = ""
    for end in ends:
        interval = worst_interval(end)
        if interval and sound.name == f"{data.end_name(end)} heard":
            seek = max(0.0, interval[0] - 1.5)  # heard in its context
            button = f'<button type="button" data-seek="{seek:.2f}">Play the worst second</button>'
    link = "" if sound.embedded else f' <a href="{escape(sound.source)}">{escape(unquote(sound.source))}</a>'
    return (
        f"<figure><figcaption>{name}{link}</figcaption>"
        f'<audio controls preload="metadata" src="{escape(sound.source)}"></audio>{button}</figure>'
    )


def happened_html(ends: Sequence[Mapping[str, Any]]) -> str:
    """What happened in the call (muted, another path, an outage), by time; nothing where there was nothing."""
    found = [
        (span.start, f"{span.name}{f': {span.text}' if span.text else ''}", data.end_name(end))
        for end in ends
        for span in moments(end)
        if span.kind != "worst"
    ]
    if not found:
        return ""
    several = len(ends) > 1
    rows = "".join(
        f"<li><time>{clock(at)}</time>{escape(words)}{escape(f', {name}') if several else ''}</li>"
        for at, words, name in sorted(found)[:MAX_LISTED]
    )
    more = f'<li class="note">{len(found) - MAX_LISTED} more</li>' if len(found) > MAX_LISTED else ""
    return f'<section id="events"><h2>What happened</h2><ul class="events">{rows}{more}</ul></section>'


def figures_html(document: Mapping[str, Any], *, lists: bool = True) -> str:
    """Every figure of the document: single ones here, those of lists in tables that the script fills.

    `lists`: False where they would be too much for the page.
    """
    parts = []
    for index, end in enumerate(document["ends"]):
        if not isinstance(end, Mapping):
            continue
        name = escape(data.end_name(end))
        tables = "".join(_list(("ends", index, *path), path, rows) for path, rows in data.tables(end))
        if not lists:
            tables = '<p class="note">Too long for this page: they are in report.json.</p>'
        parts.append(
            f"<details><summary>{name}: single figures</summary>"
            f'<table class="figures">{_rows(f"ends.{index}", end)}</table></details>'
            f'<div class="lists"><h3>{name}, over time</h3>{tables}</div>'
        )
    others = {str(k): v for k, v in document.items() if k != "ends"}
    tables = "".join(_list(path, path, rows) for path, rows in data.tables(others)) if lists else ""
    return (
        '<section id="figures"><details class="part" open><summary><h2>All figures</h2></summary><p class="note">'
        f"As they stand in report.json; null is what was not measured.</p>{''.join(parts)}"
        '<details><summary>the document</summary><table class="figures">'
        f'{_rows("", others)}</table></details><div class="lists"{"" if tables else " hidden"}>{tables}</div>'
        "</details></section>"
    )


def _list(where: tuple[str | int, ...], path: tuple[str, ...], rows: Sequence[Any]) -> str:
    words = f"{'.'.join(path)}: {len(rows)} {'row' if len(rows) == 1 else 'rows'}"
    return (
        f'<details class="series" data-list="{escape(json.dumps(where))}"><summary>{escape(words)}</summary>'
        '<div class="scroll"></div></details>'
    )


def _rows(prefix: str, content: Mapping[str, Any]) -> str:
    return "".join(_row(prefix, path, value) for path, value in data.leaves(content))


def _row(prefix: str, path: str, value: Any) -> str:
    where = f"{prefix}.{path}" if prefix else path
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f'<tr><th scope="row">{escape(path)}</th><td data-path="{escape(where)}">{escape(shown)}</td></tr>'
