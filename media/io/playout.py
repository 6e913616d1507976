"""Carries sound from the engine to a sink: by our clock, or by the sink's own."""

import logging
from collections.abc import Callable

import numpy as np

from media.codecs.base import Samples
from media.io.sources import PLAYOUT_SAMPLES, AudioSink, PullSink
from media.io.ticker import Ticker

logger = logging.getLogger(__name__)


class Playout:
    """Starts on construction. `pull()` gives the next 480 samples and may be called from any thread."""

    def __init__(self, sink: AudioSink | PullSink, pull: Callable[[], Samples]) -> None:
        self._pull = pull
        self._sink = sink
        self._rest: Samples = np.zeros(0, np.int16)
        self._ticker: Ticker | None = None
        self._failed = False
        if isinstance(sink, PullSink):
            sink.start(self._take)
        else:
            self._write = sink.write
            self._ticker = Ticker(self._tick)

    def _tick(self, now: float) -> None:
        samples = self._pull()  # also after a failure: what is not pulled piles up
        if self._failed:
            return
        try:
            self._write(samples)
        except Exception as error:
            self._failed = True
            logger.error("the speaker failed, the call goes on without it: %s", error)

    def _take(self, count: int) -> Samples:
        """`count` samples for a sink that asks for other pieces than 10 ms."""
        if count == PLAYOUT_SAMPLES and not len(self._rest):
            return self._pull()
        parts, have = [self._rest], len(self._rest)
        while have < count:
            parts.append(self._pull())
            have += PLAYOUT_SAMPLES
        joined = np.concatenate(parts)
        self._rest = joined[count:]
        return joined[:count]

    def close(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
        self._sink.close()
