"""RTP congestion control feedback (RFC 8888): which packets arrived, and when, told several times a second.

Ringline's ends use it to learn the loss process of a path packet by packet: runs of loss decide at which distance
a redundant copy is worth its bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from media.errors import PacketError
from media.rtp.rtcp import RTPFB, Feedback
from media.rtp.sequence import Unwrapper

CCFB_FORMAT = 11
UNITS_PER_S = 1024
OFFSET_OVERRANGE, OFFSET_UNKNOWN = 0x1FFE, 0x1FFF
MAX_REPORTS = 256  # packets a report; a bound against nonsense and gaps


@dataclass(frozen=True, slots=True)
class ArrivalReport:
    """What arrived of one SSRC. `arrivals[i]`: seconds before the report, of packet begin + i; None: not arrived.

    `stamp`: when the report was made, seconds on the receiver's clock modulo 2^16; build() has a time of its own.
    """

    ssrc: int
    begin: int  # 16 bit
    arrivals: tuple[float | None, ...]
    stamp: float = 0.0


def build(sender_ssrc: int, reports: Sequence[ArrivalReport], now: float) -> Feedback:
    """`now` gives the report time stamp, on any clock of the sender's."""
    fci = b""
    for report in reports:
        fci += report.ssrc.to_bytes(4, "big") + report.begin.to_bytes(2, "big")
        fci += len(report.arrivals).to_bytes(2, "big")
        for age in report.arrivals:
            if age is None:
                fci += b"\0\0"
            else:
                offset = min(OFFSET_OVERRANGE, max(0, round(age * UNITS_PER_S)))
                fci += (1 << 15 | offset).to_bytes(2, "big")
        fci += bytes(-len(fci) % 4)
    # The first media source stands in the header, too (RFC 8888 section 3.1 leaves its place to the common format).
    stamp = (int(now * 65536) & 0xFFFFFFFF).to_bytes(4, "big")
    return Feedback(RTPFB, CCFB_FORMAT, sender_ssrc, reports[0].ssrc if reports else 0, fci[4:] + stamp)


def parse(feedback: Feedback) -> list[ArrivalReport]:
    """Raises PacketError. The header's media source is the first report's."""
    data = feedback.media_ssrc.to_bytes(4, "big") + feedback.fci
    if len(data) < 12 or len(data) % 4:
        raise PacketError("congestion feedback has a wrong length")
    position, end = 0, len(data) - 4
    stamp = int.from_bytes(data[end:], "big") / 65536
    reports = []
    while position < end:
        if position + 8 > end:
            raise PacketError("congestion feedback runs over the end")
        ssrc = int.from_bytes(data[position : position + 4], "big")
        begin = int.from_bytes(data[position + 4 : position + 6], "big")
        count = int.from_bytes(data[position + 6 : position + 8], "big")
        position += 8
        size = 2 * count + (2 * count) % 4
        if position + size > end:
            raise PacketError("congestion feedback runs over the end")
        arrivals: list[float | None] = []
        for index in range(count):
            word = int.from_bytes(data[position + 2 * index : position + 2 * index + 2], "big")
            arrivals.append((word & 0x1FFF) / UNITS_PER_S if word & 0x8000 else None)
        position += size
        reports.append(ArrivalReport(ssrc, begin, tuple(arrivals), stamp))
    return reports


class ArrivalLog:
    """The receiver's side: remembers arrivals of one SSRC and makes its reports, each overlapping the last."""

    def __init__(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self._unwrapper = Unwrapper(16)
        self._arrivals: dict[int, float] = {}
        self._missing = False  # the last report told of packets that had not come
        self._reported = -1  # up to here an earlier report has told
        self._highest: int | None = None

    def receive(self, sequence_number: int, now: float) -> None:
        number = self._unwrapper.unwrap(sequence_number)
        self._arrivals.setdefault(number, now)
        if self._highest is None:
            self._reported = number - 1
        self._highest = number if self._highest is None else max(self._highest, number)
        if len(self._arrivals) > 4 * MAX_REPORTS:
            for old in sorted(self._arrivals)[:MAX_REPORTS]:
                del self._arrivals[old]

    def report(self, now: float, *, overlap: int, newest: int = MAX_REPORTS) -> ArrivalReport | None:
        """Everything since the last report and `overlap` packets before; None when nothing is new.

        Where nothing is missing, the `newest` packets are enough: what is not told of has arrived.
        """
        if self._highest is None or self._highest <= self._reported:
            return None
        begin = max(self._reported + 1 - overlap, self._highest - MAX_REPORTS + 1, min(self._arrivals))
        missing = any(n not in self._arrivals for n in range(begin, self._highest))
        if not missing and not self._missing:  # what was told to be missing is told again
            begin = max(begin, self._highest - newest + 1)
        self._missing = missing
        arrivals = tuple(
            None if (at := self._arrivals.get(n)) is None else now - at
            for n in range(begin, self._highest + 1)
        )
        self._reported = self._highest
        for old in [n for n in self._arrivals if n < begin]:
            del self._arrivals[old]
        return ArrivalReport(self.ssrc, begin & 0xFFFF, arrivals)
