"""The low-pass filter before decimation, measured with tones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from espeak.resample import resample


def _tone(frequency_hz: float, rate_hz: int = 22050) -> NDArray[np.int16]:
    return (20000 * np.sin(2 * np.pi * frequency_hz * np.arange(rate_hz) / rate_hz)).astype(np.int16)


def _gain_db(frequency_hz: float, target_hz: int) -> float:
    out = resample(_tone(frequency_hz), 22050, target_hz)[300:-300].astype(np.float64)
    return float(20 * np.log10(max(out.std(), 1e-3) / (20000 / np.sqrt(2))))


@pytest.mark.parametrize("frequency_hz", [300, 1000, 2000, 3000])
@pytest.mark.parametrize("target_hz", [8000, 24000])
def test_speech_passes(frequency_hz: float, target_hz: int) -> None:
    assert _gain_db(frequency_hz, target_hz) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("frequency_hz", [4200, 5000, 7000, 10000])
def test_what_would_alias_is_removed(frequency_hz: float) -> None:
    assert _gain_db(frequency_hz, 8000) < -60


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 441, 22050])
def test_duration_is_kept(count: int) -> None:
    out = resample(np.zeros(count, np.int16), 22050, 8000)
    assert out.dtype == np.int16
    assert out.size == -(-count * 160 // 441)


def test_there_is_no_delay() -> None:
    click = np.zeros(22050, np.int16)
    click[11025] = 30000
    assert abs(int(np.argmax(np.abs(resample(click, 22050, 8000)))) - 4000) <= 1


def test_loud_audio_is_clipped_not_wrapped() -> None:
    square = np.where(_tone(200) > 0, 32767, -32768).astype(np.int16)
    out = resample(square, 22050, 8000)
    middle = out[20:-20]
    assert middle.max() == 32767
    assert middle.min() == -32768
