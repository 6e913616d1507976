"""A room in virtual time: what the loudspeaker plays comes back to the microphone, with the talker's voice and noise.

The stand-in for a sound card where there is none, and the measure of echo cancellation: near-end speech and echo are
known apart. The loudspeaker's and the microphone's clocks may drift against each other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.audio_processing.fractional import FloatSamples, FractionalBuffer

SAMPLE_RATE = 48_000


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """Echo path (seconds, dB), noise of the room (dBFS), overdriven loudspeaker, drift of the microphone's clock."""

    delay: float = 0.060  # device latencies and the way through the air
    echo_gain_db: float = -6.0  # of the whole echo's energy against what was played
    tail: float = 0.100  # reverberation: time to -60 dB
    noise_dbfs: float = -65.0
    distortion: float = 0.3  # 0: linear; tanh of the loudspeaker
    microphone_ppm: float = 0.0


class Room:
    """play() and capture() in pieces of 10 ms, each at its own clock; same seed, same room."""

    def __init__(self, settings: RoomSettings, seed: int) -> None:
        self.settings = settings
        self._random = np.random.default_rng(seed)
        self._response = self._echo_path()
        self._rest: FloatSamples = np.zeros(len(self._response) - 1, np.float32)
        self._air = FractionalBuffer(2 * SAMPLE_RATE)
        self._step = 1 / (1 + settings.microphone_ppm * 1e-6)
        self._position = 0.0

    def play(self, samples: NDArray[np.int16]) -> None:
        """The loudspeaker's next piece."""
        sound = samples.astype(np.float32) / 32768
        if self.settings.distortion:
            sound = np.tanh(sound * self.settings.distortion * 5) / (self.settings.distortion * 5)
        size = 1 << (len(sound) + len(self._response)).bit_length()
        product = np.fft.rfft(sound, size) * np.fft.rfft(self._response, size)
        echo = np.fft.irfft(product, size)[: len(sound) + len(self._rest)].astype(np.float32)
        echo[: len(self._rest)] += self._rest
        self._rest = echo[len(sound) :]
        self._air.write(echo[: len(sound)])

    def capture(self, talker: NDArray[np.int16]) -> NDArray[np.int16]:
        """The microphone's next piece while the talker says `talker`, on the microphone's clock."""
        mixed = self.echo(len(talker)) + talker + self._noise(len(talker))
        heard: NDArray[np.int16] = np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)
        return heard

    def echo(self, count: int) -> FloatSamples:
        """The next `count` samples of echo at the microphone, on the scale of int16."""
        delayed = self._position - self.settings.delay * SAMPLE_RATE
        self._position += self._step * count
        return self._air.read(delayed, self._step, count) * 32768

    def _noise(self, count: int) -> FloatSamples:
        level = 10 ** (self.settings.noise_dbfs / 20) * 32768
        return (level * self._random.standard_normal(count)).astype(np.float32)

    def _echo_path(self) -> FloatSamples:
        """Direct sound and an exponentially falling tail (Polack's model), scaled to the gain."""
        count = max(1, round(self.settings.tail * SAMPLE_RATE))
        fall = 10 ** (-3 * np.arange(count) / count)
        path = 0.3 * fall * self._random.standard_normal(count) / np.sqrt(count / 14)
        path[0] += 1.0
        scaled = path * 10 ** (self.settings.echo_gain_db / 20) / np.sqrt(path @ path)
        result: FloatSamples = scaled.astype(np.float32)
        return result
