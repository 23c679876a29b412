"""The figures: one function that page, metrics and ``manage.py figures`` share, so that they always agree.

Calls come from the database, circuits and workers from Redis. What cannot be known is None, never a guess.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, Sum
from django.utils import timezone
from hdrh.histogram import HdrHistogram

from ai_engine.circuits import operators
from ai_engine.circuits.errors import CircuitError
from ai_engine.circuits.guard import turns_name
from ai_engine.circuits.states import CircuitView
from ai_engine.engine_store import shown_engines
from ai_engine.engines.config import EngineConfig
from ai_engine.heartbeats import workers_seen
from ai_engine.redis_clients import connect
from ai_engine.turn_queue import turns_waiting
from console.models import Call, Incident, Turn
from console.record_lag import recording_lag_s
from console.spools import SpoolRow, events_lost, spools
from esl_bridge.journal.events import FallbackReason, Mode, Outcome, TurnOutcome

STRAIGHT = (
    FallbackReason.NO_ENGINE.value, FallbackReason.FORCED.value,
    FallbackReason.TURNS_OPEN.value, FallbackReason.SHED.value,
)  # fmt: skip
WITH_RESULT = (TurnOutcome.UNDERSTOOD.value, TurnOutcome.NOT_UNDERSTOOD.value)
LATENCY_MINUTES = 15
# Over a long weekend somebody looks again. What is recorded later still is in the metric that never begins anew.
DAYS_BEFORE = 7
# A page is rendered up to four times a second, and 100,000 answers take a quarter of a second to read: from so many on, what
# was read serves all that this process shows for some seconds. Fewer are read each time.
MANY_ANSWERS = 2_000
KEPT_FOR = timedelta(seconds=5)
# An answer takes milliseconds to seconds; three digits keep a percent's precision over a minute's range.
HISTOGRAM_RANGE_MS = (1, 60_000)
HISTOGRAM_DIGITS = 3


TURNS_PREFIX = turns_name("")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; None when there was nothing to measure."""

    p50: float | None
    p95: float | None
    p99: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the answers in the LATENCY_MINUTES before ``at``. ``series``: by minute, with P50 and P95 in milliseconds."""

    at: datetime
    whole: Percentiles
    series: list[tuple[datetime, float | None, float | None]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Calls that began, or failures that happened, since ``since`` (today, local midnight); live ones whenever they began.

    ``ai_failures_dropped_before``: calls lost in the seven days before today, since a caller lost before midnight may be recorded
    after it. ``ai_failures_dropped_ever``: all that are recorded; it does not begin anew at midnight.
    ``bridges``: those that reported within three seconds. ``live_unwatched``: live calls that were last with another one, so that
    what is known of them is old; 0 while the bridges are not known.
    ``disabled_engines``: name and stage, in order. ``engine_problems``: workers that do not use the newest engines, and why.
    ``worker_namesakes``: names that two workers have who live.
    ``recording_lag_s``: how long the oldest journal entry waits to be recorded. Beyond a second or two all the figures are
    older than they seem. ``spools``: how full they are, None when that cannot be asked. ``journal_events_lost``: events for which
    there was no room, so that the other figures lack them. ``answer_ms`` and ``latency_series`` are up to KEPT_FOR old from
    MANY_ANSWERS on.
    """

    since: datetime
    live_calls: int
    live_in_fallback: int
    live_unwatched: int
    ai_failures_failed_over: int
    ai_failures_dropped: int
    ai_failures_dropped_before: int
    ai_failures_dropped_ever: int
    ai_failures_recovered: int
    ai_failures_open: int
    sent_straight_to_menu: int
    calls_total: int
    calls_ended: int
    served_by_ai: int
    served_by_menu: int
    not_understood: int
    answer_ms: Percentiles
    latency_series: list[tuple[datetime, float | None, float | None]]
    circuits: list[CircuitView] | None
    workers: list[tuple[str, int, int]] | None
    turns_waiting: int | None
    bridges: list[str] | None
    recording_lag_s: float | None
    spools: list[SpoolRow] | None
    journal_events_lost: int
    disabled_engines: list[tuple[str, str]]
    engine_problems: list[tuple[str, str]]
    worker_namesakes: list[str]


def figures(now: datetime | None = None) -> Figures:
    """Seven queries and five questions to Redis. Raises what the database raises."""
    now = now or timezone.now()
    since = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    engines = shown_engines()
    circuits = _circuits(engines.enabled)
    bridges = bridges_among(circuits)
    workers = workers_seen(settings.LIFELINE_REDIS_VOLATILE_URL)
    calls = _calls(since, bridges)
    latency = latency_reading.at(now)
    return Figures(
        since=since, **calls, answer_ms=latency.whole, latency_series=latency.series,
        circuits=circuits, turns_waiting=waiting_turns(), bridges=bridges, recording_lag_s=recording_lag_s(),
        spools=spools(bridges), journal_events_lost=events_lost(since),
        workers=None if workers is None else [(name, beat.turns, beat.capacity) for name, beat in workers],
        disabled_engines=[(one.name, one.stage.value) for one in engines.disabled],
        engine_problems=[(name, beat.engines_problem) for name, beat in workers or () if beat.engines_problem],
        worker_namesakes=[name for name, beat in workers or () if beat.has_namesake],
    )  # fmt: skip


def bridges_alive() -> list[str] | None:
    """The bridges that reported within three seconds; None when Redis cannot be asked."""
    return bridges_among(_circuits(()))


def bridges_among(circuits: list[CircuitView] | None) -> list[str] | None:
    """Each bridge has a circuit of its own, which it reports as long as it lives."""
    if circuits is None:
        return None
    return [view.name.removeprefix(TURNS_PREFIX) for view in circuits if view.name.startswith(TURNS_PREFIX)]


def unwatched(bridges: list[str] | None) -> Q:
    """Live calls whose bridge is gone, and that no person and no menu of the switch's is known to have."""
    gone = Q(pk__isnull=True) if bridges is None else ~Q(bridge_id__in=["", *bridges])
    return Q(ended_at__isnull=True) & gone & ~Q(mode__in=(Mode.AGENT.value, Mode.LAST_RESORT.value))


def is_unwatched(call: Call, bridges: list[str] | None) -> bool:
    """The same of one call."""
    seen = call.mode in (Mode.AGENT.value, Mode.LAST_RESORT.value)
    return bridges is not None and call.bridge_id not in ("", *bridges) and not seen and call.ended_at is None


def _calls(since: datetime, bridges: list[str] | None) -> dict[str, int]:
    live = Q(ended_at__isnull=True)
    today = Q(started_at__gte=since)
    in_fallback = Q(mode__in=(Mode.FALLBACK.value, Mode.LAST_RESORT.value)) | Q(mode=Mode.AGENT.value, fell_back_at__isnull=False)
    own_incident = Exists(Incident.objects.filter(call=OuterRef("pk")))
    found = Call.objects.annotate(own_incident=own_incident).filter(today | live).aggregate(
        live_calls=Count("pk", filter=live),
        live_in_fallback=Count("pk", filter=live & in_fallback),
        live_unwatched=Count("pk", filter=unwatched(bridges)),
        sent_straight_to_menu=Count("pk", filter=today & Q(fell_back_reason__in=STRAIGHT, own_incident=False)),
        calls_total=Count("pk", filter=today),
        calls_ended=Count("pk", filter=today & ~live),
        served_by_ai=Sum("served_by_ai", filter=today),
        served_by_menu=Sum("served_by_menu", filter=today),
        not_understood=Count("pk", filter=today & Q(fell_back_reason=FallbackReason.NOT_UNDERSTOOD.value)),
    )
    return {name: int(value or 0) for name, value in {**found, **_failed_calls(since), **_lost_before(since)}.items()}


def _failed_calls(since: datetime) -> dict[str, int]:
    """By the incidents' own time, not the calls': who rang before midnight and was lost after it is lost today.

    From the incidents' side, because asking each of 50,000 calls for its incidents took a fifth of a second at every push.
    """
    of_today = Incident.objects.filter(Q(opened_at__gte=since) | Q(closed_at__gte=since) | Q(outcome="")).order_by()
    by_call = of_today.values("call_id").annotate(
        dropped=Count("pk", filter=Q(outcome=Outcome.DROPPED.value)),
        failed_over=Count("pk", filter=Q(outcome=Outcome.FAILED_OVER.value)),
        recovered=Count("pk", filter=Q(outcome=Outcome.RECOVERED.value)),
        unsettled=Count("pk", filter=Q(outcome="")),
    )
    kept = Q(failed_over__gt=0, dropped=0)
    return by_call.aggregate(
        ai_failures_failed_over=Count("call_id", filter=kept),
        ai_failures_dropped=Count("call_id", filter=Q(dropped__gt=0)),
        ai_failures_recovered=Count("call_id", filter=Q(recovered__gt=0, failed_over=0, dropped=0)),
        ai_failures_open=Count("call_id", filter=Q(unsettled__gt=0)),
    )


def _lost_before(since: datetime) -> dict[str, int]:
    """Also what is not of today. Of callers who were lost, so this reads few rows."""
    first = since - timedelta(days=DAYS_BEFORE)
    before = Q(opened_at__gte=first) | Q(closed_at__gte=first)
    of_today = Q(opened_at__gte=since) | Q(closed_at__gte=since, closed_at__isnull=False)
    return Incident.objects.filter(outcome=Outcome.DROPPED.value).order_by().aggregate(
        ai_failures_dropped_before=Count("call_id", distinct=True, filter=before & ~of_today),
        ai_failures_dropped_ever=Count("call_id", distinct=True),
    )


class LatencyReading:
    """This process' last one. Two threads may both read anew; either is right."""

    def __init__(self) -> None:
        self._kept: Latency | None = None

    def at(self, now: datetime) -> Latency:
        kept = self._kept
        if kept is None or kept.whole.count < MANY_ANSWERS or not timedelta() <= now - kept.at < KEPT_FOR:
            self._kept = kept = _read_latency(now)
        return kept

    def forget(self) -> None:
        self._kept = None


latency_reading = LatencyReading()


def _read_latency(now: datetime) -> Latency:
    since = now - timedelta(minutes=LATENCY_MINUTES)
    rows = Turn.objects.filter(finished_at__gte=since, outcome__in=WITH_RESULT, answer_ms__isnull=False)
    by_minute: dict[datetime, HdrHistogram] = defaultdict(_histogram)
    for at, answer_ms in rows.values_list("finished_at", "answer_ms"):
        if at is None or answer_ms is None:
            continue
        by_minute[at.replace(second=0, microsecond=0)].record_value(max(1, round(answer_ms)))
    whole = _histogram()
    for histogram in by_minute.values():
        whole.add(histogram)
    first = since.replace(second=0, microsecond=0)
    minutes = [first + timedelta(minutes=step) for step in range(LATENCY_MINUTES + 1)]
    series = [(minute, _at(by_minute.get(minute), 50), _at(by_minute.get(minute), 95)) for minute in minutes]
    return Latency(now, Percentiles(_at(whole, 50), _at(whole, 95), _at(whole, 99), whole.get_total_count()), series)


def _histogram() -> HdrHistogram:
    return HdrHistogram(*HISTOGRAM_RANGE_MS, HISTOGRAM_DIGITS)


def _at(histogram: HdrHistogram | None, percentile: float) -> float | None:
    if histogram is None or not histogram.get_total_count():
        return None
    return float(histogram.get_value_at_percentile(percentile))


def _circuits(engines: Sequence[EngineConfig]) -> list[CircuitView] | None:
    try:
        return operators.views(settings.LIFELINE_REDIS_DURABLE_URL, engines)
    except (CircuitError, redis.RedisError, OSError):
        return None


def waiting_turns() -> int | None:
    """Turns that no worker has taken yet: more of them than for a moment, and there are too few workers."""
    try:
        with connect(settings.LIFELINE_REDIS_VOLATILE_URL) as client:
            return turns_waiting(client)
    except (redis.RedisError, OSError):
        return None
