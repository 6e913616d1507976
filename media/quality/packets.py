"""What became of every packet of a received stream: one account, from which every figure of it is taken.

    expected == received + lost          received == in_time + late          lost == recovered + missing

Each packet is counted once: a duplicate is no packet more, a retransmission brings back one that was lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from media.quality.stats import Change, Stats, unique

# Seconds back to which what turns out later is put; more is an outage, which has a row of its own anyway.
REACH = 30


@dataclass(frozen=True, slots=True)
class Packets:
    """`late`: came after its turn, so that a copy or concealment took its place (voice). `missing`: lost for good."""

    expected: int
    received: int
    in_time: int
    late: int
    lost: int
    recovered: int
    missing: int
    duplicated: int = 0

    @classmethod
    def of(cls, received: float, lost: float, late: float, recovered: float, duplicated: float) -> "Packets":
        """`received` without duplicates. What a peer's odd counters cannot mean is left out, so that the sums hold."""
        came, gone = max(0, round(received)), max(0, round(lost))
        late, recovered = min(came, max(0, round(late))), min(gone, max(0, round(recovered)))
        return cls(
            came + gone, came, came - late, late, gone, recovered, gone - recovered, max(0, round(duplicated))
        )

    def percent(self, packets: int) -> float | None:
        """Of those expected."""
        return 100 * packets / self.expected if self.expected else None


class PacketCounter:
    """What became of the packets of one kind since the call began, from one snapshot to the next."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("received", "lost", "late", "recovered", "duplicated"), 0.0)
        self._sent: float | None = None

    def add(self, before: Stats, after: Stats, kind: str) -> None:
        heard, said = (Change(before, after, f"{way}-rtp", kind) for way in ("inbound", "outbound"))
        received, lost = unique(heard)
        late = heard.of("latePackets")
        recovered = heard.of("packetsRecovered")
        counted = (received, lost, late, recovered, heard.of("packetsDuplicated"))
        for name, count in zip(self._counts, counted, strict=True):
            self._counts[name] += count or 0.0
        if (sent := said.of("packetsSent")) is not None:
            self._sent = (self._sent or 0.0) + sent

    @property
    def packets(self) -> Packets | None:
        """None while nothing came."""
        return Packets.of(**self._counts) if self._counts["received"] else None

    @property
    def sent(self) -> int | None:
        """None while nothing was sent."""
        return round(self._sent) if self._sent else None


T = TypeVar("T")


def settle(seconds: Sequence[T]) -> list[T]:
    """The seconds of a stream, so that in each of them recovered <= lost and nothing is negative.

    A packet that comes late was counted as lost in a second before; a repair comes a round trip after the loss. Both
    are put where the packet was missed; the sums stay. Needs packets, packets_lost, packets_recovered and packets_late
    (which may be None), and the shares of them: lost_percent, recovered_percent, late_percent.
    """
    lost = _without_debts([_value(s, "packets_lost") for s in seconds])
    recovered = _without_debts([_value(s, "packets_recovered") for s in seconds])
    for index, most in enumerate(lost):
        excess, recovered[index] = max(0.0, recovered[index] - most), min(recovered[index], most)
        for before in range(index - 1, max(-1, index - 1 - REACH), -1):
            room = min(excess, lost[before] - recovered[before])
            recovered[before] += room
            excess -= room
    return [_with_shares(s, a, b) for s, a, b in zip(seconds, lost, recovered, strict=True)]


def _value(second: Any, name: str) -> float:
    return getattr(second, name) or 0.0


def _without_debts(counts: list[float]) -> list[float]:
    """What is below zero taken from the counts before it."""
    for index, count in enumerate(counts):
        debt, counts[index] = max(0.0, -count), max(0.0, count)
        for before in range(index - 1, max(-1, index - 1 - REACH), -1):
            taken = min(debt, counts[before])
            counts[before] -= taken
            debt -= taken
    return counts


def _with_shares(second: Any, lost: float, recovered: float) -> Any:
    """`second` with these counts, where it has any, and the shares that follow from them."""
    if second.packets is None or second.packets_lost is None:
        return second
    expected = second.packets + lost
    changes: dict[str, float | None] = {"packets_lost": lost}
    counts = {"lost": lost, "recovered": recovered, "late": getattr(second, "packets_late", None)}
    if second.packets_recovered is not None:
        changes["packets_recovered"] = recovered
    for name, count in counts.items():
        if hasattr(second, f"{name}_percent") and getattr(second, f"packets_{name}") is not None:
            changes[f"{name}_percent"] = min(100.0, 100 * (count or 0.0) / expected) if expected else None
    return replace(second, **changes)
