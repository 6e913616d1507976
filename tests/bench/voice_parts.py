"""The voice path without one of its parts, for the ablation: engines put together differently, none of it in media/.

Each part has a name for `--without`. Where something has to stand in its place, it is the simplest thing that works,
or what libwebrtc does there.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from media.codecs.base import AudioDecoder, Samples
from media.codecs.opus import OpusDecoder
from media.engine import MediaEngine
from media.jitterbuffer.decision_logic import DecisionLogic, Operation
from media.jitterbuffer.delay_manager import DelayManager
from media.jitterbuffer.jitter_buffer import JitterBuffer
from media.parameters import AudioParameters
from media.rtp.congestion_feedback import ArrivalReport
from media.rtp.packet import RtpPacket
from media.streams.audio_receiver import AudioReceiver
from media.streams.audio_repair import AudioRepair
from media.streams.protection import ProtectionController, Scheme

DEFAULT_TARGET = 0.040


class FixedDelay(DelayManager):
    """Decodes every frame this many seconds after the fastest packet, whatever comes; at the nearest pull, that is."""

    def __init__(self, delay: float) -> None:
        super().__init__(start_target=delay)
        self._delay = delay

    @property
    def target(self) -> float:
        return self._delay

    def choose(self, present: float, step: float, now: float) -> float:
        return present + step * round((self._delay - present) / step)


class CopiesIgnored(DelayManager):
    """Knows packets only: neither copies nor retransmissions are waited for."""

    def receive_recovery(self, media_time: float, now: float) -> None:
        pass

    def expect_copies(self, distance: float) -> None:
        pass


class QuantileDelay(DelayManager):
    """libwebrtc's rule (NetEQ, M150): a quantile of what comes in order, a fixed price of loss for what does not.

    The constants are those of its default configuration.
    """

    BUCKET_MS, BUCKETS = 20, 100
    QUANTILE, FORGET, REORDER_FORGET = 0.95, 0.983, 0.9993
    MS_PER_LOSS_PERCENT = 20
    INTERVAL, START_TARGET = 0.5, 0.080

    def __init__(self) -> None:
        super().__init__(start_target=self.START_TARGET)
        self._underrun = 0.5 ** np.arange(1, self.BUCKETS + 1)
        self._reorder = np.zeros(self.BUCKETS)
        self._reorder[0] = 1.0
        self._samples = 0
        self._interval_began: float | None = None
        self._largest = 0.0
        self._newest = -math.inf
        self._chosen = self.START_TARGET

    @property
    def target(self) -> float:
        return self._chosen

    def choose(self, present: float, step: float, now: float) -> float:
        return present + step * math.ceil((self._chosen - present) / step)

    def receive(self, media_time: float, now: float) -> float:
        relative = super().receive(media_time, now)
        if media_time < self._newest:
            self._count_reordered(relative)
            return relative
        self._newest = media_time
        self._count_reordered(0.0)
        self._largest = max(self._largest, relative)
        if self._interval_began is None:
            self._interval_began = now
        elif now - self._interval_began >= self.INTERVAL:
            self._samples += 1
            keep = max(0.0, min(self.FORGET, 1 - 2 / (self._samples + 1)))
            self._underrun *= keep
            self._underrun[self._bucket(self._largest)] += 1 - keep
            self._interval_began, self._largest = now, 0.0
            self._choose()
        return relative

    def receive_recovery(self, media_time: float, now: float) -> None:
        self._count_reordered(now - media_time - self.base)

    def _bucket(self, delay: float) -> int:
        return min(self.BUCKETS - 1, max(0, int(delay * 1000 / self.BUCKET_MS)))

    def _count_reordered(self, delay: float) -> None:
        self._reorder *= self.REORDER_FORGET
        self._reorder[self._bucket(delay)] += 1 - self.REORDER_FORGET

    def _choose(self) -> None:
        in_order = (1 + int(np.searchsorted(np.cumsum(self._underrun), self.QUANTILE))) * self.BUCKET_MS
        late = 1 - np.cumsum(self._reorder)
        delays = np.arange(self.BUCKETS) * self.BUCKET_MS
        cost = np.maximum(0, delays - in_order) + 100 * self.MS_PER_LOSS_PERCENT * late
        self._chosen = max(in_order, (1 + int(np.argmin(cost))) * self.BUCKET_MS) / 1000


class NeverStretch(DecisionLogic):
    def decide(self, error: float, now: float) -> tuple[Operation, float]:
        return Operation.NORMAL, 0.0


class HurriedBuffer(JitterBuffer):
    """Time does not stand still while nothing is there: a late frame has missed its turn."""

    def _produce(self, now: float) -> None:
        assert self._next is not None
        self._packets.drop_before(self._next)
        if self._packets.first is None and not self._in_silence:
            self._advance_concealed(self._frame)
        else:
            super()._produce(now)


class SilentDecoder:
    """Conceals with silence. `told`: the decoder goes on as if it had concealed."""

    def __init__(self, decoder: AudioDecoder, *, told: bool) -> None:
        self._decoder, self._told = decoder, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def conceal(self, samples: int) -> Samples:
        if self._told:
            self._decoder.conceal(samples)
        return np.zeros(samples, np.int16)


class GapRepair(AudioRepair):
    """Asks for what the next packet shows to be missing, not by the clock."""

    def get_timer(self) -> float | None:
        return min((m.ask_at for m in self._missing.values()), default=None) if self._useful else None

    def _presume(self, now: float) -> None:
        pass


class GapReceiver(AudioReceiver):
    def receive(self, packet: RtpPacket, now: float, **when: Any) -> None:
        if not isinstance(self._repair, GapRepair):
            self._repair = GapRepair()
        super().receive(packet, now, **when)


BLIND = Scheme(24_000, (1, 2))


class FixedProtection(ProtectionController):
    """Copies as for a path that loses a tenth, since nothing is reported."""

    def __init__(self) -> None:
        super().__init__()
        self.scheme = BLIND

    def receive(self, report: ArrivalReport, **_: Any) -> None:
        pass


# -- what is changed for each


def _buffer(engine: MediaEngine) -> JitterBuffer:
    assert engine.receiver is not None
    return engine.receiver.jitter_buffer


def _no_stretch(engine: MediaEngine) -> None:
    _buffer(engine)._decision = NeverStretch()


def _no_standing_still(engine: MediaEngine) -> None:
    assert engine.receiver is not None
    engine.receiver.jitter_buffer = HurriedBuffer(_buffer(engine)._decoder)


def _delay_manager(make: Callable[[], DelayManager]) -> Callable[[MediaEngine], None]:
    def build(engine: MediaEngine) -> None:
        buffer = _buffer(engine)
        buffer.delay_manager = make()
        buffer._start_delay = buffer.delay_manager.target

    return build


def _silence(told: bool) -> Callable[[MediaEngine], None]:
    def build(engine: MediaEngine) -> None:
        buffer = _buffer(engine)
        buffer._decoder = SilentDecoder(buffer._decoder, told=told)

    return build


def _no_timer(engine: MediaEngine) -> None:
    assert engine.receiver is not None and engine.parameters is not None
    engine.receiver.close()
    engine.receiver = GapReceiver(OpusDecoder(), engine.parameters, ssrc=engine.ssrc)


def _no_feedback(engine: MediaEngine) -> None:
    assert engine.receiver is not None and engine.sender is not None
    engine.receiver._next_arrivals = math.inf
    engine.sender._protection = FixedProtection()
    engine.sender._encoder.set_bitrate(BLIND.bitrate_bps)


def _as_built(engine: MediaEngine) -> None:
    pass


def _as_negotiated(parameters: AudioParameters) -> AudioParameters:
    return parameters


@dataclass(frozen=True, slots=True)
class Part:
    """`instead`: what is there without it."""

    name: str
    instead: str
    build: Callable[[MediaEngine], None] = _as_built
    negotiate: Callable[[AudioParameters], AudioParameters] = _as_negotiated


# In the order in which they are changed: a new receiver first, then a new buffer, then what is in it.
PARTS = {
    part.name: part
    for part in (
        Part("timer", "the next packet's gap tells what is missing", _no_timer),
        Part("late", "late frames are dropped: the buffer never stands still", _no_standing_still),
        Part("target", f"{DEFAULT_TARGET * 1000:.0f} ms, always", _delay_manager(lambda: FixedDelay(DEFAULT_TARGET))),
        Part("cost", "libwebrtc's rule: 95 % quantile, 20 ms for each percent of loss", _delay_manager(QuantileDelay)),
        Part("wait", "copies and retransmissions are taken, not waited for", _delay_manager(CopiesIgnored)),
        Part("stretch", "frames are played as they are", _no_stretch),
        Part("plc", "silence is played; the decoder is told of the loss", _silence(told=True)),
        Part("advance", "silence is played; the decoder is not told", _silence(told=False)),
        Part("red", "in-band FEC, as towards foreign peers", negotiate=lambda p: replace(p, red_payload_type=None)),
        Part("fec", "no in-band FEC (matters only without red)", negotiate=lambda p: replace(p, use_inband_fec=False)),
        Part("feedback", f"no arrivals told; copies at distances {BLIND.distances} throughout", _no_feedback),
        Part("nack", "nothing is sent again", negotiate=lambda p: replace(p, nack=False, rtx_payload_type=None)),
    )
}  # fmt: skip


class TrialEngine(MediaEngine):
    """A MediaEngine without the named parts; `playout_delay`: forced, seconds."""

    def __init__(self, without: Sequence[str], playout_delay: float | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._parts = [part for name, part in PARTS.items() if name in without]
        self._playout_delay = playout_delay

    def configure_audio(self, parameters: AudioParameters) -> None:
        for part in self._parts:
            parameters = part.negotiate(parameters)
        super().configure_audio(parameters)
        for part in self._parts:
            part.build(self)
        if (delay := self._playout_delay) is not None:
            _delay_manager(lambda: FixedDelay(delay))(self)
