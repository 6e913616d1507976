"""The adaptive playout of one audio stream. Pulled every 10 ms; time comes in as `now`."""

from dataclasses import dataclass

import numpy as np

from media.codecs.base import AudioDecoder, Samples
from media.errors import CodecError
from media.jitterbuffer.bursts import BurstMeter
from media.jitterbuffer.decision_logic import DecisionLogic, Operation
from media.jitterbuffer.delay_manager import DelayManager
from media.jitterbuffer.packet_buffer import PacketBuffer
from media.jitterbuffer.pull_clock import PullClock
from media.jitterbuffer.time_stretch import QUIET_RMS, accelerate, cross_fade, preemptive_expand
from media.rtp.sequence import Unwrapper

SAMPLE_RATE = 48000
TICK = 480  # samples a pull
STEP = 120  # libopus conceals in multiples of 2.5 ms
JUMP = 2 * SAMPLE_RATE  # a gap longer than this, beyond what was concealed, is a new time line
EARLY = 0.5  # seconds before the fastest of the last packets: that is no network any more
BEHIND = 10  # packets in a row whose turn has passed, and none to play: their sender's time went back
SUCCESSION = 5  # frames: what follows a strange packet within these makes it credible
COPIES_AHEAD = 0.3  # seconds: copies of what is newer are of nothing that was asked for
MAX_LOST = 200
BACKGROUND_RISE = 1.01  # a frame; 20 dB in 5 s
MAX_QUIET_RMS = 600.0  # -35 dBFS: louder is never background
SETTLING = 2.0  # seconds in which the buffer finds its first length; nobody minds a pause that is longer then
RECOVERY_JOIN = 240  # samples, 5 ms: a frame that was half concealed when it, or its copy, came
LONG_LOSS = (
    9600  # after 200 ms libopus has faded out: what follows is silence, not concealment that could be heard
)


@dataclass(slots=True)
class Counters:
    """Samples and frames, cumulative; the names are those of W3C webrtc-stats where it has one."""

    total_samples_received: int = 0  # all that was played, concealment included
    concealed_samples: int = 0  # of these, by cause:
    concealed_missing_samples: int = 0  # a packet was not there, and a later one was: lost or late
    concealed_empty_samples: int = (
        0  # the buffer had run empty: held up, lost at its end, or the sender pauses
    )
    concealed_broken_samples: int = 0  # the decoder refused the packet
    silent_concealed_samples: int = 0
    concealment_events: int = 0
    inserted_samples_for_deceleration: int = 0
    removed_samples_for_acceleration: int = 0
    voiced_bytes: int = 0  # of the frames that are louder than the background, and what they became:
    voiced_samples: int = 0
    stretched_samples: int = 0  # inserted and removed since the buffer found its first length
    jitter_buffer_delay: float = 0.0  # sum over emitted samples, seconds
    jitter_buffer_target_delay: float = 0.0
    jitter_buffer_emitted_count: int = 0
    late_packets: int = 0  # came after their turn
    late_frames: int = 0  # of these, those that had been concealed
    duplicate_packets: int = 0
    recovered_frames: int = 0  # played from a copy or a retransmission
    recovered_late_frames: int = 0  # of these, those whose own packet came after all
    broken_packets: int = 0  # not the codec's


class JitterBuffer:
    """insert() packets as they come, get_audio() every 10 ms; never blocks, never flushes."""

    def __init__(
        self, decoder: AudioDecoder, *, clock_rate: int = SAMPLE_RATE, start_delay: float = 0.030
    ) -> None:
        self._decoder = decoder
        self._scale = SAMPLE_RATE // clock_rate  # samples a tick of the RTP clock
        self._start_delay = start_delay
        self._packets = PacketBuffer()
        self._pulls = PullClock(TICK / SAMPLE_RATE)
        self._arrivals: dict[int, float] = {}
        self._unwrapper = Unwrapper(32)
        self.delay_manager = DelayManager(start_target=start_delay)
        self._decision = DecisionLogic()
        self.counters = Counters()
        self.bursts = BurstMeter()
        self._fifo: Samples = np.zeros(0, np.int16)
        self._next: int | None = None  # media time of the next frame, samples
        self._frame = 960  # length of the last frame, samples
        self._copies: set[int] = set()  # media times whose payload is a copy
        self._lost: set[int] = set()  # media times of frames that were concealed lately
        self._recovered: set[int] = set()  # and of those that were played from a copy
        self._begins = 0  # media time of the first packet of this time line
        self._suspect: tuple[int, bytes, float] | None = (
            None  # (timestamp, payload, arrival) out of all order
        )
        self._behind = 0  # packets in a row that were late, while there was nothing to play
        self._new_source = False  # the next packet begins a time line of its own
        self._in_silence = False  # the sender said that nothing comes until there is sound again (DTX)
        self._held = 0  # samples of concealment played while the media time stood still
        self._lag: float | None = None
        self._background = QUIET_RMS
        self._concealing = 0  # length of the running concealment
        self._started_waiting: float | None = None
        self.first_played: float | None = None  # when the first real frame was decoded

    def change_source(self, decoder: AudioDecoder | None = None, *, clock_rate: int = SAMPLE_RATE) -> None:
        """What comes next has other timestamps (another SSRC), and with `decoder` another codec."""
        self._new_source = True
        self._unwrapper = Unwrapper(32)
        if decoder is not None:
            self._packets.clear()  # the new one cannot read them
            self._decoder, self._scale = decoder, SAMPLE_RATE // clock_rate

    def insert(self, timestamp: int, payload: bytes, now: float, *, duplicate: bool = False) -> None:
        """A packet's payload with its 32-bit RTP timestamp. A `duplicate`, by its number, is never late."""
        samples = self._decoder.duration(payload)
        if not samples:
            self.counters.broken_packets += 1
            return
        time = self._unwrapper.near(timestamp) * self._scale
        strange = self._is_strange(time, now)
        if strange and not self._is_credible(time, samples):
            self._suspect = timestamp, payload, now
            return
        self._unwrapper.unwrap(timestamp)
        suspect, self._suspect = self._suspect if strange else None, None
        if self._new_source or self._is_elsewhere(time):
            self._restart(time if suspect is None else self._unwrapper.near(suspect[0]) * self._scale)
        if suspect is not None:
            self._insert(self._unwrapper.near(suspect[0]) * self._scale, suspect[1], suspect[2])
        self._insert(time, payload, now, duplicate)

    def _is_elsewhere(self, time: int) -> bool:
        expected = self._packets.last if self._packets.last is not None else self._next
        return expected is not None and abs(time - expected) > JUMP + self._held

    def _is_strange(self, time: int, now: float) -> bool:
        """On another time line than the packets before it, or from the future."""
        if self._new_source or self._started_waiting is None:
            return False
        early = time / SAMPLE_RATE - (now - self.delay_manager.base)
        return self._is_elsewhere(time) or early > EARLY

    def _is_credible(self, time: int, samples: int) -> bool:
        """Whether it follows the strange one before it: the sender has another time line, and no packet went astray."""
        if self._suspect is None:
            return False
        return 0 < time - self._unwrapper.near(self._suspect[0]) * self._scale <= SUCCESSION * samples

    def _insert(self, time: int, payload: bytes, now: float, duplicate: bool = False) -> None:
        samples = self._decoder.duration(payload)
        late = self._next is not None and time < self._next
        self._behind = self._behind + 1 if late and not duplicate and not len(self._packets) else 0
        if self._behind > BEHIND:
            self._restart(time)
        elif late:
            if duplicate:
                self.counters.duplicate_packets += 1
            else:
                self.counters.late_packets += 1
            if time in self._lost:
                self.counters.late_frames += 1
            if time in self._recovered:
                self._recovered.discard(time)
                self.counters.recovered_late_frames += 1
            self.delay_manager.receive(time / SAMPLE_RATE, now)
            return
        if not self._packets.insert(time, payload):
            self.counters.duplicate_packets += 1
            if time in self._copies:
                self._copies.discard(time)
                self._packets.replace(time, payload)  # it is the same, unless the copy was false
            return
        self._arrivals[time] = now
        if len(self._arrivals) > 4 * len(self._packets) + 64:
            self._arrivals = {t: a for t, a in self._arrivals.items() if t in self._packets}
        self.delay_manager.receive(time / SAMPLE_RATE, now)
        before = time - samples
        if (
            before not in self._packets
            and self._next is not None
            and before >= self._next
            and self._decoder.has_fec(payload)
        ):
            self.delay_manager.receive_recovery(before / SAMPLE_RATE, now)
        if self._started_waiting is None:
            self._started_waiting, self._begins = now, time

    def insert_copy(self, timestamp: int, payload: bytes, now: float) -> None:
        """A copy of a frame (RED), or a packet that was sent again: it counts where the frame itself is missing."""
        samples = self._decoder.duration(payload)
        if not samples or self._started_waiting is None or self._new_source:
            return
        time = self._unwrapper.near(timestamp) * self._scale
        if time < self._begins:
            return  # of what was said before we listened: nobody misses it
        if self._next is None or time >= self._next:
            last = self._packets.last if self._packets.last is not None else self._next
            if last is not None and time - last > COPIES_AHEAD * SAMPLE_RATE:
                return
            if self._packets.insert(time, payload):
                self._copies.add(time)
                self._arrivals[time] = now
                self.delay_manager.receive_recovery(time / SAMPLE_RATE, now)
        elif time in self._lost:
            # Too late, but worth knowing: a longer wait would have had it.
            self._lost.discard(time)
            self.delay_manager.receive_recovery(time / SAMPLE_RATE, now)

    def get_audio(self, now: float) -> Samples:
        """The next 480 samples, int16 mono at 48 kHz; silence before the first packet's turn."""
        now = self._pulls.pull(now)
        if self._next is None:
            if self._started_waiting is None or now - self._started_waiting < self._start_delay:
                return np.zeros(TICK, np.int16)
            if (first := self._packets.first) is None:
                return np.zeros(TICK, np.int16)
            self._next = first
        while len(self._fifo) < TICK:
            self._produce(now)
        assert self._next is not None
        self._lag = now + (len(self._fifo) - self._next) / SAMPLE_RATE
        out, self._fifo = self._fifo[:TICK], self._fifo[TICK:]
        self.counters.total_samples_received += TICK
        return out

    def media_time(self, timestamp: int) -> float:
        """Seconds on this stream's own time line of a 32-bit RTP timestamp near the present."""
        return self._unwrapper.near(timestamp) * self._scale / SAMPLE_RATE

    def lag(self) -> float | None:
        """When a sample was played, less its media time: as of the last pull, seconds."""
        return self._lag

    @property
    def target_delay(self) -> float:
        return self.delay_manager.target

    def _playout_delay(self, now: float) -> float:
        """By how much a pull at `now` plays the sample at `_next` later than the fastest packet allows, seconds."""
        if self._next is None:
            return 0.0
        return now + (len(self._fifo) - self._next) / SAMPLE_RATE - self.delay_manager.base

    # -- one frame

    def _produce(self, now: float) -> None:
        assert self._next is not None
        self._packets.drop_before(self._next)
        payload = self._packets.pop(self._next)
        if payload is not None:
            self._play(payload, now)
        elif (first := self._packets.first) is None:
            # Nothing newer either: late or lost cannot be told yet. Time stands still until a packet tells.
            if self._in_silence:
                self._append(self._decoder.conceal(TICK).copy())
            else:
                self.counters.concealed_empty_samples += TICK
                self._conceal(TICK)
            self._held += TICK
        elif self._in_silence:
            self._await_turn(first, now)
        else:
            self._bridge(first, now)

    def _play(self, payload: bytes, now: float) -> None:
        assert self._next is not None
        delay = self._playout_delay(now)
        covered, concealed = self._what_is_covered(payload, now), None
        if covered:
            delay -= covered / SAMPLE_RATE
            concealed = self._decoder.conceal(RECOVERY_JOIN).copy()
        try:
            samples = self._decoder.decode(payload).copy()
        except CodecError:
            self.counters.broken_packets += 1
            self.counters.concealed_broken_samples += self._advance_concealed(self._frame)
            return
        if concealed is not None:
            samples = cross_fade(concealed, samples[covered:])
        arrival = self._arrivals.pop(self._next, now)
        self._in_silence = self._decoder.is_silence(payload)
        if self._next in self._copies:
            self._copies.discard(self._next)
            self._remember_recovered(self._next)
        waited = now + len(self._fifo) / SAMPLE_RATE - arrival
        self._frame = len(samples) + covered
        self._next += self._frame
        self.bursts.play(self._frame)
        self._held = self._concealing = 0
        if self.first_played is None:
            self.first_played = now
        count = len(samples)
        self.counters.jitter_buffer_emitted_count += count
        self.counters.jitter_buffer_delay += count * max(0.0, waited)
        self.counters.jitter_buffer_target_delay += count * self.delay_manager.target
        target = self.delay_manager.choose(delay - len(self._fifo) / SAMPLE_RATE, TICK / SAMPLE_RATE, now)
        rms, quiet_rms = self._levels(samples)
        if rms > quiet_rms:
            self.counters.voiced_bytes += len(payload)
            self.counters.voiced_samples += self._frame
        last = self._packets.last
        ahead = 0.0 if last is None else (last + self._frame - self._next) / SAMPLE_RATE
        # No more is worked off than is here: where all comes later from now on there is no backlog.
        self._append(self._stretch(samples, min(delay - target, max(waited, ahead)), now, quiet_rms))

    def _what_is_covered(self, payload: bytes, now: float) -> int:
        """Samples of a late frame that concealment has stood in for, where the buffer is not to grow by them."""
        if not 0 < self._held < self._decoder.duration(payload) or self._in_silence:
            return 0
        present = self._playout_delay(now) - (len(self._fifo) + self._held) / SAMPLE_RATE
        grows = self.delay_manager.choose(present, TICK / SAMPLE_RATE, now) > present + TICK / 2 / SAMPLE_RATE
        return 0 if grows else self._held

    def _stretch(self, samples: Samples, error: float, now: float, quiet_rms: float) -> Samples:
        operation, correlation = self._decision.decide(error, now)
        if operation is Operation.NORMAL:
            return samples
        limit = max(1, round(abs(error) * SAMPLE_RATE))
        if operation is Operation.ACCELERATE:
            stretched = accelerate(samples, limit=limit, min_correlation=correlation, quiet_rms=quiet_rms)
            self.counters.removed_samples_for_acceleration += len(samples) - len(stretched)
        else:
            stretched = preemptive_expand(
                samples, wanted=limit, min_correlation=correlation, quiet_rms=quiet_rms
            )
            self.counters.inserted_samples_for_deceleration += len(stretched) - len(samples)
        if len(stretched) != len(samples):
            self._decision.joined(now)
            if self.first_played is not None and now - self.first_played > SETTLING:
                self.counters.stretched_samples += abs(len(stretched) - len(samples))
        return stretched

    def _levels(self, samples: Samples) -> tuple[float, float]:
        """RMS, and up to which joins are hidden: 9 dB above the background, which is what the quietest frames have."""
        scaled = samples.astype(np.float32)
        rms = float(np.sqrt(scaled.dot(scaled) / len(scaled)))
        self._background = min(rms, self._background * BACKGROUND_RISE)
        return rms, min(MAX_QUIET_RMS, max(QUIET_RMS, 2.8 * self._background))

    def _await_turn(self, first: int, now: float) -> None:
        """A pause of the sender's is over: the sound after it is played with the target delay, to the sample."""
        assert self._next is not None
        early = self.delay_manager.target - self._playout_delay(now) + (first - self._next) / SAMPLE_RATE
        if first - self._next > self._held + JUMP or early < STEP / SAMPLE_RATE:
            self._next, self._held = first, 0
            return
        samples = min(TICK, int(early * SAMPLE_RATE) // STEP * STEP)
        self._append(self._decoder.conceal(samples).copy())
        self._held += samples

    def _bridge(self, first: int, now: float) -> None:
        """The next frame is missing, a later one is here."""
        assert self._next is not None
        gap = first - self._next
        if gap > self._held + JUMP:
            self._next, self._held = first, 0
            return
        payload = self._packets.get(first)
        copy = payload is not None and self._decoder.has_fec(payload)
        if self._held:
            # What was concealed while time stood still has covered this much of the gap already. Where the buffer
            # is to grow anyway, the copy of the last lost frame is played, and the delay grows by it.
            skip = min(gap, self._held)
            grows = self._playout_delay(now) - skip / SAMPLE_RATE < self.delay_manager.target
            if copy and grows:
                skip = min(skip, gap - min(gap, self._frame))
            self._next, self._held = self._next + skip, 0
            if skip:
                self._remember_lost(self._next - skip, skip)
                return
        missing = min(gap, self._frame)
        if copy and gap > self._frame:
            missing = min(missing, gap - self._frame)  # so that the copy is played whole
        if missing < STEP:
            self._next = first
        elif copy and gap <= self._frame and payload is not None:
            try:
                samples = self._recover(payload, missing)
            except CodecError:
                self.counters.concealed_missing_samples += self._advance_concealed(missing)
                return
            self._remember_recovered(first - self._frame)
            self.bursts.play(missing)
            self._concealing = 0
            self._next += missing
            self._append(samples)
        else:
            self.counters.concealed_missing_samples += self._advance_concealed(missing)

    def _recover(self, payload: bytes, missing: int) -> Samples:
        """The last `missing` samples of the frame before `payload`, from the copy in it.

        libopus decodes a copy as a whole, or else conceals. Where its beginning has been concealed already, the
        concealment goes on under the join.
        """
        if missing == self._frame:
            return self._decoder.decode_fec(payload, missing).copy()
        concealed = self._decoder.conceal(RECOVERY_JOIN).copy()
        return cross_fade(concealed, self._decoder.decode_fec(payload, self._frame)[-missing:])

    def _advance_concealed(self, samples: int) -> int:
        """Conceal a frame, or a part of it, and go on behind it; gives the samples that were made up."""
        assert self._next is not None
        concealed = samples // STEP * STEP or STEP
        self._conceal(concealed)
        self._remember_lost(self._next, samples)
        self._next += samples
        return concealed

    def _remember_recovered(self, time: int) -> None:
        """Its own packet may still come: then it was late, and not lost."""
        self.counters.recovered_frames += 1
        self._recovered.add(time)
        if len(self._recovered) > MAX_LOST:
            self._recovered = {t for t in self._recovered if t > time - JUMP}

    def _remember_lost(self, time: int, samples: int) -> None:
        """A copy of this frame may still come, and tell what waiting would have been worth."""
        self.bursts.miss(samples, max(STEP, self._frame))
        for start in range(time, time + samples, max(STEP, self._frame)):
            self._lost.add(start)
        if len(self._lost) > MAX_LOST:
            self._lost = {t for t in self._lost if t > time - JUMP}
            self._copies = {t for t in self._copies if t >= time}

    @property
    def concealed_at_end(self) -> int:
        """Samples made up since the last packet was played, where no other waits: an outage, or the stream's end."""
        return 0 if len(self._packets) else self._concealing

    def _conceal(self, samples: int) -> None:
        if not self._concealing:
            self.counters.concealment_events += 1
        self._concealing += samples
        self.counters.concealed_samples += samples
        if self._concealing > LONG_LOSS:
            self.counters.silent_concealed_samples += samples
        self._append(self._decoder.conceal(samples).copy())

    def _append(self, samples: Samples) -> None:
        self._fifo = np.concatenate((self._fifo, samples)) if len(self._fifo) else samples

    def _restart(self, time: int) -> None:
        """The sender began a new time line (RFC 3550 allows it any time); what is buffered is of the old one."""
        self._packets.clear()
        self._arrivals.clear()
        self._copies.clear()
        self._lost.clear()
        self._recovered.clear()
        self._begins = time
        self.delay_manager.reset()
        self._held = self._behind = 0
        self._new_source = self._in_silence = False
        if self._next is not None:
            self._next = time
