"""Means, their 95 % confidence intervals, and paired differences: the bench's arithmetic."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

# Two-sided 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom; beyond, the normal one.
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
NORMAL = 1.96

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with half the width of its 95 % interval; `half` is nan for a single value."""

    mean: float
    half: float
    count: int

    @property
    def certain(self) -> bool:
        """The interval is known and does not hold 0."""
        return abs(self.mean) > self.half

    def text(self, digits: int, *, sign: bool = False) -> str:
        mean = f"{self.mean:{'+' if sign else ''}.{digits}f}"
        return mean if math.isnan(self.half) else f"{mean} ± {self.half:.{digits}f}"


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """None when no value is known."""
    known = [v for v in values if v is not None]
    if not known:
        return None
    mean = sum(known) / len(known)
    if len(known) == 1:
        return Estimate(mean, math.nan, 1)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in known) / (len(known) - 1))
    quantile = STUDENT[len(known) - 2] if len(known) - 2 < len(STUDENT) else NORMAL
    return Estimate(mean, quantile * deviation / math.sqrt(len(known)), len(known))


def difference(left: Mapping[K, float | None], right: Mapping[K, float | None]) -> Estimate | None:
    """left - right, over the measurements that have the same key (seed, speaker): what they share cancels."""
    pairs = ((left[key], right[key]) for key in left if key in right)
    return estimate(a - b for a, b in pairs if a is not None and b is not None)
