"""The tallies in the database: finished turns are put into them once, and they are read together with what is not in yet.

Owns when a turn is in (``Turn.is_tallied``, changed in the same transaction as the tallies), what is kept how long, and
a reading that is no mixture of before and after. What counts as what is ``tally.py``'s. Only the recorder's process
puts in and takes out; whoever reads waits for nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, Sum

from console.models import RecorderPosition, StageTally, TallyRound, Turn
from console.tally import COUNTERS, MEASURES, By, Tally, TurnResult, count_into, floor, tally
from esl_bridge.journal.events import JOURNAL_STREAM

FIVE_MINUTES_S, HOUR_S = 300, 3600
# Every zone's midnight is a whole number of five minutes from UTC's, so today is read from these; two days hold the longest
# day and the one before it. By the hour: a quarter, to compare one month with another.
KEPT = {FIVE_MINUTES_S: timedelta(days=2), HOUR_S: timedelta(days=92)}
# One transaction, during which nothing else is written on SQLite: a fifth of a second (measured, five parts a turn).
MOST_TURNS = 300
# A round every five seconds at most, unless it catches up; a reading takes milliseconds.
READ_TRIES = 5
FIELDS = ("finished_at", "outcome", "answer_ms", "queue_ms", "stages")
NOT_IN_YET = Q(is_tallied=False, finished_at__isnull=False)


class MixedReadingError(Exception):
    """Turns went into the tallies at every try: a recorder is catching up."""


@dataclass(frozen=True, slots=True)
class Reading:
    """``whole``: of everything since the beginning. ``spans``: of one, span by span, its totals only: a histogram is 57 KB.

    ``sums``: the counters since another beginning, without histograms and kinds.
    """

    whole: dict[By, Tally]
    spans: dict[datetime, Tally]
    sums: dict[By, Tally]


def tally_turns() -> int:
    """Put in what has finished, MOST_TURNS at most; how many. Doing it again changes nothing."""
    if not Turn.objects.filter(NOT_IN_YET).exists():
        return 0
    with transaction.atomic():
        # The recorder's own lock: of two recorders, one waits.
        RecorderPosition.objects.select_for_update().filter(stream=JOURNAL_STREAM).first()
        turns = list(Turn.objects.filter(NOT_IN_YET).order_by("finished_at").only("pk", *FIELDS)[:MOST_TURNS])
        results = [result_of(turn) for turn in turns]
        for span_s in KEPT:
            _change(span_s, results, 1)
        Turn.objects.filter(pk__in=[turn.pk for turn in turns]).update(is_tallied=True)
        _next_round()
    return len(turns)


def take_back(results: Collection[TurnResult]) -> None:
    """What was put in and is told anew. Inside the transaction that changes the turns."""
    if not results:
        return
    for span_s in KEPT:
        _change(span_s, results, -1)
    _next_round()


def result_of(turn: Turn) -> TurnResult:
    assert turn.finished_at is not None
    return TurnResult(turn.finished_at, turn.outcome, turn.answer_ms, turn.queue_ms, list(turn.stages))


def read(since: datetime, span_s: int, shown: By, sums_since: datetime) -> Reading:
    """Both beginnings at whole spans, the second at five minutes. Five queries. Raises :class:`MixedReadingError`."""
    for _ in range(READ_TRIES):
        before = _round()
        whole, spans = _stored(span_s, since, shown)
        sums = _stored_sums(sums_since)
        rows = Turn.objects.filter(NOT_IN_YET, finished_at__gte=min(since, sums_since)).values_list(*FIELDS)
        waiting = [TurnResult(*row) for row in rows]
        if _round() == before:
            break
    else:
        raise MixedReadingError
    for (start, by), one in tally([turn for turn in waiting if turn.finished_at >= since], span_s).items():
        whole.setdefault(by, Tally()).merge(one)
        if by == shown:
            spans.setdefault(start, Tally()).merge(one)
    for (_, by), one in tally([turn for turn in waiting if turn.finished_at >= sums_since], FIVE_MINUTES_S).items():
        one.histograms.clear()
        one.kinds.clear()
        sums.setdefault(by, Tally()).merge(one)
    return Reading(whole, spans, sums)


def prune(now: datetime) -> int:
    """Delete what is older than it is kept; how many rows."""
    return sum(
        StageTally.objects.filter(span_s=span_s, start__lt=now - kept - timedelta(seconds=span_s)).delete()[0]
        for span_s, kept in KEPT.items()
    )


# --- Inside ---


def _change(span_s: int, results: Iterable[TurnResult], sign: int) -> None:
    starts = {floor(result.finished_at, span_s) for result in results}
    rows = {
        (row.start, By(row.stage, row.engine, row.cache)): row
        for row in StageTally.objects.select_for_update().filter(span_s=span_s, start__in=starts)
    }
    whole = {key: _add_row(Tally(), row) for key, row in rows.items()}
    changed = [(key, rows.get(key), whole[key]) for key in count_into(whole, results, span_s, sign)]
    StageTally.objects.filter(pk__in=[row.pk for _, row, now in changed if row is not None and now.uses <= 0]).delete()
    # A tally that is below zero was pruned already.
    new = [_row(StageTally(start=at, span_s=span_s), by, now) for (at, by), row, now in changed if row is None and now.uses > 0]
    StageTally.objects.bulk_create(new)
    old = [_row(row, by, now) for (_, by), row, now in changed if row is not None and now.uses > 0]
    StageTally.objects.bulk_update(old, [*COUNTERS, *MEASURES, "kinds"])


def _row(row: StageTally, by: By, whole: Tally) -> StageTally:
    row.stage, row.engine, row.cache = by
    row.kinds = whole.kinds
    for name in COUNTERS:
        setattr(row, name, getattr(whole, name))
    for name in MEASURES:
        setattr(row, name, whole.encoded(name))
    return row


def _add_row(into: Tally, row: StageTally, measures: Collection[str] = MEASURES) -> Tally:
    for name in COUNTERS:
        setattr(into, name, getattr(into, name) + getattr(row, name))
    for kind, count in row.kinds.items():
        into.kinds[kind] = into.kinds.get(kind, 0) + count
    for name in measures:
        into.add_encoded(name, getattr(row, name))
    return into


def _stored(span_s: int, since: datetime, shown: By) -> tuple[dict[By, Tally], dict[datetime, Tally]]:
    whole: dict[By, Tally] = {}
    spans: dict[datetime, Tally] = {}
    for row in StageTally.objects.filter(span_s=span_s, start__gte=since).iterator():
        by = By(row.stage, row.engine, row.cache)
        _add_row(whole.setdefault(by, Tally()), row)
        if by == shown:
            _add_row(spans.setdefault(row.start, Tally()), row, ("total",))
    return whole, spans


def _stored_sums(since: datetime) -> dict[By, Tally]:
    rows = StageTally.objects.filter(span_s=FIVE_MINUTES_S, start__gte=since).order_by().values_list("stage", "engine", "cache")
    found = {}
    for stage, engine, cache, *sums in rows.annotate(**{f"sum_{name}": Sum(name) for name in COUNTERS}):
        one = found[By(stage, engine, cache)] = Tally()
        for name, value in zip(COUNTERS, sums, strict=True):
            setattr(one, name, int(value))
    return found


def _round() -> int:
    return TallyRound.objects.values_list("number", flat=True).first() or 0


def _next_round() -> None:
    one, _ = TallyRound.objects.get_or_create(pk=1)
    TallyRound.objects.filter(pk=one.pk).update(number=F("number") + 1)
