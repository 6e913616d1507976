"""The figures of load_test.py's steps as a table: a column a step, for the terminal and as Markdown."""

import io
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Figures = dict[str, Any]
Row = tuple[str, Callable[[Figures], str]]


def _high(name: str, digits: int = 0) -> Callable[[Figures], str]:
    def cell(step: Figures) -> str:
        found: Any = step
        for part in name.split("."):
            found = found[part]
        return " / ".join(_number(found[p], digits) for p in ("p50", "p95", "p99", "max"))

    return cell


def _low(name: str) -> Callable[[Figures], str]:
    return lambda step: " / ".join(_number(step[name][p], 2) for p in ("p50", "p5", "p1", "min"))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _cost(name: str, digits: int, factor: float = 1.0) -> Callable[[Figures], str]:
    def cell(step: Figures) -> str:
        value = step["cost"][name]
        return _number(None if value is None else value * factor, digits)

    return cell


def _cores(step: Figures) -> str:
    return " + ".join(f"{cores:.2f}" for cores in step["cost"]["media_cores"] or ()) or "-"


ROWS: tuple[Row, ...] = (
    (
        "kept up / lost / failed / ?",
        lambda s: f"{s['kept_up']} / {s['lost']} / {s['failed']} / {s['unaccounted']}",
    ),
    ("ms until ringing", _high("setup_ms.ringing")),
    ("accepted", _high("setup_ms.accepted")),
    ("ICE connected", _high("setup_ms.ice_connected")),
    ("keys", _high("setup_ms.srtp_keys")),
    ("connected, for signaling", _high("setup_ms.connected")),
    ("first sound", _high("setup_ms.first_sound")),
    ("MOS, listening", _low("mos_lq")),
    ("MOS, conversation", _low("mos_cq")),
    ("mouth to ear, estimated ms", _high("mouth_to_ear_ms")),
    ("jitter buffer ms", _high("jitter_buffer_ms")),
    ("concealed %", _high("concealed_percent", 2)),
    ("played late, ms", _high("playout_late_ms")),
    ("event loop late, ms", _high("loop_lag_ms")),
    ("cores of media processes", _cores),
    ("cores of the server", _cost("server_cores", 2)),
    ("machine busy %", _cost("machine_busy", 0, 100)),
    ("cores of other programs", _cost("other_cores", 2)),
    ("cores a call", _cost("cores_per_call", 3)),
    ("MB a call, with its clients", _cost("mb_per_call", 1)),
    ("bounds", lambda s: "met" if not s["broken"] else "broken"),
)
LEGEND = "Times and shares: p50 / p95 / p99 / max. MOS: p50 / p5 / p1 / min, over both ends of all calls."


def render_table(steps: Sequence[Figures]) -> str:
    table = Table(header_style="bold")
    table.add_column("calls at once")
    for step in steps:
        table.add_column(str(step["calls"]), justify="right", no_wrap=True)
    for name, cell in ROWS:
        table.add_row(name, *map(cell, steps))
    width = 34 + 30 * max(1, len(steps))
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue() + LEGEND + "\n"


def render_markdown(steps: Sequence[Figures]) -> str:
    lines = [
        "| calls at once | " + " | ".join(str(step["calls"]) for step in steps) + " |",
        "|---" * (len(steps) + 1) + "|",
        *(f"| {name} | " + " | ".join(map(cell, steps)) + " |" for name, cell in ROWS),
    ]
    return "\n".join(lines) + f"\n\n{LEGEND}\n"
