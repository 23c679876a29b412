"""What turns took and used, added up: counts, tokens, cost and latency histograms that can be merged. Pure.

Owns what of a turn counts as what. Times are those of answers; a failure counts by its kind and has no part in the
percentiles, since an engine that refuses at once is not fast. Beside the stages there are ``answer`` (end of speech to the
result) and ``queue`` (until a worker took the turn). A turn that its caller abandoned says nothing about the AI, but
what its engines used was used; a usage that cannot be counts as none. Everything is whole numbers, so that adding and
taking away again leaves nothing behind, and small enough that no sum outgrows its column.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from hdrh.histogram import HdrHistogram

from ai_engine.messages import StageTiming, Usage
from esl_bridge.journal.events import TurnOutcome

ANSWER, QUEUE = "answer", "queue"
# The kind under which a turn counts that brought no result; the incident says more.
NO_RESULT = "no_result"
# Up to a minute; what takes longer counts as a minute. Three digits: exact to the millisecond up to two seconds.
HISTOGRAM_TOP_MS = 60_000
HISTOGRAM_DIGITS = 3
MEASURES = ("total", "first_byte", "queue", "connect")
COUNTERS = ("uses", "retries", "tokens_read", "tokens_cached", "tokens_written", "characters", "heard_ms", "cost_nano")
NANO = 1_000_000_000
# Of one stage of one turn. No retry comes near the first, and no currency is worth so little that a turn costs the second.
MOST_RETRIES = 1000
MOST_COST = 1_000_000
NOTHING = Usage()


class By(NamedTuple):
    """Who did what: ``engine`` is empty where a cache answered, and for ``answer`` and ``queue``."""

    stage: str
    engine: str = ""
    cache: str = ""


def histogram() -> HdrHistogram:
    return HdrHistogram(1, HISTOGRAM_TOP_MS, HISTOGRAM_DIGITS, b64_wrap=False)


def record(into: HdrHistogram, value_ms: float, times: int = 1) -> None:
    """What is no number is left out."""
    if not math.isnan(value_ms):
        into.record_value(round(min(max(0.0, value_ms), HISTOGRAM_TOP_MS)), times)


@dataclass(slots=True)
class Tally:
    """Of one :class:`By` in some span of time. ``kinds``: failures by kind; ``histograms`` by the names in MEASURES."""

    uses: int = 0
    retries: int = 0
    tokens_read: int = 0
    tokens_cached: int = 0
    tokens_written: int = 0
    characters: int = 0
    heard_ms: int = 0
    cost_nano: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, HdrHistogram] = field(default_factory=dict)

    @property
    def failures(self) -> int:
        return sum(self.kinds.values())

    @property
    def answers(self) -> int:
        return self.uses - self.failures

    def count(self, kind: str, times: Mapping[str, float | None], sign: int = 1) -> None:
        """One use; ``sign`` is -1 to take one away that was counted before."""
        self.uses += sign
        if kind:
            self.kinds[kind] = self.kinds.get(kind, 0) + sign
            if not self.kinds[kind]:
                del self.kinds[kind]
            return
        for name, value_ms in times.items():
            if value_ms is not None:
                record(self.of(name), value_ms, sign)

    def count_stage(self, timing: StageTiming, sign: int = 1) -> None:
        times = {
            "total": timing.total_ms, "first_byte": timing.first_byte_ms,
            "queue": timing.queue_ms, "connect": timing.connect_ms,
        }  # fmt: skip
        self.count(timing.kind, times, sign)
        self.retries += sign * min(max(0, timing.attempts - 1), MOST_RETRIES)
        # Asked again here: a journal may hold what a worker of before took from an engine, or another one wrote.
        usage, cost = (timing.usage, timing.cost) if timing.usage.is_credible else (NOTHING, 0.0)
        self.tokens_read += sign * usage.tokens_read
        self.tokens_cached += sign * usage.tokens_cached
        self.tokens_written += sign * usage.tokens_written
        self.characters += sign * usage.characters
        self.heard_ms += sign * round(usage.heard_s * 1000)
        self.cost_nano += sign * (round(cost * NANO) if abs(cost) <= MOST_COST else 0)

    def merge(self, other: Tally) -> None:
        for name in COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, count in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        for name, theirs in other.histograms.items():
            self.of(name).add(theirs)

    def of(self, measure: str) -> HdrHistogram:
        if measure not in self.histograms:
            self.histograms[measure] = histogram()
        return self.histograms[measure]

    def encoded(self, measure: str) -> bytes:
        found = self.histograms.get(measure)
        return b"" if found is None or not found.get_total_count() else bytes(found.encode())

    def add_encoded(self, measure: str, data: bytes | memoryview) -> None:
        if data:
            self.of(measure).add(HdrHistogram.decode(bytes(data), b64_wrap=False))


Tallies = dict[tuple[datetime, By], Tally]


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What of a turn's row counts. ``stages`` as the row holds them."""

    finished_at: datetime
    outcome: str
    answer_ms: float | None
    queue_ms: float | None
    stages: list[dict[str, Any]]


def tally(turns: Iterable[TurnResult], span_s: int) -> Tallies:
    """By the beginning of the span in which each turn finished."""
    found: Tallies = {}
    count_into(found, turns, span_s)
    return found


def count_into(tallies: Tallies, turns: Iterable[TurnResult], span_s: int, sign: int = 1) -> set[tuple[datetime, By]]:
    """Count them, or with -1 take them away where they were counted; which tallies changed.

    (hdrhistogram cannot subtract one histogram from another; it can take away a value.)
    """
    changed = set()
    for turn in turns:
        start = floor(turn.finished_at, span_s)
        for by, add in _parts(turn):
            add(tallies.setdefault((start, by), Tally()), sign)
            changed.add((start, by))
    return changed


def floor(at: datetime, span_s: int) -> datetime:
    """The beginning of its span; spans begin at whole multiples since 1970, on every machine alike."""
    seconds = int(at.timestamp())
    return datetime.fromtimestamp(seconds - seconds % span_s, tz=UTC)


def percentiles(of: HdrHistogram | None) -> tuple[float | None, float | None, float | None, int]:
    """P50, P95, P99 in milliseconds, and of how many; None when there was nothing to measure."""
    if of is None or not of.get_total_count():
        return None, None, None, 0
    found = of.get_percentile_to_value_dict([50, 95, 99])
    return float(found[50]), float(found[95]), float(found[99]), int(of.get_total_count())


def timings(stages: object) -> tuple[StageTiming, ...]:
    """Of a row's ``stages``. What a later version wrote in a form unknown here is left out whole, here and everywhere."""
    try:
        return msgspec.convert(stages, tuple[StageTiming, ...])
    except msgspec.ValidationError:
        return ()


# --- Inside ---


class _Adder(NamedTuple):
    kind: str
    total_ms: float | None

    def __call__(self, into: Tally, sign: int) -> None:
        into.count(self.kind, {"total": self.total_ms}, sign)


class _StageAdder(NamedTuple):
    timing: StageTiming

    def __call__(self, into: Tally, sign: int) -> None:
        into.count_stage(self.timing, sign)


def _parts(turn: TurnResult) -> Iterator[tuple[By, _Adder | _StageAdder]]:
    if turn.outcome == TurnOutcome.FAILED.value:
        yield By(ANSWER), _Adder(NO_RESULT, None)
    elif turn.outcome != TurnOutcome.ABANDONED.value and turn.answer_ms is not None:
        yield By(ANSWER), _Adder("", turn.answer_ms)
    if turn.queue_ms is not None:
        yield By(QUEUE), _Adder("", turn.queue_ms)
    for timing in timings(turn.stages):
        yield By(timing.stage[:32], timing.engine[:64], timing.cache[:64]), _StageAdder(timing)
