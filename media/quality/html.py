"""A report as one HTML file that opens offline: a summary to decide from, then what happened when, then every figure.

    render_html(json.loads(report_json), sounds={"caller heard": Path("caller-heard.wav")})

It is written against the document (schema: report_schema.json), not against the classes: members that are missing
are left out, and those that it does not know are among "All figures". It needs no package beside those of a call.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from media.codecs.base import Samples
from media.quality import html_data as data
from media.quality import html_page
from media.quality.html_charts import call_seconds, charts, merged_seconds
from media.quality.html_events import worst_interval
from media.quality.html_parts import figures_html, happened_html, loss_runs_html, sounds_html, waterfall_html
from media.quality.html_sounds import load_sounds
from media.quality.html_summary import card_html, facts_html, verdict_html

# Characters of JSON that the page takes in whole, for its tables of seconds: ten minutes of two ends with video.
MAX_DOCUMENT = 800_000
_NO_SOUNDS: Mapping[str, Path | Samples] = {}


def render_html(
    document: Mapping[str, Any],
    *,
    sounds: Mapping[str, Path | Samples] = _NO_SOUNDS,
    title: str | None = None,
    folder: Path | None = None,
) -> str:
    """The page of a report of one end or several.

    `sounds`: recordings (files, or 48 kHz mono int16) by their caption, in the order they are shown; "<end> heard" gets
    a button for its worst second. What is short enough is put into the page (see html_sounds), other files are links
    relative to `folder` (where the page will lie; None: beside them). One that cannot be read is told in the page.
    Raises ValueError for what is no report.
    """
    ends = data.ends(document)
    if not ends:
        raise ValueError("a report has a list `ends` with an object for each end")
    players = load_sounds(sounds, folder)
    whole = len(json.dumps(document, default=str)) <= MAX_DOCUMENT
    body = "\n".join(
        (
            verdict_html(ends),
            f'<section class="cards">{"".join(card_html(end, i) for i, end in enumerate(ends))}</section>',
            sounds_html(players, ends),
            time_lines_html([data.end_name(end) for end in ends], merged_seconds(document)),
            happened_html(ends),
            loss_runs_html(ends),
            waterfall_html(ends),
            figures_html(document, lists=whole),
            versions_html(ends),
        )
    )
    drawn = charts(document)
    content = {
        "charts": [chart.to_dict() for chart in drawn],
        "duration": call_seconds(drawn, document),
        "ends": [data.end_name(end) for end in ends],
        "worst": worst_seconds(ends),
        "document": document if whole else None,
    }
    return html_page.make_page(title or "Call quality", facts_html(document, ends), body, content)


def worst_seconds(ends: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The worst second of each end that has one: `end` (its index), `start` and `stop` in seconds, `mos_lq`."""
    found = []
    for index, end in enumerate(ends):
        interval, mos = worst_interval(end), data.figure(end, "summary", "worst", "mos_lq")
        if interval is not None and mos is not None:
            found.append({"end": index, "start": interval[0], "stop": interval[1], "mos_lq": mos})
    return found


def time_lines_html(columns: list[str], merged: int = 1) -> str:
    """The frame that the script draws the charts into. `columns`: the names of the ends."""
    tabs = "".join(
        f'<button type="button" role="tab" data-end="{i}" aria-selected="{"true" if i == 0 else "false"}">'
        f"{escape(name)}</button>"
        for i, name in enumerate(columns)
    )
    note = f"A step is {merged} seconds: their mean, of the MOS the lowest."
    note = f'<p class="note">{note}</p>' if merged > 1 else ""
    return (
        '<section id="time"><h2>Over time</h2>'
        f'<div class="tools"><div class="tabs" role="tablist"{"" if len(columns) > 1 else " hidden"}>{tabs}</div>'
        '<div class="zoom"><button type="button" data-zoom="all">Whole call</button>'
        '<button type="button" data-zoom="worst">Worst second</button>'
        '<button type="button" data-zoom="in" aria-label="zoom in">+</button>'
        '<button type="button" data-zoom="out" aria-label="zoom out">−</button>'
        '<button type="button" data-zoom="left" aria-label="earlier">‹</button>'
        '<button type="button" data-zoom="right" aria-label="later">›</button></div></div>'
        '<p class="note gesture">All zoom together: drag over a part of one, double-click for the whole.</p>'
        f"{note}"
        f'<div class="charts" data-columns="{len(columns)}"></div>'
        '<button type="button" id="more">More charts</button></section>'
    )


def versions_html(ends: list[Mapping[str, Any]]) -> str:
    """The versions of all ends, each once."""
    found: dict[str, None] = {}
    for end in ends:
        versions = data.at(end, "versions")
        for name, version in versions.items() if isinstance(versions, Mapping) else ():
            found[f"{name} {version}"] = None
    return f"<footer>{escape(', '.join(found))}</footer>" if found else ""
