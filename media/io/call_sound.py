"""Both sides of a call on one time line: what was said and what was heard, to be listened to afterwards."""

import threading
from datetime import datetime

import numpy as np

from media.codecs.base import Samples
from media.io.sources import SAMPLE_RATE
from media.quality.report import ReportBuilder
from media.versions import versions

# Sound that is this far from where the clock has it belongs there; less is a loop or a device that was late.
_GAP_SAMPLES = round(0.3 * SAMPLE_RATE)


class CallSound:
    """Told of every piece with the moment (seconds) at which it was said or is played; from any thread.

    Keeps the first `seconds` of the call: 96 kB a second and side.
    """

    def __init__(self, seconds: float = 300.0) -> None:
        self._limit = round(seconds * SAMPLE_RATE)
        self._zero: float | None = None
        self._sides: dict[str, list[tuple[int, Samples]]] = {"said": [], "heard": []}
        self._next = {"said": 0, "heard": 0}
        self._lock = threading.Lock()

    def said(self, samples: Samples, at: float) -> None:
        """48 kHz mono int16 whose first sample was taken at `at`."""
        self._add("said", samples, at)

    def heard(self, samples: Samples, at: float) -> None:
        """48 kHz mono int16 whose first sample is played at `at`."""
        self._add("heard", samples, at)

    def both(self) -> tuple[Samples, Samples]:
        """(said, heard): of the same length; the same sample of both is the same moment."""
        with self._lock:
            length = min(self._limit, max(self._next.values()))
            out = []
            for pieces in self._sides.values():
                line = np.zeros(length, np.int16)
                for position, samples in pieces:
                    room = line[position : position + len(samples)]
                    room[:] = samples[: len(room)]
                out.append(line)
        return out[0], out[1]

    def _add(self, side: str, samples: Samples, at: float) -> None:
        with self._lock:
            if self._zero is None:
                self._zero = at
            position = max(0, round((at - self._zero) * SAMPLE_RATE))
            if abs(position - self._next[side]) <= _GAP_SAMPLES and self._sides[side]:
                position = self._next[side]
            self._next[side] = position + len(samples)
            if position < self._limit:
                self._sides[side].append((position, np.array(samples, np.int16)))


def begin_report() -> ReportBuilder:
    """The report of a call that begins now."""
    return ReportBuilder(versions(), started_at=datetime.now().astimezone().isoformat(timespec="seconds"))
