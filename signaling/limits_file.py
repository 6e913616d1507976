"""The server's limits from a TOML file: what is in it replaces the default of the same name (server_limits.py)."""

import tomllib
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from signaling.errors import ServerStartError
from signaling.rate_limit import Quota, Rate
from signaling.server_limits import Limits

T = TypeVar("T")


def parse_limits(text: str) -> Limits:
    """A Rate is written [burst, seconds_per_token], a Quota [most, seconds]. Raises ServerStartError, naming what is
    wrong."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ServerStartError(f"the limits are no TOML: {error}") from None
    return _changed(Limits(), tables, "")


def _changed(default: T, values: dict[str, Any], where: str) -> T:
    known = {field.name: getattr(default, field.name) for field in fields(default)}  # type: ignore[arg-type]
    changes = {}
    for name, value in values.items():
        if name not in known:
            raise ServerStartError(f"there is no limit {where}{name}")
        changes[name] = _value(known[name], value, where + name)
    return replace(default, **changes)  # type: ignore[type-var]


def _value(default: Any, value: Any, name: str) -> Any:
    if isinstance(default, Rate | Quota):
        if not isinstance(value, list) or len(value) != 2 or not all(_positive(number) for number in value):
            raise ServerStartError(f"{name} must be two numbers above 0")
        if isinstance(default, Rate):
            return Rate(*value)
        if not isinstance(value[0], int):
            raise ServerStartError(f"{name} must begin with a whole number")
        return Quota(*value)
    if is_dataclass(default):
        if not isinstance(value, dict):
            raise ServerStartError(f"{name} must be a table")
        return _changed(default, value, f"{name}.")
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(number == 0 or _positive(number) for number in value):
            raise ServerStartError(f"{name} must be a list of numbers from 0")
        return tuple(value)
    if not _positive(value) or (isinstance(default, int) and not isinstance(value, int)):
        raise ServerStartError(f"{name} must be a number above 0")
    return value


def _positive(value: object) -> bool:
    # Neither true (an int to Python) nor nan nor inf.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e15
