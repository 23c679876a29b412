"""Change of sample rate for mono int16 audio, with a low-pass filter before decimation.

Owns the filter and the arithmetic of phases; knows nothing of speech or files.
"""

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

# Kaiser beta 7 gives about 70 dB of stop band: an alias lies below the last bits of telephone audio.
_KAISER_BETA = 7.0
# Half a filter's length in periods of the lower rate: with beta 7 the transition band is about 0.11 of that
# rate, so at 8 kHz speech passes to 3.4 kHz and nothing above 4 kHz folds back.
_HALF_WIDTH_PERIODS = 20
# Centre of the transition band as a share of the lower Nyquist frequency.
_CUTOFF = 0.90


@lru_cache(maxsize=8)
def _phase_table(source_hz: int, target_hz: int) -> tuple[int, int, NDArray[np.float64]]:
    """`(up, down, table)`: row p of `table` holds the taps for an output that lies p/up after an input sample."""
    divisor = gcd(source_hz, target_hz)
    up, down = target_hz // divisor, source_hz // divisor
    low_hz = min(source_hz, target_hz)
    half = round(_HALF_WIDTH_PERIODS * source_hz / low_hz)
    cutoff = _CUTOFF * low_hz / source_hz  # in units of the source's Nyquist frequency
    offsets = np.arange(-half + 1, half + 1)[None, :] - np.arange(up)[:, None] / up
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1.0 - (offsets / half) ** 2, 0.0, 1.0)))
    taps = np.sinc(cutoff * offsets) * window
    return up, down, taps / taps.sum(axis=1, keepdims=True)


def resample(samples: NDArray[np.int16], source_hz: int, target_hz: int) -> NDArray[np.int16]:
    """Mono int16 at `source_hz` in, mono int16 at `target_hz` out, without delay and of the same duration."""
    if source_hz == target_hz or samples.size == 0:
        return samples
    up, down, table = _phase_table(source_hz, target_hz)
    half = table.shape[1] // 2
    out_count = -(-samples.size * up // down)
    padded = np.concatenate((np.zeros(half - 1), samples.astype(np.float64), np.zeros(half + 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)
    out = np.empty(out_count)
    # Outputs `up` apart share a phase and lie `down` inputs apart: one product per phase.
    for first in range(min(up, out_count)):
        start, phase = divmod(first * down, up)
        count = -(-(out_count - first) // up)
        out[first::up] = windows[start::down][:count] @ table[phase]
    return np.clip(np.rint(out), -32768, 32767).astype(np.int16)
