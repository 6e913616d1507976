"""A call of two engines over an emulated network, in virtual time: seeded, repeatable to the bit.

Keys are given, so there is no ICE and no DTLS: their times in the reports are None.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np

from media.codecs.base import Samples
from media.engine import MediaEngine
from media.negotiation import AudioParameters, VideoParameters
from media.quality.report import QualityReport, ReportBuilder
from media.quality.speech import score
from media.simulation.link import Link
from media.simulation.profiles import Profile
from media.simulation.video import SimulatedVideo, VideoEnd
from media.transport.srtp import PROFILES, SrtpKeys
from media.versions import versions
from media.webrtc_stats import Stats

RATE = 48000
FRAME, TICK = 960, 480
UNIX_TIME = 1_700_000_000.0  # any fixed moment: sender reports carry wall-clock time
PERIODS = {"capture": FRAME / RATE, "playout": TICK / RATE, "sample": 1.0}
AUDIO = AudioParameters(
    mid="0",
    send_payload_type=111,
    receive_payload_types=frozenset({111}),
    red_payload_type=63,
    rtx_payload_type=112,
    arrival_feedback=True,
    nack=True,
    reduced_size_rtcp=True,
    extended_reports=True,
)
VIDEO = VideoParameters(
    mid="1",
    codec="VP8",
    send_payload_type=96,
    receive_payload_type=96,
    send_rtx_payload_type=97,
    receive_rtx_payload_type=97,
)
MAX_TURNS = 100  # of the loop at one moment: more are a timer that does not advance


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """The clock of an end's sound devices. `skew_ppm` above 0: it is fast.

    Frames are handed over and asked for up to this many ms late (uniform), as a busy machine does.
    """

    skew_ppm: float = 0.0
    capture_jitter_ms: float = 0.0
    playout_jitter_ms: float = 0.0

    def __post_init__(self) -> None:
        if not abs(self.skew_ppm) <= 10_000 or not 0 <= self.capture_jitter_ms <= 1000:
            raise ValueError("a device's clock is at most 1 % off and its jitter 0 to 1000 ms")
        if not 0 <= self.playout_jitter_ms <= 1000:
            raise ValueError("a device's jitter is 0 to 1000 ms")

    @property
    def second(self) -> float:
        """How long a second of this clock is."""
        return 1 / (1 + self.skew_ppm * 1e-6)


STEADY_CLOCKS = (DeviceClock(), DeviceClock())


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
    clock: DeviceClock
    rng: Random  # of the devices
    heard: list[Samples] = field(default_factory=list)
    position: int = 0
    video: VideoEnd | None = None
    timer_calls: int = 0

    def next_frame(self) -> Samples:
        frame = self.speech[self.position : self.position + FRAME]
        self.position += FRAME
        return frame if len(frame) == FRAME else np.pad(frame, (0, FRAME - len(frame)))

    def period(self, what: str) -> float:
        if what == "camera":
            return self.video.period if self.video is not None else np.inf
        return PERIODS[what] * (1.0 if what == "sample" else self.clock.second)

    def lateness(self, what: str) -> float:
        jitter = {"capture": self.clock.capture_jitter_ms, "playout": self.clock.playout_jitter_ms}.get(
            what, 0.0
        )
        return self.rng.random() * jitter / 1000 if jitter else 0.0

    def recording(self) -> Samples:
        """What was played; its first sample at `playout_phase`."""
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)

    def heard_after(self, other: "End") -> float:
        """Seconds from the start of the other end's microphone to the first sample that is played here."""
        return self.playout_phase - other.capture_phase + TICK / RATE

    def heard_on_the_clock_of(self, other: "End") -> Samples:
        """The recording as if it had begun with the other end's microphone and run at its pace.

        A sound card has two buffers: what it pulls is played when the other one is over, a tick later.
        """
        recording = self.recording()
        if self.clock.second == other.clock.second:
            shift = round(self.heard_after(other) * RATE)
            return np.pad(recording, (shift, 0)) if shift >= 0 else recording[-shift:]
        times = other.capture_phase + np.arange(len(recording)) * (other.clock.second / RATE)
        positions = (times - self.playout_phase) * (RATE / self.clock.second) - TICK
        moved = np.interp(positions, np.arange(len(recording)), recording, left=0, right=0)
        rounded: Samples = np.round(moved).astype(np.int16)
        return rounded


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """The outcome: reports of caller and callee, and what each heard."""

    caller: QualityReport
    callee: QualityReport
    caller_heard: Samples
    callee_heard: Samples
    timer_calls: tuple[int, int] = (0, 0)  # of the engines' handle_timer: a bound on how busy they are
    stats: tuple[Stats, Stats] = ({}, {})  # W3C webrtc-stats at the end
    # Seconds by which the first sample that caller and callee heard was played after the other's microphone began.
    heard_after: tuple[float, float] = (0.0, 0.0)


def simulate(
    profile: Profile,
    seed: int,
    speech: tuple[Samples, Samples],
    *,
    seconds: float,
    metrics: bool = True,
    clocks: tuple[DeviceClock, DeviceClock] = STEADY_CLOCKS,
    video: tuple[SimulatedVideo, SimulatedVideo] | None = None,
    video_parameters: VideoParameters = VIDEO,
    make_engine: Callable[..., MediaEngine] = MediaEngine,
) -> SimulatedCall:
    """Run a call. `speech`: int16 mono at 48 kHz, what caller and callee say; silence when it is over.

    `metrics`: PESQ where installed. `clocks`: of the caller's and the callee's sound devices. `video`: what they film;
    None: a call without. The score of it stands in the reports as `video.score`. `make_engine`: MediaEngine, or what
    takes its place (same arguments), to hear a call without one of its parts.
    """
    rng = Random(f"{seed}/call")
    material = rng.randbytes(2 * (PROFILES[0].key_length + PROFILES[0].salt_length))
    half = len(material) // 2
    keys = SrtpKeys(PROFILES[0], material[:half], material[half:])
    there, back = profile.links(seed, start=0.0)
    devices = [Random(f"{seed}/{name}/devices") for name in ("caller", "callee")]
    caller = _end("caller", speech[0], there, keys, rng, clocks[0], devices[0], make_engine)
    callee = _end("callee", speech[1], back, keys.swapped(), rng, clocks[1], devices[1], make_engine)
    if video is not None:
        for end, own, theirs in ((caller, *video), (callee, *video[::-1])):
            end.engine.configure_video(video_parameters)
            end.video = VideoEnd(own, end.engine, theirs.picture)
    _run(caller, callee, seconds)
    reports = []
    for end, other in ((caller, callee), (callee, caller)):
        report = end.report.build({"first_sound": _first_sound(end)}).with_signaling({}, None, end=end.name)
        recording = end.heard_on_the_clock_of(other)
        spoken = other.speech[: max(0, round((seconds - 1) * RATE))]
        report = report.with_speech(score(spoken, recording, pesq=metrics))
        if end.video is not None and other.video is not None:
            report = report.with_video(score=end.video.score(other.video.captured, seconds))
        reports.append(report)
    return SimulatedCall(
        reports[0],
        reports[1],
        caller.recording(),
        callee.recording(),
        (caller.timer_calls, callee.timer_calls),
        (caller.engine.get_stats(seconds), callee.engine.get_stats(seconds)),
        (caller.heard_after(callee), callee.heard_after(caller)),
    )


def _end(
    name: str,
    speech: Samples,
    link: Link,
    keys: SrtpKeys,
    rng: Random,
    clock: DeviceClock,
    devices: Random,
    make_engine: Callable[..., MediaEngine],
) -> End:
    engine = make_engine(rng=Random(rng.getrandbits(64)), unix_time_offset=UNIX_TIME)
    engine.configure_audio(AUDIO)
    engine.set_keys(keys, 0.0)
    phases = rng.uniform(0, FRAME / RATE), rng.uniform(0, TICK / RATE)
    return End(name, engine, speech, link, ReportBuilder(versions()), *phases, clock, devices)


def _first_sound(end: End) -> float | None:
    receiver = end.engine.receiver
    return None if receiver is None else receiver.jitter_buffer.first_played


def _run(caller: End, callee: End, seconds: float) -> None:
    """The loop: the earliest of captures, playouts, samples, timers and arrivals, until the time is over."""
    ends = (caller, callee)
    # (when it happens, order, when it was to happen, what, end): the regular things; order keeps equal times
    # repeatable.
    agenda: list[tuple[float, int, float, str, int]] = []

    def plan(due: float, order: int, what: str, index: int, earliest: float = 0.0) -> None:
        happens = max(earliest, due + ends[index].lateness(what))
        heapq.heappush(agenda, (happens, order, due, what, index))

    for index, end in enumerate(ends):
        plan(end.capture_phase + FRAME / RATE * end.clock.second, index, "capture", index)
        plan(end.playout_phase, 2 + index, "playout", index)
        plan(0.0, 4 + index, "sample", index)
        if end.video is not None:
            plan(end.rng.random() * end.video.period, 6 + index, "camera", index)
    now, turns = 0.0, 0
    while True:
        before, now = now, agenda[0][0]
        for end in ends:
            for due in (end.link.get_timer(), end.engine.get_timer()):
                now = min(now, due) if due is not None else now
        if now > seconds:
            break
        now = max(now, before)
        turns = turns + 1 if now == before else 0
        assert turns < MAX_TURNS, f"a timer does not advance at {now}"
        for end, other in ((caller, callee), (callee, caller)):
            for at, data in end.link.receive(now):
                other.engine.receive_packet(data, at)
            due = end.engine.get_timer()
            if due is not None and due <= now:
                end.engine.handle_timer(now)
                end.timer_calls += 1
        while agenda[0][0] <= now:
            at, order, due_at, what, index = heapq.heappop(agenda)
            end = ends[index]
            if what == "capture":
                end.engine.push_audio(end.next_frame(), at)
            elif what == "playout":
                end.heard.append(end.engine.pull_audio(at).copy())
            elif what == "camera":
                assert end.video is not None
                end.video.capture(at)
            else:
                end.report.sample(end.engine.get_stats(at), at)
            plan(due_at + end.period(what), order, what, index, at)
        for end in ends:
            if end.video is not None:
                end.video.work(now)
            for data in end.engine.packets_to_send(now):
                end.link.send(data, now)
    for end in ends:
        end.engine.close(seconds)
        if end.video is not None:
            end.video.close()
