"""The page of drills: begin one, watch it, end it, and compare the last ones. The report itself is ``console/drills.py``'s."""

from __future__ import annotations

import structlog
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from ai_engine.drills.drill import LEAST_S, MOST_S, Failure, Scope
from ai_engine.drills.errors import DrillError, DrillsUnreachableError
from ai_engine.engines.config import Stage
from console import drill_words, drills
from console.drill_panel import current
from console.models import Drill
from console.views import watcher

log = structlog.get_logger(__name__)
# Each with its report and comparison; more would be no comparison any more.
PAGE = 10
DEFAULT_S = 60


class DrillOrder(forms.Form):
    failure = forms.ChoiceField(choices=list(drill_words.FAILURES.items()))
    stage = forms.ChoiceField(choices=list(drill_words.STAGES.items()), initial=Stage.NLU.value)
    scope = forms.ChoiceField(choices=[(scope.value, scope.value) for scope in Scope])
    percent = forms.IntegerField(required=False, min_value=1, max_value=100)
    seconds = forms.IntegerField(min_value=LEAST_S, max_value=MOST_S)
    confirm = forms.CharField(required=False, max_length=200)
    why = forms.CharField(required=False, max_length=200)


def site_name(request: HttpRequest) -> str:
    """What is typed before real calls are made to fail: the name of the very installation that one looks at."""
    return request.get_host().rsplit(":", 1)[0]


@require_GET
@watcher
def page(request: HttpRequest) -> HttpResponse:
    drills.settle(timezone.now())
    row, known = current()
    found = Paginator(Drill.objects.all(), PAGE).get_page(request.GET.get("page"))
    shown = list(found.object_list)
    earlier = drills.before([drill for drill in shown if drill.verdict])
    context = {
        "running": row, "known": known, "page": found, "reports": [_report(drill, earlier.get(drill.pk)) for drill in shown],
        "may": request.user.has_perm("console.run_drill"), "site": site_name(request), "least_s": LEAST_S, "most_s": MOST_S,
        "default_s": DEFAULT_S, "failures": drill_words.FAILURES.items(), "stages": drill_words.STAGES.items(),
    }  # fmt: skip
    return render(request, "console/drills.html", context)


@require_GET
@watcher
def state(request: HttpRequest) -> HttpResponse:
    """The part of the page that changes while a drill runs."""
    row, known = current()
    return render(request, "console/regions/drill_state.html", {"running": row, "known": known})


@require_POST
@login_required
@permission_required("console.run_drill", raise_exception=True)
def begin(request: HttpRequest) -> HttpResponse:
    form = DrillOrder(request.POST)
    problem = _problem(form, site_name(request))
    if problem:
        return _said(request, f"Not begun: {problem}", ok=False)
    wanted = form.cleaned_data
    try:
        drills.begin(
            Failure(wanted["failure"]), Stage(wanted["stage"]), Scope(wanted["scope"]), percent=wanted["percent"] or 0,
            duration_s=wanted["seconds"], user=request.user.get_username(), why=wanted["why"],
        )  # fmt: skip
    except DrillsUnreachableError as error:
        return _said(request, f"Not confirmed: {error}", ok=False)
    except DrillError as error:
        return _said(request, f"Not begun: {error}", ok=False)
    return _said(request, f"Begun. It ends by itself after {wanted['seconds']} s.", ok=True)


@require_POST
@login_required
@permission_required("console.run_drill", raise_exception=True)
def end(request: HttpRequest) -> HttpResponse:
    try:
        done = drills.end(request.POST.get("drill", ""), request.user.get_username())
    except DrillsUnreachableError as error:
        return _said(request, f"Not confirmed: {error}. It ends by itself all the same.", ok=False)
    return _said(request, "Ended." if done else "It was over already.", ok=True)


def _problem(form: DrillOrder, site: str) -> str:
    """Empty when the order may be carried out."""
    if not form.is_valid():
        field, errors = next(iter(form.errors.items()))
        return f"{field}: {errors[0]}"
    if form.cleaned_data["scope"] == Scope.SIMULATED.value:
        return ""
    if not form.cleaned_data["percent"]:
        return "say for how many percent of the calls"
    if form.cleaned_data["confirm"].strip() != site:
        return f"real callers will meet it: type the name of this site, {site}, to confirm"
    return ""


def _report(drill: Drill, earlier: Drill | None) -> dict[str, object]:
    return {
        "drill": drill,
        "what": drill_words.what(drill.failure, drill.stage, drill.scope, drill.percent),
        "verdict": drill_words.verdict(drill),
        "badge": drill_words.BADGES.get(drill.verdict, "open"),
        "reasons": drill_words.reasons(drill),
        "ended": drill_words.ended(drill),
        "figures": drill_words.report(drill, earlier) if drill.began_at else [],
        "earlier": earlier,
    }


def _said(request: HttpRequest, text: str, *, ok: bool) -> HttpResponse:
    messages.add_message(request, messages.SUCCESS if ok else messages.ERROR, text)
    return redirect("drills")
