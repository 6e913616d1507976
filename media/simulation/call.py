"""A voice call of two engines over an emulated network, in virtual time: seeded, repeatable to the bit.

Keys are given, so there is no ICE and no DTLS: their times in the reports are None.
"""

import heapq
from dataclasses import dataclass, field
from random import Random

import numpy as np

from media.codecs.base import Samples
from media.engine import MediaEngine
from media.negotiation import AudioParameters
from media.quality.report import QualityReport, ReportBuilder
from media.quality.speech import score
from media.simulation.link import Link
from media.simulation.profiles import Profile
from media.transport.srtp import PROFILES, SrtpKeys
from media.versions import versions

RATE = 48000
FRAME, TICK = 960, 480
UNIX_TIME = 1_700_000_000.0  # any fixed moment: sender reports carry wall-clock time
AUDIO = AudioParameters(mid="0", send_payload_type=111, receive_payload_types=frozenset({111}))


@dataclass(slots=True)
class End:
    """One end: what it says, what it heard, and its report. Phases: a sound card's clock starts when it likes."""

    name: str
    engine: MediaEngine
    speech: Samples
    link: Link  # towards the other end
    report: ReportBuilder
    capture_phase: float
    playout_phase: float
    heard: list[Samples] = field(default_factory=list)
    position: int = 0

    def next_frame(self) -> Samples:
        frame = self.speech[self.position : self.position + FRAME]
        self.position += FRAME
        return frame if len(frame) == FRAME else np.pad(frame, (0, FRAME - len(frame)))

    def recording(self) -> Samples:
        """What was played; its first sample at `playout_phase`."""
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """The outcome: reports of caller and callee, and what each heard."""

    caller: QualityReport
    callee: QualityReport
    caller_heard: Samples
    callee_heard: Samples


def simulate(
    profile: Profile, seed: int, speech: tuple[Samples, Samples], *, seconds: float, metrics: bool = True
) -> SimulatedCall:
    """Run a call. `speech`: int16 mono at 48 kHz, what caller and callee say. `metrics`: PESQ where installed."""
    rng = Random(f"{seed}/call")
    material = rng.randbytes(2 * (PROFILES[0].key_length + PROFILES[0].salt_length))
    half = len(material) // 2
    keys = SrtpKeys(PROFILES[0], material[:half], material[half:])
    there, back = profile.links(seed, start=0.0)
    caller = _end("caller", speech[0], there, keys, rng)
    callee = _end("callee", speech[1], back, keys.swapped(), rng)
    _run(caller, callee, seconds)
    reports = []
    for end, other in ((caller, callee), (callee, caller)):
        report = end.report.build({"first_sound": _first_sound(end)}).with_signaling({}, None, end=end.name)
        # Put the recording on the clock of the other end's microphone.
        shift = round((end.playout_phase - other.capture_phase) * RATE)
        recording = end.recording()
        recording = np.pad(recording, (shift, 0)) if shift >= 0 else recording[-shift:]
        spoken = other.speech[: max(0, round((seconds - 1) * RATE))]
        reports.append(report.with_speech(score(spoken, recording, pesq=metrics)))
    return SimulatedCall(reports[0], reports[1], caller.recording(), callee.recording())


def _end(name: str, speech: Samples, link: Link, keys: SrtpKeys, rng: Random) -> End:
    engine = MediaEngine(rng=Random(rng.getrandbits(64)), unix_time_offset=UNIX_TIME)
    engine.configure_audio(AUDIO)
    engine.set_keys(keys, 0.0)
    phases = rng.uniform(0, FRAME / RATE), rng.uniform(0, TICK / RATE)
    return End(name, engine, speech, link, ReportBuilder(versions()), *phases)


def _first_sound(end: End) -> float | None:
    receiver = end.engine.receiver
    return None if receiver is None else receiver.jitter_buffer.first_played


def _run(caller: End, callee: End, seconds: float) -> None:
    """The loop: the earliest of captures, playouts, samples, timers and arrivals, until the time is over."""
    ends = (caller, callee)
    # (time, order, what, end): the regular things; order keeps equal times repeatable.
    agenda: list[tuple[float, int, str, int]] = []
    for index, end in enumerate(ends):
        agenda.append((end.capture_phase + FRAME / RATE, index, "capture", index))
        agenda.append((end.playout_phase, 2 + index, "playout", index))
        agenda.append((0.0, 4 + index, "sample", index))
    heapq.heapify(agenda)
    periods = {"capture": FRAME / RATE, "playout": TICK / RATE, "sample": 1.0}
    while True:
        now = agenda[0][0]
        for end in ends:
            for due in (end.link.get_timer(), end.engine.get_timer()):
                now = min(now, due) if due is not None else now
        if now > seconds:
            break
        for end, other in ((caller, callee), (callee, caller)):
            for at, data in end.link.receive(now):
                other.engine.receive_packet(data, at)
            due = end.engine.get_timer()
            if due is not None and due <= now:
                end.engine.handle_timer(now)
        while agenda[0][0] <= now:
            at, order, what, index = heapq.heappop(agenda)
            end = ends[index]
            if what == "capture":
                end.engine.push_audio(end.next_frame(), at)
            elif what == "playout":
                end.heard.append(end.engine.pull_audio(at).copy())
            else:
                end.report.sample(end.engine.get_stats(at), at)
            heapq.heappush(agenda, (at + periods[what], order, what, index))
        for end in ends:
            for data in end.engine.packets_to_send(now):
                end.link.send(data, now)
    for end in ends:
        end.engine.close(seconds)
