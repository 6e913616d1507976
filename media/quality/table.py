"""A report as a table for the terminal: one column an end, a row a figure. What is not known is a dash.

With two ends nothing wraps at 80 columns: 25 characters of label, 22 of each cell.
"""

import io
import textwrap
from collections.abc import Callable, Sequence
from datetime import datetime

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


def _rates(*names: str, between: str = " / ") -> Callable[[QualityReport], str]:
    """Members of the summary, in kbit/s."""

    def cell(report: QualityReport) -> str:
        found = [getattr(report.summary, name) for name in names]
        if all(bps is None for bps in found):
            return "-"
        return f"{between.join(_number(None if bps is None else bps / 1000) for bps in found)} kbit/s"

    return cell


def _packets(name: str) -> Callable[[QualityReport], str]:
    """A count of packets, of what was expected; none of them is a dash where there is no account."""

    def cell(report: QualityReport) -> str:
        packets = report.summary.packets
        if packets is None:
            return "-"
        count: int = getattr(packets, name)
        share = packets.percent(count)
        return f"{count} ({share:.2f} %)" if share is not None and name != "received" else str(count)

    return cell


def _loudness(report: QualityReport) -> str:
    levels = (report.summary.heard_dbfs, report.summary.said_dbfs)
    return "-" if levels == (None, None) else f"{' / '.join(_number(v, digits=0) for v in levels)} dBFS"


def _when(report: QualityReport) -> str:
    if report.started_at is None:
        return "-"
    try:
        return datetime.fromisoformat(report.started_at).strftime("%Y-%m-%d %H:%M %z").strip()
    except ValueError:
        return report.started_at


def _codec(direction: str) -> Callable[[QualityReport], str]:
    def cell(report: QualityReport) -> str:
        return next((str(c) for c in report.codecs if (c.kind, c.direction) == ("audio", direction)), "-")

    return cell


def _video_codec(report: QualityReport) -> str:
    return next((str(c) for c in report.codecs if c.kind == "video"), "-")


def _worst(report: QualityReport) -> str:
    """As on the page: from when to when. The series says when it ended."""
    worst = report.summary.worst
    if worst is None:
        return "-"
    begin = max(
        (s.time for s in report.received if s.time < worst.time - 0.01), default=max(0.0, worst.time - 1)
    )
    return f"{worst.mos_lq:.2f}, {begin:.0f} to {worst.time:.0f} s"


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
            ("  for missing packets", lambda r: _number(r.summary.concealed_missing_percent, " %", 2)),
            ("  buffer ran empty", lambda r: _number(r.summary.concealed_empty_percent, " %", 2)),
            ("stretched", lambda r: _number(r.summary.stretched_percent, " %", 2)),
            ("voice coded at", _rates("codec_bps")),
            ("loudness, heard / said", _loudness),
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
            ("packets sent", lambda r: _number(r.summary.packets_sent, digits=0)),
            ("packets received", _packets("received")),
            ("  of them too late", _packets("late")),
            ("packets lost", _packets("lost")),
            ("  of them recovered", _packets("recovered")),
            ("  lost for good", _packets("missing")),
            ("jitter", lambda r: _number(r.summary.jitter_ms, " ms")),
            ("jitter buffer", lambda r: _number(r.summary.jitter_buffer_ms, " ms")),
            ("round trip", lambda r: _number(r.summary.rtt_ms, " ms")),
            ("received / sent", _rates("received_bps", "sent_bps")),
            ("  voice: target, sent", _rates("target_bitrate_bps", "media_bps")),
            ("  copies, sent again", _rates("redundant_bps", "retransmitted_bps")),
            ("sent in all, on the wire", _rates("wire_bps")),
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
            ("began", _when),
            ("number", lambda r: r.number or "-"),
            ("measured", lambda r: f"{r.duration:.0f} s"),
            ("sound sent", _codec("sent")),
            ("sound received", _codec("received")),
            ("picture", _video_codec),
            ("ended", lambda r: r.ended or (r.end_reason or "-").replace("_", " ")),
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
