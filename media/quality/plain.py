"""Report dataclasses to JSON values and back."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

DIGITS = 4

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """JSON values with keys in the order of the fields; floats to four digits, what is not finite becomes None."""
    if is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0 if math.isfinite(value) else None  # + 0.0: no "-0.0"
    return value


def numbers(cls: type[T], data: Any) -> T:
    """A dataclass whose fields are numbers or None; unknown keys are left out. Raises ValueError."""
    found: dict[str, float | None] = {}
    if not isinstance(data, Mapping):
        raise ValueError(f"a {cls.__name__} is an object, not {type(data).__name__}")
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name in data:
            found[field.name] = number(data[field.name], field.name)
    try:
        return cls(**found)
    except TypeError as error:
        raise ValueError(f"{cls.__name__}: {error}") from None


def number(value: Any, name: str) -> float | None:
    """Raises ValueError for what is neither a finite number nor None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is a number or null, not {value!r:.40}")
    return value


def text(value: Any, name: str) -> str | None:
    """Raises ValueError for what is neither a string nor None."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is a string or null, not {value!r:.40}")
    return value


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """Raises ValueError for what is no object."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is an object, not {type(value).__name__}")
    return value
