"""The console's pages that only read: live, calls, one call, incidents, and whether the console answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.db import DatabaseError, connection
from django.db.models import Exists, OuterRef, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from console import regions, words
from console.figures import STRAIGHT
from console.models import Call, Incident, JournalLine, TrialCall, Turn
from console.record_lag import behind, recording_lag_s
from console.storable import NUL
from console.switch_panel import trials_among
from console.timeline import in_order
from console.waterfall import waterfall

PAGE = 50
View = Callable[..., HttpResponse]
# Subqueries and no joins, which repeat a call for each of its incidents: to take repeats out of ten million calls, for the number
# of pages alone, took 14 s. What is looked for begins with the incidents, which are few; what is not asks for each that is found.
KEPT = Q(pk__in=Incident.objects.filter(outcome="failed_over").order_by().values("call"))
LOST = Q(pk__in=Incident.objects.filter(outcome="dropped").order_by().values("call"))
ITS_INCIDENTS = Incident.objects.filter(call=OuterRef("pk")).order_by()
OUTCOME_FILTERS = {
    "all": ("All calls", Q()),
    # A call that was lost after all counts as lost, as in the figures.
    "kept": ("AI failed, caller kept", KEPT & ~Exists(ITS_INCIDENTS.filter(outcome="dropped"))),
    "lost": ("AI failed, caller lost", LOST),
    "menu": ("Sent straight to the menu", Q(fell_back_reason__in=STRAIGHT) & ~Exists(ITS_INCIDENTS)),
}


def watcher(view: View) -> View:
    """Only for who may see calls; others are asked to log in, or told that they may not."""
    return login_required(permission_required("console.view_call", raise_exception=True)(view))


@require_GET
@watcher
def live(request: HttpRequest) -> HttpResponse:
    sight = regions.sight_of(request.user) or regions.Sight()
    seen = regions.see()
    context = {**regions.live_context(seen, sight), "now_ms": int(seen.at * 1000)}
    return render(request, "console/live.html", context)


@require_GET
@watcher
def calls(request: HttpRequest) -> HttpResponse:
    chosen = request.GET.get("outcome", "all")
    if chosen not in OUTCOME_FILTERS:
        chosen = "all"
    found = Call.objects.filter(OUTCOME_FILTERS[chosen][1]).order_by("-started_at", "-pk")
    page = Paginator(found.prefetch_related("incidents"), PAGE).get_page(request.GET.get("page"))
    may_see = request.user.has_perm("console.see_caller")
    context = {
        **behind(recording_lag_s(), time.time()),
        "page": page,
        "rows": [_call_row(call, may_see) for call in page.object_list],
        "test_calls": trials_among(call.call_uuid for call in page.object_list),
        "chosen": chosen,
        "filters": [(key, name) for key, (name, _) in OUTCOME_FILTERS.items()],
    }
    return render(request, "console/calls.html", context)


@require_GET
@watcher
def call(request: HttpRequest, call_uuid: str) -> HttpResponse:
    if NUL in call_uuid:  # PostgreSQL takes none, not even in a question.
        raise Http404
    one = get_object_or_404(Call, call_uuid=call_uuid)
    may_see = request.user.has_perm("console.see_caller")
    lines = in_order(JournalLine.objects.filter(call_uuid=call_uuid).order_by())
    context = {
        **behind(recording_lag_s(), time.time()),
        "call": one,
        "row": _call_row(one, may_see),
        "trial": TrialCall.objects.filter(call_uuid=one.call_uuid).first(),
        "ending": words.ending(one.ended_by, one.hangup_cause) if one.ended_at else "",
        "fell_back": words.FALLBACKS.get(one.fell_back_reason, one.fell_back_reason),
        "lines": [
            {"at": line.at, "words": words.journal_line(line.kind, line.data, see_caller=may_see), "kind": line.kind}
            for line in lines
        ],
        "turns": [_turn_row(turn) for turn in Turn.objects.filter(call=one).order_by("turn")],
        "incidents": [_incident_row(incident) for incident in one.incidents.order_by("opened_at")],
    }
    return render(request, "console/call.html", context)


@require_GET
@watcher
def incidents(request: HttpRequest) -> HttpResponse:
    found = Incident.objects.select_related("call").order_by("-opened_at", "-pk")
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    rows = [_incident_row(incident) for incident in page.object_list]
    context = {**behind(recording_lag_s(), time.time()), "page": page, "rows": rows}
    return render(request, "console/incidents.html", context)


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """For a load balancer: this process answers and reaches its database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return HttpResponse("the database does not answer\n", status=503, content_type="text/plain")
    return HttpResponse("ok\n", content_type="text/plain")


def _call_row(call: Call, may_see: bool) -> dict[str, Any]:
    lasted = (call.ended_at - call.started_at).total_seconds() if call.ended_at else None
    return {
        "uuid": call.call_uuid,
        "started_at": call.started_at,
        "caller": (call.caller or words.masked("")) if may_see else words.masked(call.caller),
        "flow": f"{words.plain(call.flow_slug)} v{call.flow_version}",
        "badge": regions.BADGES.get(call.mode, "ai"),
        "mode": words.MODES.get(call.mode, call.mode),
        "lasted": "no end recorded" if lasted is None else words.duration(lasted),
        "outcome": _outcome(call),
    }


def _outcome(call: Call) -> str:
    """Reads the prefetched incidents, so that a page of calls costs no query for each."""
    found = {incident.outcome for incident in call.incidents.all()}
    for worst in ("dropped", "", "failed_over", "recovered"):
        if worst in found:
            return words.OUTCOMES[worst] if worst else "A failure is not settled yet"
    if call.fell_back_reason in STRAIGHT:
        return "Straight to the menu"
    return "No failure"


def _turn_row(turn: Turn) -> dict[str, Any]:
    return {
        "turn": turn.turn,
        "words": words.turn_result(turn.outcome, turn.transcript, turn.intent, turn.answer_ms),
        "worker": turn.worker_id,
        "bars": waterfall(turn.stages, turn.queue_ms, turn.answer_ms),
    }


def _incident_row(incident: Incident) -> dict[str, Any]:
    return {
        "opened_at": incident.opened_at,
        "closed_at": incident.closed_at,
        "call_uuid": incident.call.call_uuid,
        "failure": words.failure(incident.cause, incident.stage, incident.kind, incident.attempts),
        "outcome": words.OUTCOMES.get(incident.outcome, incident.outcome),
        "badge": {"dropped": "lost", "failed_over": "kept", "": "open"}.get(incident.outcome, "ok"),
        "proof": incident.proof,
        "is_drill": bool(incident.drill),
    }
