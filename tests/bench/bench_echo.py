"""Echo cancellation in the loopback room, in virtual time: how much echo is left, what becomes of the near end, the cost.

python tests/bench/bench_echo.py [--seeds 3] [--seconds 30] [--far FILE --near FILE]

ERLE (ITU-T G.168): power of the microphone's signal over power of what is sent, while only the far end talks; gain control
is off for it. Near end: correlation of what is sent with the talker alone, while both talk; in brackets the microphone's.
Late: pieces of 10 ms whose reference had not been played yet.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from media.audio_processing.capture_chain import CaptureChain
from media.audio_processing.settings import AudioProcessingSettings, Direction, make_processor
from media.io.files import load_speech
from media.simulation.room import RoomSettings
from media.simulation.sound_card import CardSettings, LoopbackCard
from media.simulation.voice import generate_voice

RATE = 48_000
ROOM = RoomSettings()
CASES = {
    "room, 60 ms": CardSettings(ROOM),
    "threads late (2 ms mean)": CardSettings(ROOM, lateness=0.002),
    "threads late (4 ms mean)": CardSettings(ROOM, lateness=0.004),
    "delay 30 ms": CardSettings(replace(ROOM, delay=0.030)),
    "delay 250 ms": CardSettings(replace(ROOM, delay=0.250)),
    "microphone +200 ppm": CardSettings(ROOM, capture_ppm=200, lateness=0.001),
    "microphone -200 ppm": CardSettings(ROOM, capture_ppm=-200, lateness=0.001),
    "+200 and -200 ppm": CardSettings(ROOM, capture_ppm=200, playback_ppm=-200, lateness=0.001),
    "loud echo (+6 dB)": CardSettings(replace(ROOM, echo_gain_db=6.0)),
    "linear loudspeaker": CardSettings(replace(ROOM, distortion=0.0)),
}
WITHOUT_GAIN = AudioProcessingSettings(auto_gain_control=False)


class Trial:
    """The far end talks all the time, the near end in the last third."""

    def __init__(self, card: CardSettings, settings: AudioProcessingSettings, far, near, seed: int) -> None:
        self.card = LoopbackCard(card, 100.0, Random(seed))
        processor = make_processor(settings, RATE, 0)
        assert processor is not None
        self.processor, self.cost = processor, 0.0
        self.chain = CaptureChain(self, 960)
        self.far, self.near = far, near
        self.microphone, self.sent = [], []
        self.run()

    stream_delay_ms = 0

    def process(self, near, far=None):
        return self.processor.process(near, far)

    def run(self) -> None:
        count = len(self.near) // 480
        played = captured = 0
        while captured < count:
            for at, direction in self.card.due(self.card.get_timer()):
                if direction == Direction.PLAYBACK:
                    piece = self.far[played * 480 :][:480]
                    piece = np.pad(piece, (0, 480 - len(piece)))
                    self.card.play(piece)
                    began = time.thread_time()
                    self.chain.played(at, played * 480, piece)
                    self.cost += time.thread_time() - began
                    played += 1
                elif captured < count:
                    heard = self.card.capture(self.near[captured * 480 :][:480])
                    self.microphone.append(heard)
                    began = time.thread_time()
                    self.sent.extend(self.chain.captured(at, heard))
                    self.cost += time.thread_time() - began
                    captured += 1
        self.cost_us = self.cost / count * 1e6

    def figures(self) -> dict[str, float]:
        microphone, sent = (np.concatenate(x).astype(float) for x in (self.microphone, self.sent))
        third = len(self.near) // 3
        early, late = slice(0, RATE * 2), slice(third, 2 * third)
        both = slice(2 * third + RATE, len(sent))
        near = self.near.astype(float)
        return {
            "ERLE, first 2 s": decibels(microphone[early], sent[early]),
            "ERLE": decibels(microphone[late], sent[late]),
            "near end": similarity(sent[both], near[both]),
            "microphone": similarity(microphone[both], near[both]),
            "us/10 ms": self.cost_us,
            "short": self.chain.far_end.short,
        }


def decibels(before: np.ndarray, after: np.ndarray) -> float:
    return float(10 * np.log10((before @ before) / max(1.0, after @ after)))


def similarity(sound: np.ndarray, clean: np.ndarray) -> float:
    """Correlation in seconds of their own (clocks drift), each at its best shift, weighted by the clean one's power."""
    total = weight = 0.0
    for begin in range(0, min(len(sound), len(clean)) - RATE, RATE):
        a, b = sound[begin : begin + RATE], clean[begin : begin + RATE]
        product = np.fft.irfft(np.fft.rfft(a, 2 * RATE) * np.conj(np.fft.rfft(b, 2 * RATE)))
        power = b @ b
        if power:
            total += power * np.abs(product).max() / np.sqrt(max(1.0, (a @ a) * power))
            weight += power
    return total / weight if weight else 0.0


def trials(options: argparse.Namespace, card: CardSettings) -> Iterator[Trial]:
    for seed in range(1, options.seeds + 1):
        count = round(options.seconds * RATE)
        if options.far and options.near:
            far, near = (
                np.resize(load_speech(p, options.seconds), count) for p in (options.far, options.near)
            )
        else:
            far, near = (
                generate_voice(2 * seed, options.seconds),
                generate_voice(2 * seed + 1, options.seconds),
            )
        near = near.copy()
        near[: 2 * count // 3] = 0
        yield Trial(card, WITHOUT_GAIN, far, near, seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--far", type=Path)
    parser.add_argument("--near", type=Path)
    options = parser.parse_args()
    print(f"{'':26}ERLE 0-2 s   ERLE    near end (microphone)  us per 10 ms  late")
    for name, card in CASES.items():
        rows = [trial.figures() for trial in trials(options, card)]
        mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
        print(
            f"{name:26}{mean['ERLE, first 2 s']:7.1f} dB {mean['ERLE']:6.1f} dB"
            f"{mean['near end']:9.3f} ({mean['microphone']:.3f}){mean['us/10 ms']:18.0f}{mean['short']:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
