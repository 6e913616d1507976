"""Small line charts as SVG: panels in rows under one legend. No library, so that the files stay small and diff well."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 250, 190  # of a panel, pixels
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 26, 38  # margins in it
LEGEND = 24
# Okabe and Ito's colours: told apart by everybody.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, GRID = "#333", "#ddd"


@dataclass(frozen=True, slots=True)
class Series:
    """`line`: points are joined; else they stand alone, as marks. What is the same up to a comma has one colour."""

    label: str
    points: tuple[tuple[float, float], ...]
    line: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    y_range: tuple[float, float] | None = None


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2, 5 times a power of ten apart) from at most `low` to at least `high`."""
    span = max(high - low, 1e-9)
    power = 10 ** math.floor(math.log10(span / count))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= count)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def figure(panels: Sequence[Panel], *, columns: int) -> str:
    """The SVG document."""
    labels = list(dict.fromkeys(s.label for p in panels for s in p.series))
    rows = -(-len(panels) // columns)
    width, height = WIDTH * min(columns, len(panels)), HEIGHT * rows + LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    lines = {s.label: s.line for p in panels for s in p.series}
    x = 10.0
    for label in labels:
        parts.append(_mark(x + 8, 13, _colour(labels, label), lines[label]))
        parts.append(_text(x + 20, 16, label, anchor="start"))
        x += 34 + 5.4 * len(label)
    for index, panel in enumerate(panels):
        x, y = WIDTH * (index % columns), LEGEND + HEIGHT * (index // columns)
        parts += [f'<g transform="translate({x},{y})">', *_panel(panel, labels), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, labels: list[str]) -> Iterator[str]:
    points = [point for series in panel.series for point in series.points]
    yield _text(WIDTH / 2, 14, panel.title, weight="bold")
    if not points:
        return
    xs = ticks(min(x for x, _ in points), max(x for x, _ in points))
    low, high = panel.y_range or (min(y for _, y in points), max(y for _, y in points))
    ys = ticks(low, high)

    def place(x: float, y: float) -> tuple[float, float]:
        right, down = (x - xs[0]) / (xs[-1] - xs[0]), (ys[-1] - y) / (ys[-1] - ys[0])
        return LEFT + right * (WIDTH - LEFT - RIGHT), TOP + down * (HEIGHT - TOP - BOTTOM)

    for x in xs:
        (px, bottom), (_, top) = place(x, ys[0]), place(x, ys[-1])
        yield f'<path d="M{px:.1f} {top:.1f}V{bottom:.1f}" stroke="{GRID}"/>'
        yield _text(px, bottom + 12, f"{x:g}")
    for y in ys:
        (left, py), (right, _) = place(xs[0], y), place(xs[-1], y)
        yield f'<path d="M{left:.1f} {py:.1f}H{right:.1f}" stroke="{GRID}"/>'
        yield _text(left - 4, py + 3, f"{y:g}", anchor="end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, panel.x_label)
    yield f'<g transform="translate(11,{(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)">{_text(0, 0, panel.y_label)}</g>'
    for series in panel.series:
        colour = _colour(labels, series.label)
        placed = [place(x, y) for x, y in series.points]
        if series.line and placed:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
            yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        for x, y in placed:
            yield _point(x, y, colour, series.line)


def _colour(labels: list[str], label: str) -> str:
    families = list(dict.fromkeys(each.partition(",")[0] for each in labels))
    return COLOURS[families.index(label.partition(",")[0]) % len(COLOURS)]


def _point(x: float, y: float, colour: str, line: bool) -> str:
    if line:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>'
    return f'<path d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z" fill="{colour}" stroke="#fff"/>'


def _mark(x: float, y: float, colour: str, line: bool) -> str:
    rule = f'<path d="M{x - 8:.1f} {y}h16" stroke="{colour}" stroke-width="1.6"/>' if line else ""
    return rule + _point(x, y, colour, line)


def _text(x: float, y: float, text: str, *, anchor: str = "middle", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}">{escape(text)}</text>'
