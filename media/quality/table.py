"""A report as a table for the terminal: one column an end, a row a figure. What is not known is a dash.

With two ends nothing wraps at 80 columns: 25 characters of label, 22 of each cell.
"""

import io
import textwrap
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from media.quality import plain
from media.quality.emodel import verdict
from media.quality.report import QualityReport

Row = tuple[str, Callable[[QualityReport], str]]
WIDTH = 80


def _number(value: float | None, unit: str = "", digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def _mos(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{verdict(value)}, {value:.{digits}f}"


def _rates(report: QualityReport) -> str:
    received, sent = report.summary.received_bps, report.summary.sent_bps
    if received is None and sent is None:
        return "-"
    thousands = [_number(None if bps is None else bps / 1000) for bps in (received, sent)]
    return f"{' / '.join(thousands)} kbit/s"


def _worst(report: QualityReport) -> str:
    worst = report.summary.worst
    return "-" if worst is None else f"{worst.mos_lq:.2f} at {worst.time:.0f} s"


def _mouth_to_ear(report: QualityReport) -> str:
    speech = report.speech
    if speech is None or speech.mouth_to_ear_median_ms is None:
        return "-"
    return f"{speech.mouth_to_ear_median_ms:.0f} ms (95 %: {_number(speech.mouth_to_ear_p95_ms, digits=0)})"


def _video(report: QualityReport, part: str, name: str) -> float | None:
    """A figure of the video part, which is a plain mapping when it came from a file."""
    found = plain.to_plain(report.video)
    value = (found or {}).get(part, {}).get(name)
    return float(value) if isinstance(value, int | float) else None


def _freezes(report: QualityReport) -> str:
    count, seconds = _video(report, "summary", "freezes"), _video(report, "summary", "frozen_seconds")
    return "-" if count is None else f"{count:.0f} ({seconds or 0.0:.1f} s)" if count else "none"


def _kbps(bps: float | None) -> str:
    return "-" if bps is None else f"{bps / 1000:.0f} kbit/s"


def _setup(step: str) -> Callable[[QualityReport], str]:
    def cell(report: QualityReport) -> str:
        at = report.setup.get(step)
        return "-" if at is None else f"{at * 1000:.0f} ms"

    return cell


ROWS: tuple[tuple[str, tuple[Row, ...]], ...] = (
    (
        "what was heard",
        (
            ("MOS, listening", lambda r: _mos(r.summary.mos_lq)),
            ("MOS, conversation", lambda r: _mos(r.summary.mos_cq)),
            ("worst second", _worst),
            ("concealed", lambda r: _number(r.summary.concealed_percent, " %", 2)),
            ("mouth to ear, measured", _mouth_to_ear),
            ("mouth to ear, estimated", lambda r: _number(r.summary.delay_ms, " ms", 0)),
            ("PESQ-WB", lambda r: _number(r.speech.pesq_wb if r.speech else None, digits=2)),
            ("ViSQOL", lambda r: _number(r.speech.visqol if r.speech else None, digits=2)),
        ),
    ),
    (
        "what the other side heard",
        (
            ("MOS, listening", lambda r: _mos(r.summary.remote_mos_lq, 1)),
            ("MOS, conversation", lambda r: _mos(r.summary.remote_mos_cq, 1)),
            ("packets missing", lambda r: _number(r.summary.remote_missing_percent, " %", 1)),
            ("came too late", lambda r: _number(r.summary.remote_late_percent, " %", 1)),
            ("jitter buffer", lambda r: _number(r.summary.remote_jitter_buffer_ms, " ms", 0)),
        ),
    ),
    (
        "what was seen",
        (
            ("pictures a second", lambda r: _number(_video(r, "summary", "frames_per_second"))),
            ("freezes", _freezes),
            ("PSNR", lambda r: _number(_video(r, "score", "psnr_db"), " dB")),
            ("camera to screen", lambda r: _number(_video(r, "score", "delay_median_ms"), " ms", 0)),
            ("sound ahead of picture", lambda r: _number(_video(r, "summary", "av_offset_ms"), " ms", 0)),
            ("video received", lambda r: _kbps(_video(r, "summary", "received_bps"))),
        ),
    ),
    (
        "the network",
        (
            ("packets lost", lambda r: _number(r.summary.lost_percent, " %", 2)),
            ("came too late", lambda r: _number(r.summary.late_percent, " %", 2)),
            ("recovered by FEC", lambda r: _number(r.summary.recovered_percent, " %", 2)),
            ("jitter", lambda r: _number(r.summary.jitter_ms, " ms")),
            ("jitter buffer", lambda r: _number(r.summary.jitter_buffer_ms, " ms")),
            ("round trip", lambda r: _number(r.summary.rtt_ms, " ms")),
            ("received / sent", _rates),
            ("path, here - there", lambda r: str(r.path or "-")),
        ),
    ),
    (
        "set-up: time until",
        (
            ("ringing", _setup("ringing")),
            ("connected while ringing", _setup("preconnected")),
            ("accepted", _setup("accepted")),
            ("ICE connected", _setup("ice_connected")),
            ("DTLS connected", _setup("dtls_connected")),
            ("first sound", _setup("first_sound")),
        ),
    ),
    (
        "the call",
        (
            ("measured", lambda r: f"{r.duration:.0f} s"),
            ("ended", lambda r: r.end_reason or "-"),
            ("peer's identity", lambda r: r.trust or "-"),
        ),
    ),
)


def make_table(reports: Sequence[QualityReport]) -> Table:
    """Rows that are a dash everywhere are left out."""
    table = Table(header_style="bold")
    table.add_column("")
    for report in reports:
        table.add_column(escape(report.end), justify="right")
    for heading, rows in ROWS:
        cells = [(name, [cell(r) for r in reports]) for name, cell in rows]
        known = [(name, values) for name, values in cells if any(v != "-" for v in values)]
        if known:
            table.add_row(f"[bold]{heading}[/bold]", *[""] * len(reports))
        for name, values in known:
            table.add_row(f"  {name}", *map(escape, values))
    return table


def render(reports: Sequence[QualityReport], title: str | None = None) -> str:
    """The table as plain text under its title, the versions below. Lines have no blanks at their end."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    console.print(make_table(reports))
    output = console.file
    assert isinstance(output, io.StringIO)
    lines = textwrap.wrap(title, WIDTH) if title else []
    lines += output.getvalue().splitlines()
    versions = ", ".join(f"{name} {version}" for name, version in reports[0].versions.items())
    lines += textwrap.wrap(versions, WIDTH)
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")
