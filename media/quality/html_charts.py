"""What the page draws over time, from the report's document. The page's script draws it and knows no figure.

A chart is a row of the page (MOS, loss, delay ...) for one end. All charts of a row have the same scale, and all
have the same time axis: seconds after the report's start.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from media.quality import html_data as data
from media.quality.html_events import Span, moments


@dataclass(frozen=True, slots=True)
class Line:
    """A member of a series, drawn. `color` is a name of the style sheet; `style` line, thin,
    dash, dots or fill."""

    series: tuple[str, ...]
    member: str
    name: str
    color: str
    style: str = "line"
    factor: float = 1.0
    sparse: bool = False  # not every entry has a value: one without is no gap
    lowest: bool = False  # of seconds that are put together the lowest counts, not the mean


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of chart. `levels`: (value, word) of lines to measure by; `limits`: a fixed scale."""

    key: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    note: str = ""
    limits: tuple[float, float] | None = None
    levels: tuple[tuple[float, str], ...] = ()
    symmetric: bool = False
    tight: bool = False  # the scale need not begin at 0
    bands: tuple[str, ...] = ("worst", "outage")  # kinds of moments that are marked


@dataclass(frozen=True, slots=True)
class Trace:
    """`x`: middles of the intervals in seconds; `edges`: where the first begins and the last ends; `y` in the
    chart's unit, None for a gap."""

    name: str
    color: str
    style: str
    x: list[float]
    y: list[float | None]
    edges: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart; see Row. `end` is its column."""

    key: str
    end: int
    title: str
    unit: str
    note: str
    limits: tuple[float, float] | None
    levels: tuple[tuple[float, str], ...]
    traces: tuple[Trace, ...] = ()
    spans: tuple[Span, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


_IN, _OUT = ("received",), ("sent",)
_VIN, _VOUT = ("video", "received"), ("video", "sent")
_FRAMES, _FLASHES = ("video", "score", "by_frame"), ("video", "lip_sync", "by_flash")

ROWS: tuple[Row, ...] = (
    Row(
        "mos",
        "Quality",
        "MOS",
        (
            Line(_IN, "mos_lq", "listening", "blue", lowest=True),
            Line(_IN, "mos_cq", "conversation, with the delay", "violet", "dash", lowest=True),
        ),
        "The worst second, outages, and what happened in the call are marked.",
        limits=(1.0, 4.6),
        levels=((4.03, "good"), (3.6, "fair"), (3.1, "poor")),
        bands=("worst", "outage", "silence", "event"),
    ),
    Row(
        "loss",
        "Loss, and what was heard of it",
        "%",
        (
            Line(_IN, "lost_percent", "lost on the way", "grey", "fill"),
            Line(_IN, "recovered_percent", "of that, recovered", "green"),
            Line(_IN, "late_percent", "came too late", "amber"),
            Line(_IN, "concealed_percent", "concealed: what was heard", "red"),
            Line(_IN, "concealed_empty_percent", "of that, buffer empty", "violet", "dash"),
            Line(_IN, "stretched_percent", "stretched or shortened", "blue", "dash"),
        ),
        "Packets: of those expected; concealed and stretched: of the sound played.",
    ),
    Row(
        "delay",
        "Delay",
        "ms",
        (
            Line(_IN, "delay_ms", "mouth to ear, estimated", "blue"),
            Line(_IN, "jitter_buffer_ms", "jitter buffer", "amber"),
            Line(_IN, "jitter_buffer_target_ms", "its target", "amber", "dash"),
            Line(_OUT, "rtt_ms", "round trip", "grey"),
            Line(_IN, "jitter_ms", "jitter", "violet"),
        ),
    ),
    Row(
        "rate",
        "Bit rate of the sound",
        "kbit/s",
        (
            Line(_IN, "bitrate_bps", "received", "blue", factor=0.001),
            Line(_OUT, "bitrate_bps", "sent", "green", factor=0.001),
            Line(_OUT, "media_bps", "of that, voice", "violet", factor=0.001),
            Line(_OUT, "target_bitrate_bps", "target of the codec", "grey", "dash", factor=0.001),
        ),
        "Sent: voice, its copies (RED) and headers.",
    ),
    Row(
        "level",
        "Loudness",
        "dBFS",
        (Line(_IN, "level_dbfs", "heard", "blue"), Line(_OUT, "level_dbfs", "said", "green", "dash")),
        limits=(-80.0, 0.0),
    ),
    Row(
        "remote",
        "What the other end says",
        "%",
        (
            Line(_OUT, "remote_lost_percent", "lost of what was sent", "red"),
            Line(
                _OUT,
                "remote_missing_percent",
                "missing there after repair, since the beginning",
                "amber",
                "dash",
            ),
        ),
        "RTCP receiver reports and extended reports.",
    ),
    Row(
        "fps",
        "Video frames",
        "a second",
        (
            Line(_VIN, "frames_per_second", "shown", "blue"),
            Line(_VOUT, "frames_per_second", "sent", "green", "dash"),
            Line(_VIN, "frames_dropped", "dropped", "red"),
        ),
        "Red bands are freezes.",
        bands=("freeze",),
    ),
    Row(
        "video_rate",
        "Bit rate of the video",
        "kbit/s",
        (
            Line(_VIN, "bitrate_bps", "received", "blue", factor=0.001),
            Line(_VOUT, "bitrate_bps", "sent", "green", factor=0.001),
            Line(_VOUT, "target_bitrate_bps", "target of the encoder", "grey", "dash", factor=0.001),
            Line(_VOUT, "retransmitted_bps", "sent again", "amber", factor=0.001),
        ),
    ),
    Row(
        "video_loss",
        "Video packets",
        "%",
        (
            Line(_VIN, "lost_percent", "lost on the way", "grey", "fill"),
            Line(_VIN, "recovered_percent", "recovered by retransmission", "green"),
        ),
        bands=("freeze",),
    ),
    Row(
        "video_delay",
        "Video delay",
        "ms",
        (
            Line(_FRAMES, "delay_ms", "of each frame, measured", "grey", "thin", sparse=True),
            Line(_VIN, "frame_delay_ms", "frame delay", "blue"),
            Line(_VIN, "jitter_buffer_ms", "frame buffer", "amber"),
            Line(_VIN, "jitter_ms", "jitter", "violet"),
            Line(_VOUT, "encode_ms", "encoding a frame", "green"),
        ),
    ),
    Row(
        "av",
        "Sound against picture",
        "ms",
        (
            Line(_VIN, "av_offset_ms", "A/V offset, estimated", "blue"),
            Line(_FLASHES, "av_offset_ms", "measured by flash and beep", "amber", "dots"),
        ),
        "Above 0: the sound is ahead.",
        levels=((40.0, "+40"), (-40.0, "−40")),
        symmetric=True,
    ),
    Row(
        "psnr",
        "Picture against the original",
        "dB PSNR",
        (Line(_FRAMES, "psnr_db", "PSNR by frame", "blue", lowest=True, sparse=True),),
        tight=True,
        bands=("freeze",),
    ),
    Row(
        "ssim",
        "Picture against the original",
        "SSIM",
        (Line(_FRAMES, "ssim", "SSIM by frame", "violet", lowest=True, sparse=True),),
        tight=True,
        bands=("freeze",),
    ),
)


def charts(document: Mapping[str, Any]) -> list[Chart]:
    """The charts of a report, row by row; in a row, end by end. A row without a figure is left out."""
    ends = data.ends(document)
    found: list[Chart] = []
    happened = [tuple(moments(end)) for end in ends]
    for row in ROWS:
        if row.key == "remote" and len(ends) > 1:
            continue  # the other end has told it itself
        traces = [tuple(_traces(row.lines, end)) for end in ends]
        if any(traces):
            found += make_row(
                row, traces, [tuple(s for s in spans if s.kind in row.bands) for spans in happened]
            )
    return found


def make_row(
    row: Row, traces: Sequence[tuple[Trace, ...]], spans: Sequence[tuple[Span, ...]] = ()
) -> list[Chart]:
    """A chart an end, with one scale for all."""
    limits = row.limits or _limits([t for each in traces for t in each], row)
    return [
        Chart(
            row.key,
            end,
            row.title,
            row.unit,
            row.note,
            limits,
            row.levels,
            each,
            spans[end] if spans else (),
        )
        for end, each in enumerate(traces)
    ]


def trace(line: Line, end: Mapping[str, Any]) -> Trace | None:
    """The line of this end, or None where the report does not have it."""
    series = data.seconds(end, *line.series)
    if line.sparse:
        series = [each for each in series if data.number(each.get(line.member)) is not None]
    x, y = data.columns(series, line.member, line.lowest)
    if all(value is None for value in y):
        return None
    last = float(series[-1]["time"])
    edges = (max(0.0, round(2 * x[0] - float(series[0]["time"]), 3)), last)
    return Trace(line.name, line.color, line.style, x, [_scaled(v, line.factor) for v in y], edges)


def call_seconds(drawn: Iterable[Chart], *documents: Mapping[str, Any]) -> float:
    """How long the time axis of these charts is."""
    times = [data.figure(end, "duration") or 0.0 for each in documents for end in data.ends(each)]
    for chart in drawn:
        times += [each.edges[1] for each in chart.traces]
    return max([*times, 1.0])


def merged_seconds(document: Mapping[str, Any]) -> int:
    """How many seconds a step of the charts is, at most."""
    series = (data.seconds(end, *path) for end in data.ends(document) for path in (_IN, _OUT, _VIN, _VOUT))
    return max([data.step_seconds(each) for each in series], default=1)


def _traces(lines: Iterable[Line], end: Mapping[str, Any]) -> list[Trace]:
    found = (trace(line, end) for line in lines)
    return [each for each in found if each is not None]


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 6)


def _limits(traces: Iterable[Trace], row: Row) -> tuple[float, float] | None:
    values = [value for each in traces for value in each.y if value is not None]
    if not values:
        return None
    if row.symmetric:
        most = max(abs(v) for v in [*values, *(level for level, _ in row.levels)]) * 1.15
        return -most, most
    low, high = min(0.0, *values), max(0.0, *values)
    if row.tight:
        low = min(values) - (max(values) - min(values) or 1.0) * 0.1
    return low, (high + (high - low) * 0.08) or 1.0
