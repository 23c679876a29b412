"""Operators' orders from the live page: circuits, test calls, and (in a demonstration) breaking and mending the local engine.

Owns checking, carrying out and recording them. Nothing is said to be done before it is stored where the fleet reads it.
"""

from __future__ import annotations

import time
from datetime import datetime

import redis
import structlog
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST
from kombu.exceptions import OperationalError

from ai_engine.circuits import operators
from ai_engine.circuits.errors import CircuitError, CircuitsUnreachableError
from ai_engine.circuits.states import CircuitState
from ai_engine.engine_store import stored_engines
from ai_engine.engines.config import Stage
from ai_engine.errors import BadEngineConfigError
from ai_engine.local.faults import Mode as FaultMode
from ai_engine.local.faults import set_fault
from console import trial_calls
from console.celery import app
from console.models import OperatorAction
from console.switches import switch_named
from console.tasks import place_test_call

log = structlog.get_logger(__name__)
STATES = {"open": CircuitState.FORCED_OPEN, "close": CircuitState.FORCED_CLOSED}
# A day: whoever wants longer holds it without an end, and says so by leaving the field empty.
MOST_MINUTES = 1440
# A browser waits; without them a broker that is away is tried for 6 s (measured), and one that is silent for ever.
BROKER_LIMITS = {
    "max_retries": 1, "interval_start": 0, "interval_step": 0.1, "socket_connect_timeout": 2, "socket_timeout": 2,
}  # fmt: skip


class CircuitOrder(forms.Form):
    """``order`` is what the button says: ``open <circuit>``, ``close <circuit>`` or ``release <circuit>``."""

    order = forms.RegexField(regex=r"^(open|close|release) \S+$", max_length=120)
    why = forms.CharField(
        max_length=200, error_messages={"required": "Give a reason: everybody will see it beside the circuit."}
    )
    minutes = forms.IntegerField(required=False, min_value=1, max_value=MOST_MINUTES)


class FaultOrder(forms.Form):
    mode = forms.ChoiceField(choices=[(mode.value, mode.value) for mode in FaultMode])
    stage = forms.ChoiceField(required=False, choices=[("", "every stage"), *((s.value, s.value) for s in Stage)])


@require_POST
@login_required
@permission_required("console.toggle_circuit", raise_exception=True)
def order_circuit(request: HttpRequest) -> HttpResponse:
    form = CircuitOrder(request.POST)
    if not form.is_valid():
        return _answer(request, _first_error(form), ok=False)
    order, name = form.cleaned_data["order"].split(" ", 1)
    why, minutes, user = form.cleaned_data["why"], form.cleaned_data["minutes"], request.user.get_username()
    until = time.time() + minutes * 60 if minutes and order != "release" else None
    url = settings.LIFELINE_REDIS_DURABLE_URL
    try:
        if order == "release":
            names = operators.release(name, redis_url=url, engines=stored_engines(), by=user, why=why)
        else:
            names = operators.force(name, STATES[order], user, why, until, redis_url=url, engines=stored_engines())
    except CircuitsUnreachableError as error:
        return _answer(request, f"Not confirmed: {error}", ok=False)
    except (CircuitError, BadEngineConfigError) as error:
        return _answer(request, f"Not done: {error}", ok=False)
    done = {"open": "held open", "close": "held closed", "release": "automatic again"}[order]
    _remember(request, f"circuit {order}", ", ".join(names), why, until)
    return _answer(request, f"Confirmed: {', '.join(names)} {done}.", ok=True)


@require_POST
@login_required
@permission_required("console.break_engine", raise_exception=True)
def break_engine(request: HttpRequest) -> HttpResponse:
    if not settings.LIFELINE_DEMO:
        raise Http404("only in demonstration mode")
    form = FaultOrder(request.POST)
    if not form.is_valid():
        return _answer(request, _first_error(form), ok=False)
    mode, stage = form.cleaned_data["mode"], form.cleaned_data["stage"] or None
    try:
        set_fault(mode, stage, folder=settings.LIFELINE_DATA_DIR)
    except OSError as error:
        return _answer(request, f"Not confirmed: the data folder cannot be written ({error})", ok=False)
    mended = mode == FaultMode.NONE
    _remember(request, "mend engine" if mended else f"break engine: {mode}", stage or "every stage", "demonstration", None)
    return _answer(request, "Confirmed: mended." if mended else "Confirmed: the local engine is broken now.", ok=True)


@require_POST
@login_required
@permission_required("console.place_test_call", raise_exception=True)
def order_test_call(request: HttpRequest) -> HttpResponse:
    """Stored first, then handed to a worker: a call that rings blocks, and no page may wait for it."""
    switch = switch_named(request.POST.get("switch", ""))
    if switch is None:
        return _answer(request, "Not done: there is no such switch.", ok=False)
    try:
        trial = trial_calls.ask(switch, request.user.get_username())
    except trial_calls.TrialRefusedError as error:
        return _answer(request, f"Not done: {error}.", ok=False)
    try:
        _hand_over(trial.pk)
    except (OperationalError, redis.RedisError, OSError) as error:
        log.warning("test_call_not_handed_over", error=str(error))
        trial_calls.finish(trial, reason="the queue to the worker (Redis) does not answer")
        return _answer(request, "Not done: the queue to the worker (Redis) does not answer.", ok=False)
    return _answer(request, f"Asked for a test call on {switch.name}: how far it comes is shown below.", ok=True)


def _hand_over(trial_pk: int) -> None:
    late_s = trial_calls.TAKEN_WITHIN.total_seconds()
    with app.connection_for_write(transport_options=BROKER_LIMITS) as connection:
        app.send_task(place_test_call.name, (trial_pk,), expires=late_s, retry=False, connection=connection)


def _remember(request: HttpRequest, what: str, target: str, why: str, until: float | None) -> None:
    """The order is in force already: a database that is away must not make it look undone."""
    ends = None if until is None else datetime.fromtimestamp(until, tz=timezone.get_current_timezone())
    try:
        OperatorAction.objects.create(
            user=request.user.get_username(), what=what, target=target, why=why, until=ends, at=timezone.now()
        )
    except DatabaseError:
        log.exception("operator_action_not_recorded", user=request.user.get_username(), what=what, target=target)


def _answer(request: HttpRequest, text: str, *, ok: bool) -> HttpResponse:
    """A line in the page for htmx; without JavaScript, the whole page again with that line on top."""
    if getattr(request, "htmx", False):
        return render(request, "console/answer.html", {"text": text, "ok": ok})
    messages.add_message(request, messages.SUCCESS if ok else messages.ERROR, text)
    return redirect("live")


def _first_error(form: forms.Form) -> str:
    field, errors = next(iter(form.errors.items()))
    return str(errors[0]) if field == "why" else f"Not done: {field}: {errors[0]}"
