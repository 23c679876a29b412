"""What each caller saw of their call, and the totals over many. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from simulator.interrupting import BargeIn, By

# A pause in any conversation is shorter.
NOTICED_S: Final = 0.5


class Outcome(StrEnum):
    FINISHED = "finished"
    DISCONNECTED = "disconnected"
    GAVE_UP = "gave_up"  # a caller whose scenario is to hang up midway


class Silence(NamedTuple):
    """Seconds, ``since_s`` by the clock of whoever keeps it."""

    since_s: float
    length_s: float
    after_words: bool = False
    after_a_cut: bool = False


@dataclass(slots=True)
class CallRecord:
    """One call as its caller saw it. ``heard`` and ``said`` are (seconds into the call, words)."""

    scenario: str
    call_uuid: str
    outcome: Outcome = Outcome.DISCONNECTED
    ended_because: str = ""
    understood: bool = False
    in_fallback: bool = False
    talked_to_person: bool = False
    duration_s: float = 0.0
    longest_silence_s: float = 0.0
    silences: list[Silence] = field(default_factory=list)
    """Those that a caller would notice: (seconds into the call, how long, whether they had spoken before it)."""
    last_sound_s: float = 0.0
    """When the last sound that they heard began."""
    quiet_from_s: float = 0.0
    """Since when they had heard nothing, and done nothing, when the call ended."""
    quiet_after_a_cut: bool = False
    """That began with a sound that broke off, and not by anything of theirs."""
    barge_ins: list[BargeIn] = field(default_factory=list)
    heard: list[tuple[float, str]] = field(default_factory=list)
    said: list[tuple[float, str]] = field(default_factory=list)


class SilenceMeter:
    """The longest time in which the caller heard nothing and was not about to speak themselves.

    It runs from the end of audio, of their own speech or of a key, to the next audio; what they spend thinking and
    speaking takes the time before it back.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.noticed: list[Silence] = []
        self._since_s: float | None = None
        self._after_words = self._after_a_cut = self._has_acted = False

    def quiet_from(self, at_s: float, *, after_words: bool = False, after_a_cut: bool = False) -> None:
        """``after_a_cut``: what they heard broke off. What they did over it may have done that."""
        self._since_s, self._after_words = at_s, after_words
        self._after_a_cut = after_a_cut and not self._has_acted

    def sound(self, at_s: float) -> None:
        if self._since_s is not None:
            length_s = at_s - self._since_s
            self.longest_s = max(self.longest_s, length_s)
            if length_s >= NOTICED_S:
                self.noticed.append(Silence(self._since_s, length_s, self._after_words, self._after_a_cut))
        self._since_s = None
        self._has_acted = False

    @property
    def is_after_a_cut(self) -> bool:
        """Whether it is quiet now, since what they heard broke off."""
        return self._since_s is not None and self._after_a_cut

    def own_turn(self) -> None:
        self._since_s = None
        self._has_acted = True


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _barge_in_figures(barge_ins: list[BargeIn]) -> dict[str, int]:
    """``unheard``: prompts that played to their end although somebody spoke or pressed a key over them."""
    stopped = [one.barge_in_ms for one in barge_ins if one.barge_in_ms is not None]
    return {
        "count": len(barge_ins),
        "unheard": len(barge_ins) - len(stopped),
        "p50": round(percentile(stopped, 0.50)),
        "p95": round(percentile(stopped, 0.95)),
        "max": round(max(stopped, default=0.0)),
    }


_FIGURES: Final = ("calls", "finished", "disconnected", "gave_up", "understood", "in_fallback")


class Totals:
    """Counts of every call; whole records only of the latest ``keep``, so that a switch may run for days."""

    def __init__(self, keep: int = 100_000) -> None:
        self.records: deque[CallRecord] = deque(maxlen=keep)
        self._all = dict.fromkeys(_FIGURES, 0)
        self._by_scenario: dict[str, dict[str, int]] = {}

    def add(self, record: CallRecord) -> None:
        self.records.append(record)
        for counts in (self._all, self._by_scenario.setdefault(record.scenario, dict.fromkeys(_FIGURES, 0))):
            counts["calls"] += 1
            counts[record.outcome.value] += 1
            counts["understood"] += record.understood
            counts["in_fallback"] += record.in_fallback

    def counts(self) -> dict[str, int]:
        return dict(self._all)

    def as_dict(self) -> dict[str, object]:
        """The figures programs read: see ``simulate_calls --json``. Silences are of the kept records."""
        barge_ins = [one for record in self.records for one in record.barge_ins]
        silences_ms = [record.longest_silence_s * 1000 for record in self.records]
        return {
            **self._all,
            "silence_ms": {
                "p50": round(percentile(silences_ms, 0.50)),
                "p99": round(percentile(silences_ms, 0.99)),
                "max": round(max(silences_ms, default=0.0)),
            },
            "barge_in_ms": {by.value: _barge_in_figures([one for one in barge_ins if one.by is by]) for by in By},
            "by_scenario": {name: dict(self._by_scenario[name]) for name in sorted(self._by_scenario)},
        }
