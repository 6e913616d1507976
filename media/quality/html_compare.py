"""Two reports on one page: the table of differences, and the time lines of both over one another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

from media.quality import html_data as data
from media.quality.compare import Comparison, EndComparison, compare, pair_ends
from media.quality.figures import describe
from media.quality.html import time_lines_html, versions_html
from media.quality.html_charts import ROWS, Chart, Line, Row, Trace, call_seconds, make_row, trace
from media.quality.html_page import make_page

# The members that are drawn; of every other both reports have their own page.
_DRAWN = (
    ("mos", "mos_lq"),
    ("loss", "lost_percent"),
    ("loss", "concealed_percent"),
    ("delay", "delay_ms"),
    ("rate", "bitrate_bps"),
    ("fps", "frames_per_second"),
    ("video_rate", "bitrate_bps"),
    ("video_delay", "frame_delay_ms"),
    ("av", "av_offset_ms"),
    ("psnr", "psnr_db"),
    ("ssim", "ssim"),
)


def render_comparison(
    a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str] = ("A", "B"), title: str | None = None
) -> str:
    """The page; `names` are those of the reports. Raises ValueError for what is no report."""
    comparison = compare(a, b)
    pairs = pair_ends(a, b)
    ends = [end.name for end in comparison.ends]
    body = "\n".join(
        (
            verdict_html(comparison, names),
            f'<section class="cards">{"".join(_table(end, names) for end in comparison.ends)}</section>',
            time_lines_html(ends),
            versions_html([end for pair in pairs for end in pair if end]),
        )
    )
    drawn = _charts(pairs, names)
    content = {
        "charts": [chart.to_dict() for chart in drawn],
        "duration": call_seconds(drawn, a, b),
        "ends": ends,
        "worst": [],
        "document": {"a": a, "b": b},
    }
    networks = [data.text(document, "network") or "none" for document in (a, b)]
    facts = f"<b>{escape(names[0])}</b> and <b>{escape(names[1])}</b>"
    if networks[0] == networks[1]:
        facts += f" · emulated network <b>{escape(networks[0])}</b>"
    else:
        facts += f" · emulated networks <b>{escape(networks[0])}</b> and <b>{escape(networks[1])}</b>: not the same"
    return make_page(title or "Two calls compared", facts, body, content)


def verdict_html(comparison: Comparison, names: Sequence[str]) -> str:
    """How many figures are better and worse, and what became of the MOS."""
    worse, better = _judged(comparison, "worse"), _judged(comparison, "better")
    if worse and better:
        word, level = "Better and worse", "fair"
    elif worse:
        word, level = "Worse", "bad"
    elif better:
        word, level = "Better", "good"
    else:
        word, level = "No notable difference", "none"
    lines = [
        f"<p><b>{len(found)} {kind}:</b> {escape('; '.join(found))}</p>"
        for kind, found in (("worse", worse), ("better", better))
        if found
    ]
    return (
        f'<section class="verdict {level}"><h2>{word}</h2>'
        f"<p>{escape(names[1])}, against {escape(names[0])}:</p>{''.join(lines)}</section>"
    )


def _judged(comparison: Comparison, judgement: str) -> list[str]:
    """The figures of that judgement, each once with its ends."""
    ends: dict[str, list[str]] = {}
    for end in comparison.ends:
        for row in (row for part in end.parts for row in part.rows if row.judgement == judgement):
            ends.setdefault(row.figure.label, []).append(end.name)
    several = len(comparison.ends) > 1
    return [f"{label} ({' and '.join(at)})" if several else label for label, at in ends.items()]


def _table(end: EndComparison, names: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (*names, "change"))
    parts = []
    for part in end.parts:
        rows = []
        for row in part.rows:
            change = "" if row.change is None else row.figure.text(row.change, signed=True)
            cells = (
                f'<td data-name="{escape(row.name)}">{row.figure.text(row.a)}</td>'
                f"<td>{row.figure.text(row.b)}</td>"
            )
            mark = {"better": "\u00a0✓", "worse": "\u00a0✗"}.get(row.judgement, "")
            judged = f' class="{row.judgement}" title="{row.judgement}"' if row.judgement else ""
            rows.append(
                f'<tr><th scope="row" title="{escape(row.figure.note)}">{escape(row.figure.label)}</th>'
                f"{cells}<td{judged}>{change}{mark}</td></tr>"
            )
        parts.append(
            f'<tbody><tr><th scope="rowgroup" colspan="4"><b>{escape(part.title)}</b></th></tr>{"".join(rows)}</tbody>'
        )
    return (
        f'<article class="card"><h3>At {escape(data.place({"end": end.name}))}</h3><table class="comparison">'
        f'<thead><tr><th scope="col"></th>{head}</tr></thead>{"".join(parts)}</table></article>'
    )


def _charts(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], names: Sequence[str]
) -> list[Chart]:
    found: list[Chart] = []
    rows = {row.key: row for row in ROWS}
    for key, member in _DRAWN:
        row = rows[key]
        line = next(line for line in row.lines if line.member == member)
        columns = [tuple(_both(line, pair, names)) for pair in pairs]
        if any(columns):
            found += make_row(_named(row, member), columns)
    return found


def _both(line: Line, pair: tuple[Mapping[str, Any], Mapping[str, Any]], names: Sequence[str]) -> list[Trace]:
    looks = (("grey", "line"), ("blue", "line"))
    drawn = (
        (trace(replace(line, name=name, color=color, style=style), end))
        for end, name, (color, style) in zip(pair, names, looks, strict=True)
    )
    return [each for each in drawn if each is not None]


def _named(row: Row, member: str) -> Row:
    title = row.title if member == "bitrate_bps" else describe(member).label
    return replace(row, key=f"{row.key}-{member}", title=title, note="")
