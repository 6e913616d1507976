"""One call over an emulated network in virtual time, measured in both directions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from voice_parts import TrialEngine
from voice_statistics import Estimate, difference

from media.codecs.base import Samples
from media.io.files import load_speech
from media.quality.speech import delays, score, to_16k
from media.simulation.call import RATE, SimulatedCall, simulate
from media.simulation.profiles import get_profile
from media.simulation.voice import generate_voice

PROFILES = (
    *("clean", "loss5", "loss10", "loss20", "burst", "burst_time", "rtt300"),
    *("jitter", "jitter_reorder", "spike"),
)
MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
SPEAKERS = ("speech-en-female-73s.g722", "speech-it-male-64s.g722", "speech-ru-female-73s.g722")
LEAD_IN = 2.0  # seconds of a quiet room before anybody speaks, as in a call that has just been answered
ROOM_RMS = 60.0  # of int16: -55 dBFS
HEADER_BYTES = 28  # IPv4 and UDP
LOW_RATE = 16_000  # of to_16k
# A hole is 20 ms of active speech (louder than a share of the whole) that came out below a share of that.
ACTIVE_SHARE, HOLE_SHARE = 0.3, 0.05


@dataclass(frozen=True, slots=True)
class Trial:
    """One call. `pair`: indices of the speakers of caller and callee; `playout_delay`: forced, seconds."""

    profile: str
    seed: int
    pair: tuple[int, int]
    seconds: float
    without: tuple[str, ...] = ()
    playout_delay: float | None = None
    visqol: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """One direction of a call, as its listener has it; `wire_kbit_s` as its speaker sent it."""

    profile: str
    seed: int
    speaker: int
    listener: int  # 0: the caller
    without: tuple[str, ...]
    playout_delay: float | None
    pesq_wb: float | None
    visqol: float | None
    mos_cq: float | None
    mouth_to_ear_median_ms: float | None
    mouth_to_ear_p95_ms: float | None
    holes_percent: float | None
    lost_percent: float | None
    concealed_percent: float | None
    recovered_percent: float | None
    wire_kbit_s: float

    @property
    def key(self) -> tuple[int, int, int]:
        """The same in trials that differ only in the engine."""
        return self.seed, self.speaker, self.listener


def trials(
    profiles: Iterable[str], seeds: Iterable[int], *, seconds: float, pairs: int = 1, **engine: object
) -> Iterator[Trial]:
    """Profiles, seeds and pairs of speakers crossed; with one pair, the seeds take turns at the speakers."""
    for profile, seed, index in product(profiles, list(seeds), range(pairs)):
        first = seed + index
        pair = first % len(SPEAKERS), (first + 1) % len(SPEAKERS)
        yield Trial(profile, seed, pair, seconds, **engine)  # type: ignore[arg-type]


def speech(speaker: int, seconds: float) -> Samples:
    """A quiet room, then the speaker; int16 mono at 48 kHz."""
    room = np.random.default_rng(speaker).normal(0, ROOM_RMS, round(LEAD_IN * RATE)).astype(np.int16)
    path = MEDIA / SPEAKERS[speaker % len(SPEAKERS)]
    voice = load_speech(path, seconds) if path.exists() else generate_voice(speaker, seconds)
    return np.concatenate((room, voice))


def run(trial: Trial) -> list[Outcome]:
    """The call, both directions."""
    seconds = trial.seconds + LEAD_IN
    voices = (speech(trial.pair[0], trial.seconds), speech(trial.pair[1], trial.seconds))
    make_engine = partial(TrialEngine, trial.without, trial.playout_delay)
    call = simulate(get_profile(trial.profile), trial.seed, voices, seconds=seconds, make_engine=make_engine)
    return [_outcome(trial, call, listener, voices[1 - listener], seconds) for listener in (0, 1)]


def _outcome(trial: Trial, call: SimulatedCall, listener: int, spoken: Samples, seconds: float) -> Outcome:
    report = (call.caller, call.callee)[listener]
    recording = (call.caller_heard, call.callee_heard)[listener]
    sent = next(s for s in call.stats[1 - listener].values() if s["type"] == "transport")
    wire = (sent["bytesSent"] + HEADER_BYTES * sent["packetsSent"]) * 8 / seconds / 1000
    heard, summary = report.speech, report.summary
    assert heard is not None
    spoken = spoken[:-RATE]  # the last of it is still on its way when the call ends
    visqol = score(spoken, recording, pesq=False, visqol=True).visqol if trial.visqol else None
    return Outcome(
        profile=trial.profile,
        seed=trial.seed,
        speaker=trial.pair[1 - listener],
        listener=listener,
        without=trial.without,
        playout_delay=trial.playout_delay,
        pesq_wb=heard.pesq_wb,
        visqol=visqol,
        mos_cq=summary.mos_cq,
        mouth_to_ear_median_ms=heard.mouth_to_ear_median_ms,
        mouth_to_ear_p95_ms=heard.mouth_to_ear_p95_ms,
        holes_percent=holes_percent(spoken, recording),
        lost_percent=summary.lost_percent,
        concealed_percent=summary.concealed_percent,
        recovered_percent=summary.recovered_percent,
        wire_kbit_s=wire,
    )


def holes_percent(spoken: Samples, recording: Samples) -> float | None:
    """Share of the active 20 ms pieces of speech that came out as next to nothing. int16 mono at 48 kHz."""
    reference, heard = to_16k(spoken), to_16k(recording)
    found, _ = delays(reference, heard)
    if not found:
        return None
    times, lags = np.array(found).T
    size = LOW_RATE // 50
    active = ACTIVE_SHARE * _rms(reference)
    pieces = gone = 0
    for start in range(0, len(reference) - size, size):
        if _rms(reference[start : start + size]) < active:
            continue
        lag = round(lags[np.argmin(np.abs(times + 0.5 - start / LOW_RATE))] * LOW_RATE)
        pieces += 1
        gone += _rms(heard[start + lag : start + lag + size]) < HOLE_SHARE * active
    return 100 * gone / pieces if pieces else None


def _rms(samples: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0


def select(outcomes: Iterable[Outcome], profile: str, without: Sequence[str] = ()) -> list[Outcome]:
    """Those of one profile and engine, at the delay that the engine chose."""
    wanted = profile, tuple(without), None
    return [o for o in outcomes if (o.profile, o.without, o.playout_delay) == wanted]


def added(
    outcomes: Sequence[Outcome], profile: str, without: Sequence[str], figure: str, base: Sequence[str] = ()
) -> Estimate | None:
    """By how much a figure is larger in the engine without `base` than in the one without `without`."""
    left, right = (
        {o.key: getattr(o, figure) for o in select(outcomes, profile, parts)} for parts in (base, without)
    )
    return difference(left, right)
