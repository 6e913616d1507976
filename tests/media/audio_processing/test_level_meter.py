"""How loud."""

import numpy as np
import pytest

from media.audio_processing.level_meter import FLOOR_DBFS, LevelMeter
from media.simulation.voice import tone


def test_a_sine_and_its_fall() -> None:
    meter = LevelMeter()
    for first in range(0, 48_000, 480):
        meter.push(tone(1000, first, 480, level=0.5))
    assert meter.rms_dbfs == pytest.approx(-9.03, abs=0.1) and meter.peak_dbfs == pytest.approx(
        -6.02, abs=0.1
    )
    assert meter.clipped == 0
    for _ in range(150):  # 1.5 s of silence: the peak falls by 20 dB, the mean is gone
        meter.push(np.zeros(480, np.int16))
    assert meter.peak_dbfs == pytest.approx(-26, abs=0.3) and meter.rms_dbfs == FLOOR_DBFS


def test_full_scale_and_nothing() -> None:
    meter = LevelMeter()
    meter.push(np.zeros(0, np.int16))
    assert meter.rms_dbfs == meter.peak_dbfs == FLOOR_DBFS
    for _ in range(100):
        meter.push(np.full(480, -32768, np.int16))
    assert meter.rms_dbfs == pytest.approx(0, abs=0.01) and meter.peak_dbfs == 0 and meter.clipped == 48_000
