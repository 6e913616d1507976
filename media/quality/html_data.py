"""Reading a report's JSON document for the page: what is missing, or of another type, is left out, never an error.

A report may come from a file of another version, or from somebody else.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# A chart draws no more steps than this; above, several seconds are one step.
MAX_STEPS = 600

Second = Mapping[str, Any]


def at(data: Any, *path: str) -> Any:
    """The member under `path`, or None."""
    for name in path:
        if not isinstance(data, Mapping):
            return None
        data = data.get(name)
    return data


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def figure(data: Any, *path: str) -> float | None:
    """The number under `path`, or None."""
    return number(at(data, *path))


def text(data: Any, *path: str) -> str | None:
    """The words under `path`, or None."""
    value = at(data, *path)
    return value if isinstance(value, str) and value else None


def objects(data: Any, *path: str) -> list[Second]:
    """The objects of the list under `path`."""
    value = at(data, *path)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def seconds(data: Any, *path: str) -> list[Second]:
    """The list under `path`: its objects that have a time."""
    return [each for each in objects(data, *path) if number(each.get("time")) is not None]


def ends(document: Any) -> list[Mapping[str, Any]]:
    """The reports of the ends."""
    return objects(document, "ends")


def end_name(end: Any) -> str:
    return text(end, "end") or "this end"


def place(end: Any) -> str:
    """The end's name as it stands in a sentence: the caller, this end, a number."""
    name = end_name(end)
    return f"the {name}" if name in ("caller", "callee") else name


def leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is in no list, with its dotted path."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from leaves(value, f"{path}.{name}" if path else str(name))
    elif not isinstance(data, list):
        yield path, data


def tables(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Every list that has something in it and is in no other list, with its path."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from tables(value, (*path, str(name)))
    elif isinstance(data, list) and data:
        yield path, data


def columns(series: Sequence[Second], name: str, lowest: bool = False) -> tuple[list[float], list[Any]]:
    """Middles of the intervals (s) and the values of one member, None where it is not known.

    More than MAX_STEPS are put together: their mean, or the lowest, so that a bad second stays to be seen.
    """
    middles, values = [], []
    before = 0.0
    for second in series:
        time = number(second.get("time")) or 0.0
        # A series need not begin with the call, nor have all its seconds: no interval is longer than 1.5 s.
        middles.append(round(time - min(max(time - before, 0.0), 1.5) / 2, 3))
        values.append(number(second.get(name)))
        before = time
    group = -(-len(values) // MAX_STEPS)
    if group <= 1:
        return middles, values
    return [_mean(m) for m in _groups(middles, group)], [
        _join(part, lowest) for part in _groups(values, group)
    ]


def step_seconds(series: Sequence[Second]) -> int:
    """How many seconds columns() puts together."""
    return max(1, -(-len(series) // MAX_STEPS))


def _groups(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4)


def _join(values: list[float | None], lowest: bool) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return min(known) if lowest else _mean(known)
