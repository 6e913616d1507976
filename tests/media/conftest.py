"""What the tests of media/ share."""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

# Real speech and video, beside the checkout where this project is developed; nowhere else.
MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"


@pytest.fixture
def media_file() -> Callable[[str], Path]:
    """`media_file(name)`: a file of the shared test media, or the test is skipped."""

    def find(name: str) -> Path:
        path = MEDIA / name
        if not path.exists():
            pytest.skip(f"no {name}: the test media are not beside this checkout")
        return path

    return find


@pytest.fixture
def write_wav(tmp_path: Path) -> Callable[..., Path]:
    """`write_wav(samples, rate, channels, name)`: a WAV made by the standard library."""

    def write(
        samples: NDArray[np.int16], rate: int = 48_000, channels: int = 1, name: str = "sound.wav"
    ) -> Path:
        path = tmp_path / name
        with wave.open(str(path), "wb") as out:
            out.setnchannels(channels)
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(np.repeat(samples, channels).astype("<i2").tobytes())
        return path

    return write
