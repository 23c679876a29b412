"""What the records say of drills: the calls each met and what became of them, silence, and when its circuits moved.

Owns the counting, of any number of drills in six queries. Verdicts are ``console/drills.py``'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from ai_engine.drills.drill import CIRCUIT_PREFIX
from callflows.definition.errors import BadSnapshot
from callflows.models import FlowVersion
from console.models import Call, CircuitMove, Drill, Incident, Turn
from esl_bridge.journal.events import Outcome

log = structlog.get_logger(__name__)

WORST_FIRST = (Outcome.DROPPED.value, "", Outcome.FAILED_OVER.value, Outcome.RECOVERED.value)
# A call may have begun so long before the drill that sent it to the menu.
BEGAN_BEFORE = timedelta(hours=1)

Version = tuple[str, int]


class Met(NamedTuple):
    """One incident of a drill."""

    call: int
    outcome: str
    silence_ms: float | None
    version: Version


def count(drills: Sequence[Drill]) -> None:
    """Sets the figures of each; saves nothing."""
    if not drills:
        return
    names = [drill.drill_id for drill in drills]
    incidents: dict[str, list[Met]] = defaultdict(list)
    fields = ("drill", "call_id", "outcome", "silence_ms", "call__flow_slug", "call__flow_version")
    for drill_id, call, outcome, silence_ms, *version in Incident.objects.filter(drill__in=names).values_list(*fields):
        incidents[drill_id].append(Met(call, outcome, silence_ms, (version[0], version[1])))
    turned = _calls(Turn.objects.filter(drill__in=names).order_by().values_list("drill", "call_id").distinct())
    since = min(drill.asked_at for drill in drills) - BEGAN_BEFORE
    sent = _calls(Call.objects.filter(started_at__gte=since, fell_back_drill__in=names).values_list("fell_back_drill", "pk"))
    budgets = _budgets_ms({one.version for found in incidents.values() for one in found if one.silence_ms is not None})
    moves = _moves(drills)
    for drill in drills:
        _set_calls(drill, incidents[drill.drill_id], turned[drill.drill_id], sent[drill.drill_id])
        _set_silence(drill, incidents[drill.drill_id], budgets)
        drill.open_after_s, drill.closed_after_s = _circuit_times(drill, moves[drill.drill_id])


def _calls(pairs: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    calls: dict[str, set[int]] = defaultdict(set)
    for drill_id, call in pairs:
        calls[drill_id].add(call)
    return calls


def _set_calls(drill: Drill, incidents: Sequence[Met], turned: set[int], straight: set[int]) -> None:
    outcomes: dict[int, set[str]] = defaultdict(set)
    for one in incidents:
        outcomes[one.call].add(one.outcome)
    worst = [next(one for one in WORST_FIRST if one in found) for found in outcomes.values()]
    drill.calls = len(turned | straight | set(outcomes))
    drill.dropped, drill.failed_over = worst.count(Outcome.DROPPED.value), worst.count(Outcome.FAILED_OVER.value)
    drill.recovered, drill.unsettled = worst.count(Outcome.RECOVERED.value), worst.count("")
    drill.sent_straight = len(straight - set(outcomes))


def _set_silence(drill: Drill, incidents: Sequence[Met], budgets: Mapping[Version, int]) -> None:
    silences = sorted(one.silence_ms for one in incidents if one.silence_ms is not None)
    drill.silence_p50_ms = silences[(len(silences) - 1) // 2] if silences else None
    worst = _worst_silence(incidents, budgets)
    drill.silence_most_ms, drill.silence_budget_ms = (None, 0) if worst is None else worst


def _worst_silence(incidents: Sequence[Met], budgets: Mapping[Version, int]) -> tuple[float, int] | None:
    """The silence that was longest by the budget of its own call's version, and that budget: another flow may have more time.
    Where a version cannot be read, the others' longest; 0 where none can."""
    longest_ms = max((budgets.get(one.version, 0) for one in incidents if one.silence_ms is not None), default=0)
    found = ((one.silence_ms, budgets.get(one.version, longest_ms)) for one in incidents if one.silence_ms is not None)
    return max(found, key=lambda pair: pair[0] - pair[1], default=None)


def _budgets_ms(versions: set[Version]) -> dict[Version, int]:
    """What calls of these had for an answer: the version that a call keeps, not the draft, nor what was published since."""
    if not versions:
        return {}
    slugs, numbers = {slug for slug, _ in versions}, {number for _, number in versions}
    budgets = {}
    for one in FlowVersion.objects.filter(flow__slug__in=slugs, number__in=numbers).select_related("flow"):
        if (one.flow.slug, one.number) in versions:
            try:
                budgets[one.flow.slug, one.number] = one.definition.turn_budget_ms
            except BadSnapshot as error:  # Another version of this program wrote it: what its calls had is not known.
                log.warning("flow_version_unreadable", flow=one.flow.slug, number=one.number, error=str(error))
    return budgets


def _moves(drills: Sequence[Drill]) -> dict[str, list[CircuitMove]]:
    """The oldest first."""
    began = [drill.began_at for drill in drills if drill.began_at is not None]
    by_drill: dict[str, list[CircuitMove]] = defaultdict(list)
    if began:
        for move in CircuitMove.objects.filter(circuit__startswith=CIRCUIT_PREFIX, at__gte=min(began)).order_by("at"):
            by_drill[move.circuit.removeprefix(CIRCUIT_PREFIX).partition(":")[0]].append(move)
    return by_drill


def _circuit_times(drill: Drill, moves: Sequence[CircuitMove]) -> tuple[float | None, float | None]:
    """From its beginning until the stage's last circuit was open, and from its end until the first was closed again."""
    if drill.began_at is None or drill.ends_at is None:
        return None, None
    opened: dict[str, datetime] = {}
    closed: datetime | None = None
    for move in moves:
        if move.before == "closed" and move.after == "open":
            opened.setdefault(move.circuit, move.at)
        elif move.after == "closed" and closed is None and move.at >= drill.ends_at:
            closed = move.at
    open_after_s = (max(opened.values()) - drill.began_at).total_seconds() if opened else None
    return open_after_s, (closed - drill.ends_at).total_seconds() if opened and closed and not drill.ended_by else None
