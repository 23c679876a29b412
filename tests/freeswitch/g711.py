"""Telephone audio: G.711 by its tables, and the tones of keys."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000
TONE_S = 0.1
LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477)
PAD = ("123", "456", "789", "*0#")
# Each of the two, of 32767: what a telephone sends is some 10 dB below the loudest.
TONE_PEAK = 6000
Samples = NDArray[np.int16]


def _mu_law_values() -> Samples:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    size = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -size, size).astype(np.int16)


def _a_law_values() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent = (code & 0x70) >> 4
    size = ((code & 0x0F) << 4) + 8
    size = np.where(exponent > 0, (size + 0x100) << np.maximum(exponent - 1, 0), size)
    return np.where(code & 0x80, size, -size).astype(np.int16)


VALUES = {0: _mu_law_values(), 8: _a_law_values()}


def encoded(samples: Samples, codec: int) -> bytes:
    """Each sample as the code whose value is nearest."""
    values = VALUES[codec].astype(np.int32)
    order = np.argsort(values, kind="stable")
    places = np.searchsorted((values[order][1:] + values[order][:-1]) / 2, samples)
    return bytes(order[places].astype(np.uint8))


def tones(key: str) -> Samples:
    """The two frequencies of ITU-T Q.23 for one key."""
    row = next(number for number, keys in enumerate(PAD) if key in keys)
    at = np.arange(int(TONE_S * RATE_HZ)) / RATE_HZ
    low, high = (np.sin(2 * np.pi * hz * at) for hz in (LOW_HZ[row], HIGH_HZ[PAD[row].index(key)]))
    return (TONE_PEAK * (low + high)).astype(np.int16)
