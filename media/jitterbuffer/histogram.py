"""A distribution of delays that forgets: how often each millisecond was seen, what is older counting less.

Forgetting multiplies every bin; here it divides the unit that the bins are counted in, so a packet costs one
addition. The list is no longer than the latest delay that still counts. (numpy's price is per call: some twenty of them
a packet were most of what a receiver cost.)
"""

from itertools import accumulate

BIN_MS = 1
BINS = 1024
UNIT_MAX = 100.0  # from here on counted anew
FORGOTTEN = 1e-6  # share of a packet that does not count any more


def bin_of(delay: float) -> int:
    """Of a delay in seconds; what is earlier than the first is in it, what is later than the last in that."""
    return min(BINS - 1, max(0, int(delay * 1000 / BIN_MS)))


class ForgettingHistogram:
    """Shares of 1, by bins of BIN_MS."""

    __slots__ = ("_bins", "_tails", "_unit")

    def __init__(self) -> None:
        self._bins: list[float] = []
        self._unit = 1.0  # what a share of 1 is in the bins
        self._tails: list[float] = []  # what is in each bin and all later ones; empty: not summed up yet

    def forget(self, keep: float) -> None:
        """All shares become `keep` (0 to 1) of what they are."""
        if keep <= 0:
            self._bins.clear()
            self._tails = []
            return
        self._unit /= keep
        if self._unit > UNIT_MAX:
            bins = [share / self._unit for share in self._bins]
            while bins and bins[-1] < FORGOTTEN:
                bins.pop()
            self._bins, self._unit, self._tails = bins, 1.0, []

    def add(self, index: int, share: float) -> None:
        """So much more in a bin, 0 to BINS - 1."""
        if index >= len(self._bins):
            self._bins += [0.0] * (index + 1 - len(self._bins))
        self._bins[index] += share * self._unit
        self._tails = []

    def above(self, index: int) -> float:
        """The share in this bin and all later ones."""
        if index >= len(self._bins):
            return 0.0
        if not self._tails:  # once a packet: of an overloaded process all delays are asked for, each time
            self._tails = list(accumulate(reversed(self._bins)))
            self._tails.reverse()
        return self._tails[index] / self._unit

    def quantile(self, share: float) -> int:
        """The first bin with which so much is in it and those before."""
        wanted = share * self._unit
        return next((i for i, sum_ in enumerate(accumulate(self._bins)) if sum_ >= wanted), len(self._bins))

    def shift_earlier(self, bins: int) -> None:
        """By `bins`, 1 or more; what would go over the end stays in the first."""
        gone = sum(self._bins[:bins])
        self._bins = self._bins[bins:] or [0.0]
        self._bins[0] += gone
        self._tails = []

    def copy(self) -> "ForgettingHistogram":
        other = ForgettingHistogram()
        other._bins, other._unit = self._bins.copy(), self._unit
        return other
