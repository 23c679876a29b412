"""How soon a prompt stops for a caller who interrupts it, as that caller hears it. Pure.

Owns the measuring. Who interrupts what is :mod:`simulator.callers`' and :mod:`simulator.mind`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from simulator.media import FRAME_S, RATE_HZ, Part

# 34 dB below full scale for a moment: the first vowel; the breath and the soft consonant before it are no voice.
_VOICED_LSB: Final = 650


class By(StrEnum):
    VOICE = "voice"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class BargeIn:
    """``barge_in_ms``: from the first voiced sample, or the key, to the prompt's end; None when it played to its own end."""

    by: By
    barge_in_ms: float | None


def voice_begins_s(pcm: bytes) -> float:
    """Where in int16 little-endian speech at 8 kHz the voice begins."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, dtype="<i2").astype(np.int32)) >= _VOICED_LSB)
    return float(loud[0]) / RATE_HZ if loud.size else 0.0


class Interruptions:
    """One caller's: each part they interrupt once, and when it ended."""

    def __init__(self) -> None:
        self.done: list[BargeIn] = []
        self._part: Part | None = None
        self._by = By.VOICE
        self._from_s: float | None = None

    def intend(self, part: Part, by: By) -> None:
        self._part, self._by, self._from_s = part, by, None

    def begin(self, at_s: float) -> None:
        """The first voiced sample, or the key; of nothing when no prompt is to be interrupted."""
        if self._part is not None and self._from_s is None:
            self._from_s = at_s

    def is_answered(self, part: Part) -> bool:
        """The caller is answering this one already: its words ask nothing more of them."""
        return part is self._part and self._from_s is not None

    def ended(self, part: Part, heard_s: float, now_s: float) -> None:
        if part is not self._part:
            return
        if self._from_s is not None:
            was_cut = heard_s < part.duration_s - FRAME_S
            self.done.append(BargeIn(self._by, max(0.0, now_s - self._from_s) * 1000 if was_cut else None))
        self._part = self._from_s = None
