"""Two reports side by side: what differs, and whether that is better or worse. And a gate for regressions.

comparison = compare(before, after)         # documents: what report.json holds
print(render(comparison))
broken = [why for rule in rules if (why := rule.broken(comparison))]
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from media.quality import html_data as data
from media.quality.figures import Figure, describe

WIDTH = 80
# What is compared, in this order.
# Path, heading, what stands before the figures' names.
_PARTS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("summary",), "sound and network", ""),
    (("speech",), "speech", ""),
    (("video", "summary"), "video", "video."),
    (("video", "score"), "video against the original", "video.score."),
    (("video", "lip_sync"), "lip sync", "video.lip_sync."),
    (("setup",), "set-up", ""),
)
_ORDER = ("mos_lq", "mos_cq", "worst", "concealed_percent")


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure in both reports, in the report's own units; None where it was not measured.

    `judgement`: "better", "worse", "same" (too small to matter) or "" (neither way is better, or one is missing).
    """

    name: str
    a: float | None
    b: float | None
    figure: Figure

    @property
    def change(self) -> float | None:
        return None if self.a is None or self.b is None else self.b - self.a

    @property
    def judgement(self) -> str:
        if self.change is None or not self.figure.better:
            return ""
        # Rounded: 3.1 - 3.0 is a little less than 0.1 in floating point.
        step = round(self.change * self.figure.factor, 9)
        if abs(step) < self.figure.notable or step == 0:
            return "same"
        return "better" if (step > 0) == (self.figure.better > 0) else "worse"


@dataclass(frozen=True, slots=True)
class Part:
    """Figures under one heading."""

    title: str
    rows: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class EndComparison:
    """One end of the call in both reports."""

    name: str
    parts: tuple[Part, ...]

    def find(self, name: str) -> Difference | None:
        return next((row for part in self.parts for row in part.rows if row.name == name), None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two reports, end by end: those of one name with each other; where names differ, in their order."""

    ends: tuple[EndComparison, ...]

    def names(self) -> set[str]:
        """Of all figures that can be asked for."""
        return {row.name for end in self.ends for part in end.parts for row in part.rows}


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> Comparison:
    """Lay two documents beside one another. Raises ValueError for what is no report."""
    ends = []
    for first, second in pair_ends(a, b):
        parts = [_part(path, title, prefix, first, second) for path, title, prefix in _PARTS]
        ends.append(EndComparison(data.end_name(first or second), tuple(p for p in parts if p.rows)))
    return Comparison(tuple(ends))


def pair_ends(
    a: Mapping[str, Any], b: Mapping[str, Any]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The ends of both reports that belong together; one that the other report lacks goes with an empty one."""
    ends_a, ends_b = data.ends(a), data.ends(b)
    if not ends_a or not ends_b:
        raise ValueError("a report has a list `ends` with an object for each end")
    names_a, names_b = [data.end_name(e) for e in ends_a], [data.end_name(e) for e in ends_b]
    if len(set(names_a)) == len(names_a) and set(names_a) & set(names_b):
        by_name = dict(zip(names_b, ends_b, strict=True))
        pairs = [(end, by_name.pop(name, {})) for end, name in zip(ends_a, names_a, strict=True)]
        return pairs + [({}, end) for end in by_name.values()]
    return list(zip_longest(ends_a, ends_b, fillvalue={}))


def _part(path: tuple[str, ...], title: str, prefix: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Part:
    in_a, in_b = dict(_figures(data.at(a, *path))), dict(_figures(data.at(b, *path)))
    names = list(dict.fromkeys([*in_a, *in_b]))
    names.sort(key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    rows = [Difference(prefix + name, in_a.get(name), in_b.get(name), describe_part(name)) for name in names]
    return Part(title, tuple(row for row in rows if row.a is not None or row.b is not None))


def _figures(content: Any) -> Iterator[tuple[str, float | None]]:
    if not isinstance(content, Mapping):
        return
    for name, value in content.items():
        if name == "worst" and isinstance(value, Mapping):
            yield "worst", data.figure(value, "mos_lq")
        elif name != "asked":  # where the time begins
            yield str(name), data.number(value)


def describe_part(name: str) -> Figure:
    """As describe(); the worst second is judged like the MOS it has."""
    return Figure("Worst second, MOS", "", 1.0, 2, 1, 0.2) if name == "worst" else describe(name)


# -- the gate


class RuleError(ValueError):
    """A rule cannot be read, or names a figure that no report has."""


_RULE = re.compile(r"\s*([a-z][a-z0-9_.]*)\s*([<>])\s*([+-]?\d+(?:\.\d+)?)\s*(%?)\s*\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    """`mos_lq<-0.2`: fail where B's figure less A's is below -0.2. With % the difference is a share of A's.

    Figures are in the report's own units (the set-up in seconds). `video.` or
    `video.score.` before a name: of the video, of its comparison with the original.
    """

    name: str
    sign: str
    bound: float
    percent: bool

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Raises RuleError."""
        match = _RULE.match(text)
        if match is None:
            raise RuleError(f"{text!r} is no rule; one is like mos_lq<-0.2 or delay_ms>+10%")
        name, sign, bound, percent = match.groups()
        return cls(name, sign, float(bound), bool(percent))

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.bound:+g}{'%' if self.percent else ''}"

    def broken(self, comparison: Comparison) -> str | None:
        """Why it fails, or None. A figure that one report lacks fails: a gate must not be open because of that.

        An end that has the figure in neither report is passed over. Raises RuleError if no end has it.
        """
        if self.name not in comparison.names():
            raise RuleError(f"{self}: neither report has a figure {self.name}")
        for end in comparison.ends:
            row = end.find(self.name)
            if row is None:
                continue
            if row.a is None or row.b is None:
                return f"{self}: not measured at the {end.name} in {'A' if row.a is None else 'B'}"
            change = self._change(row.a, row.b)
            if change < self.bound if self.sign == "<" else change > self.bound:
                shown = f"{change:+.4g}{' %' if self.percent else ''}"
                return f"{self}: {row.a:.4g} and {row.b:.4g} at the {end.name}, {shown}"
        return None

    def _change(self, a: float, b: float) -> float:
        if not self.percent:
            return round(b - a, 9)
        if a == b:
            return 0.0
        return round((b - a) / abs(a) * 100, 9) if a else float("inf") * (b - a)


# -- the terminal

_STYLES = {"better": "green", "worse": "red"}


def render(comparison: Comparison, names: Sequence[str] = ("A", "B"), color: bool = False) -> str:
    """A table an end: figure, A, B, difference; + and − mark what is better and worse."""
    output = io.StringIO()
    console = Console(
        file=output, width=WIDTH, force_terminal=color, color_system="standard" if color else None
    )
    for end in comparison.ends:
        table = Table(title=escape(end.name), title_justify="left", header_style="bold", width=WIDTH)
        table.add_column("", ratio=1)
        for name in (*names, "B − A"):
            table.add_column(escape(name), justify="right", overflow="fold", max_width=18)
        table.add_column("")
        for part in end.parts:
            table.add_row(f"[bold]{part.title}[/bold]")
            for row in part.rows:
                change = row.change
                shown = "" if change is None else row.figure.text(change, signed=True)
                cells = (
                    row.figure.text(row.a),
                    row.figure.text(row.b),
                    shown,
                    row.judgement.replace("same", ""),
                )
                style = _STYLES.get(row.judgement, "")
                table.add_row(f"  {escape(row.figure.label)}", *(Text(c, style) for c in cells))
        console.print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())
