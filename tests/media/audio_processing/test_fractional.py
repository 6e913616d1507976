"""Reading between the samples."""

import numpy as np
import pytest

from media.audio_processing.fractional import FractionalBuffer


def sine(hz: float, positions: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * hz * positions / 48_000)


@pytest.mark.parametrize("hz", [100, 1000, 8000, 16_000, 18_000])
@pytest.mark.parametrize("step", [1.0, 1.0002, 0.999])
def test_a_sine_stays_a_sine(hz: float, step: float) -> None:
    buffer = FractionalBuffer(9600)
    buffer.write(sine(hz, np.arange(9600)).astype(np.float32))
    read = buffer.read(100.37, step, 9000)
    error = read - sine(hz, 100.37 + step * np.arange(9000))
    assert 10 * np.log10(np.mean(error**2) / 0.5) < -80


def test_the_oldest_fall_out_and_positions_stay() -> None:
    buffer = FractionalBuffer(480)
    for piece in np.split(np.arange(4800, dtype=np.float32), 20):
        buffer.write(piece)
    assert buffer.end == 4800
    assert np.allclose(buffer.read(4500.0, 1.0, 200), np.arange(4500, 4700), atol=1e-2)
    assert not buffer.read(1000.0, 1.0, 100).any()  # long gone
    assert not buffer.read(6000.0, 1.0, 100).any()  # not there yet
    assert not buffer.read(-500.0, 1.0, 100).any()


def test_a_piece_longer_than_the_buffer() -> None:
    buffer = FractionalBuffer(100)
    buffer.write(np.arange(1000, dtype=np.int16))
    assert np.allclose(buffer.read(920.0, 1.0, 50), np.arange(920, 970), atol=1e-2)


def test_a_gap_is_silence_and_a_jump_begins_anew() -> None:
    buffer = FractionalBuffer(1000)
    buffer.write(np.full(100, 5, np.int16))
    buffer.skip_to(300)
    buffer.write(np.full(100, 7, np.int16))
    assert not buffer.read(150.0, 1.0, 100).any() and np.allclose(buffer.read(330.0, 1.0, 30), 7, atol=1e-3)
    for far in (50, 100_000):
        buffer.skip_to(far)
        assert buffer.end == far and not buffer.read(far - 100.0, 1.0, 100).any()


def test_capacity_below_the_kernel() -> None:
    with pytest.raises(ValueError, match="32"):
        FractionalBuffer(31)
