"""How fast the AI answers: one reading of the tallies that page, metrics and ``manage.py figures`` share.

Owns the windows and what is derived from counts: percentiles, shares, cost. Adding up is ``tally.py``'s, reading without
a mixture ``tallies.py``'s. Windows begin at a whole span, and say when: what is shown since then is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils import timezone

from console.figures import Percentiles
from console.tallies import FIVE_MINUTES_S, HOUR_S, read
from console.tally import ANSWER, NANO, QUEUE, By, Tally, floor, percentiles

ORDER = (ANSWER, QUEUE, "stt", "nlu", "tts")
NOTHING = Percentiles(None, None, None, 0)


class Window(StrEnum):
    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"


# How far back, and the spans that are read for it: 12, 24 and 168 of them.
SPANS = {
    Window.HOUR: (timedelta(hours=1), FIVE_MINUTES_S),
    Window.DAY: (timedelta(days=1), HOUR_S),
    Window.WEEK: (timedelta(days=7), HOUR_S),
}


@dataclass(frozen=True, slots=True)
class StageSpeed:
    """``uses``: answers and failures together. Times are those of the answers. ``queue``: waited for a place at the engine."""

    by: By
    uses: int
    failures: Mapping[str, int]
    retries: int
    total: Percentiles
    first_byte: Percentiles
    queue: Percentiles
    connect: Percentiles

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def answers(self) -> int:
        return self.uses - self.failed


@dataclass(frozen=True, slots=True)
class Consumption:
    """What an engine used. ``tokens_read`` includes ``tokens_cached``; ``cost`` in the operator's currency."""

    by: By
    uses: int
    tokens_read: int
    tokens_cached: int
    tokens_written: int
    characters: int
    heard_s: float
    cost: float


@dataclass(frozen=True, slots=True)
class CacheUse:
    """``hits`` of the stage's ``answers`` came from the cache."""

    stage: str
    cache: str
    hits: int
    answers: int

    @property
    def share(self) -> float:
        return self.hits / self.answers if self.answers else 0.0


@dataclass(frozen=True, slots=True)
class Point:
    start: datetime
    times: Percentiles


@dataclass(frozen=True, slots=True)
class Speed:
    """``stages`` since ``since``; ``today`` since ``today_since`` (local midnight). ``points``: of ``shown``, span by span."""

    window: Window
    since: datetime
    until: datetime
    span_s: int
    today_since: datetime
    stages: list[StageSpeed]
    caches: list[CacheUse]
    today: list[Consumption]
    shown: By
    points: list[Point]


def speed(window: Window = Window.HOUR, shown: By | None = None, now: datetime | None = None) -> Speed:
    """Five queries. Raises what the database raises, and :class:`console.tallies.MixedReadingError`."""
    now = now or timezone.now()
    shown = shown or By(ANSWER)
    back, span_s = SPANS[window]
    since = floor(now - back, span_s)
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    found = read(since, span_s, shown, midnight)
    starts = [since + timedelta(seconds=span_s * step) for step in range(int((now - since).total_seconds()) // span_s + 1)]
    return Speed(
        window=window,
        since=since,
        until=now,
        span_s=span_s,
        today_since=midnight,
        stages=[_stage(by, found.whole[by]) for by in sorted(found.whole, key=_place)],
        caches=_caches(found.whole),
        today=[_consumption(by, found.sums[by]) for by in sorted(found.sums, key=_place) if by.engine],
        shown=shown,
        points=[Point(start, _times(found.spans.get(start), "total")) for start in starts],
    )


# --- Inside ---


def _place(by: By) -> tuple[int, By]:
    return (ORDER.index(by.stage) if by.stage in ORDER else len(ORDER)), By(by.stage, by.cache, by.engine)


def _times(tally: Tally | None, measure: str) -> Percentiles:
    return NOTHING if tally is None else Percentiles(*percentiles(tally.histograms.get(measure)))


def _stage(by: By, tally: Tally) -> StageSpeed:
    return StageSpeed(
        by, tally.uses, dict(sorted(tally.kinds.items())), tally.retries,
        *(_times(tally, name) for name in ("total", "first_byte", "queue", "connect")),
    )  # fmt: skip


def _consumption(by: By, tally: Tally) -> Consumption:
    return Consumption(
        by, tally.uses, tally.tokens_read, tally.tokens_cached, tally.tokens_written, tally.characters,
        tally.heard_ms / 1000, tally.cost_nano / NANO,
    )  # fmt: skip


def _caches(whole: Mapping[By, Tally]) -> list[CacheUse]:
    answers: dict[str, int] = {}
    for by, tally in whole.items():
        answers[by.stage] = answers.get(by.stage, 0) + tally.answers
    return [
        CacheUse(by.stage, by.cache, whole[by].answers, answers[by.stage]) for by in sorted(whole, key=_place) if by.cache
    ]
