"""Drills: begun and ended by operators, and what came of each, from the records.

Owns the orders and the report. What a drill does to calls is ``ai_engine.drills``'; it ends by its key's expiry, whatever
becomes of the console. The report is computed until every call it met is settled, and kept then.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from ai_engine.drills import store
from ai_engine.drills.drill import Drill as Wanted
from ai_engine.drills.drill import Failure, Scope, check, recovery_s
from ai_engine.drills.errors import DrillError, DrillsUnreachableError
from ai_engine.engine_store import stored_engines
from ai_engine.engines.config import Stage
from console.drill_figures import count
from console.models import Drill, OperatorAction
from console.spools import records_lag

log = structlog.get_logger(__name__)

PASSED, FAILED, NOT_MET, NOT_KNOWN, NEVER_BEGAN = "passed", "failed", "not_met", "not_known", "never_began"
# The promise: beyond a turn's budget a caller hears nothing for half a second at most.
ALLOWANCE_MS = 500
# Redis takes it in a moment, or within its client's time-outs; a row without its drill after that never had one.
BEGINS_WITHIN = timedelta(seconds=30)
# The last turns that it met may still be on their way to a spool or the stream, from where on it is known that they wait.
ON_THE_WAY = timedelta(seconds=5)
# An incident of a call that nobody sees the end of is settled by the look-up of orphans long before, while it can ask.
SETTLES_WITHIN = timedelta(minutes=15)
# A bridge that is cut off tells of its calls when it is back: a verdict from before that is corrected, for so long.
LATE_NEWS = timedelta(hours=1)
# What settling changes; never what an operator's order does at the same moment.
FIGURES = (
    "calls", "failed_over", "dropped", "recovered", "unsettled", "sent_straight", "silence_p50_ms", "silence_most_ms",
    "silence_budget_ms", "open_after_s", "closed_after_s", "verdict", "settled_at",
)  # fmt: skip


def begin(failure: Failure, stage: Stage, scope: Scope, *, percent: int, duration_s: int, user: str, why: str = "") -> Drill:
    """Stored first, then put where workers read it. Raises :class:`DrillError`; nothing has begun then, or (Redis did not
    answer) what may have begun is found by :func:`settle`."""
    now = timezone.now()
    open_s = [one.open_s or settings.LIFELINE_CIRCUIT_OPEN_S for one in stored_engines() if one.stage is stage]
    wanted = Wanted(
        uuid.uuid4().hex[:8], failure, stage, scope, percent if scope is Scope.PERCENT else 0, duration_s,
        recovery_s(max(open_s, default=0.0)), user, time.time(),
    )  # fmt: skip
    check(wanted)
    drill = Drill.objects.create(
        drill_id=wanted.drill_id, failure=failure.value, stage=stage.value, scope=scope.value, percent=wanted.percent,
        duration_s=duration_s, recovery_s=wanted.recovery_s, user=user, why=why, asked_at=now,
    )  # fmt: skip
    try:
        store.start(settings.LIFELINE_REDIS_DURABLE_URL, wanted)
    except DrillsUnreachableError:
        raise
    except DrillError:
        drill.delete()
        raise
    _has_begun(drill, wanted)
    _remember(user, "drill begun", drill, why)
    return drill


def end(drill_id: str, user: str) -> bool:
    """At once, its circuits included. False when it was over already. Raises DrillsUnreachableError."""
    if not store.end(settings.LIFELINE_REDIS_DURABLE_URL, drill_id):
        return False
    for drill in Drill.objects.filter(drill_id=drill_id):
        drill.ended_by, drill.over_at = user, timezone.now()
        drill.save(update_fields=["ended_by", "over_at"])
        _remember(user, "drill ended", drill, "")
    return True


def settle(now: datetime) -> None:
    """Brings up to date every drill that is not settled, or was lately. Once more changes nothing. With Redis away: not now."""
    _correct(list(Drill.objects.filter(settled_at__gt=now - LATE_NEWS, began_at__isnull=False)))
    waiting = list(Drill.objects.filter(settled_at=None))
    if not waiting:
        return
    try:
        running = store.current(settings.LIFELINE_REDIS_DURABLE_URL)
    except DrillsUnreachableError:
        return
    lag = records_lag()
    for drill in waiting:
        is_running = running is not None and running.drill.drill_id == drill.drill_id
        if running is not None and is_running and drill.began_at is None:
            _has_begun(drill, running.drill)
        _settle(drill, now, is_running=is_running, lag=lag)


def silence_limit_ms(drill: Drill) -> int:
    return drill.silence_budget_ms + ALLOWANCE_MS


def before(drills: Sequence[Drill]) -> dict[int, Drill]:
    """Of each, by its key, the last one of the same kind that met calls, to compare with. Two queries."""
    same = {name: OuterRef(name) for name in ("failure", "stage", "scope", "percent")}
    older = Drill.objects.filter(**same, asked_at__lt=OuterRef("asked_at"), verdict__in=(PASSED, FAILED)).order_by("-asked_at")
    wanted = Drill.objects.filter(pk__in=[drill.pk for drill in drills])
    pairs = wanted.annotate(older=Subquery(older.values("pk")[:1])).filter(older__isnull=False).values_list("pk", "older")
    found = Drill.objects.in_bulk([pk for _, pk in pairs])
    return {pk: found[older_pk] for pk, older_pk in pairs if older_pk in found}


# --- inside -----------------------------------------------------------------------------------------------------------
def _has_begun(drill: Drill, wanted: Wanted) -> None:
    drill.began_at = datetime.fromtimestamp(wanted.began, tz=UTC)
    drill.ends_at = drill.began_at + timedelta(seconds=wanted.duration_s)
    drill.save(update_fields=["began_at", "ends_at"])


def _settle(drill: Drill, now: datetime, *, is_running: bool, lag: timedelta | None) -> None:
    if drill.began_at is None or drill.ends_at is None:
        if now - drill.asked_at > BEGINS_WITHIN:
            drill.verdict, drill.settled_at = NEVER_BEGAN, now
            drill.save(update_fields=["verdict", "settled_at"])
        return
    count([drill])
    if not is_running:
        if drill.over_at is None:
            drill.over_at = min(now, drill.ends_at + timedelta(seconds=drill.recovery_s))
            Drill.objects.filter(pk=drill.pk, over_at=None).update(over_at=drill.over_at)
        drill.verdict = verdict_of(drill)
        since = now - drill.over_at
        is_recorded = lag is not None and since > ON_THE_WAY + lag
        if is_recorded and (not drill.unsettled or since > SETTLES_WITHIN):
            drill.settled_at = now
    drill.save(update_fields=FIGURES)


def _correct(lately: Sequence[Drill]) -> None:
    """Those of which the records say something else since: a bridge that was cut off has told, a failure was settled."""
    before = [_figures(drill) for drill in lately]
    count(lately)
    for drill, figures in zip(lately, before, strict=True):
        drill.verdict = verdict_of(drill)
        if _figures(drill) != figures:
            drill.save(update_fields=FIGURES)


def _figures(drill: Drill) -> list[object]:
    return [getattr(drill, name) for name in FIGURES]


def verdict_of(drill: Drill) -> str:
    """By what is known: no call lost, and nobody in silence for longer than promised."""
    if not drill.calls:
        return NOT_MET
    if drill.dropped or was_silent_too_long(drill):
        return FAILED
    return NOT_KNOWN if drill.unsettled else PASSED


def was_silent_too_long(drill: Drill) -> bool:
    """Where the silence that was longest by its own flow's budget, and that budget, are known."""
    known = drill.silence_most_ms is not None and drill.silence_budget_ms > 0
    return known and (drill.silence_most_ms or 0.0) > silence_limit_ms(drill)


def _remember(user: str, what: str, drill: Drill, why: str) -> None:
    target = f"{drill.stage} {drill.failure}, {drill.scope} {drill.percent or ''}".strip()
    OperatorAction.objects.create(user=user, what=what, target=target, why=why, until=drill.ends_at, at=timezone.now())
