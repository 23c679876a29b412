"""Celery tasks of the console. Nothing on the live path waits for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from celery import shared_task
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from console import drills
from console.figures import bridges_alive, is_unwatched, unwatched
from console.lost_calls import end_found_gone, found_in_last_resort
from console.models import Call
from console.spools import records_lag
from console.switches import control_of, look_at_all, switches
from console.tallies import prune
from console.trial_calls import carry_out
from esl_bridge.control import SwitchControl
from esl_bridge.control_answers import Channel
from esl_bridge.control_errors import SwitchControlError
from esl_bridge.journal.events import Mode
from esl_bridge.last_resort.sightings import EXTENSIONS

log = structlog.get_logger(__name__)

# Longer than any prompt or menu, and than the 20 s within which a dead bridge's spool is adopted: what is looked up then
# has most likely lost its bridge. A call placed beside the switch that is asked (a second simulator) stays out of it too.
SILENT_S = 90
# With the bridge known to be gone it takes no longer than until another has adopted its spool.
BRIDGE_GONE_S = 30
# A call of a live bridge is seldom silent for as long as this; the look at the list costs one question for all of them.
LISTED_AFTER_S = 10
# Heard of later than now: a clock was ahead then, and nobody knows when it really was.
AHEAD = timedelta(seconds=5)
# A bridge that sees a call's end has it in its journal by then.
TOLD_WITHIN = timedelta(seconds=1)
# In this process: one that begins anew looks twice again.
_missed_since: dict[str, datetime] = {}
# Each is a question of its own, and a round must be over before the next begins; the next takes the rest.
MOST = 50


@shared_task(name="console.watch_switches", ignore_result=True)
def watch_switches() -> None:
    """Look at every switch, for the live page and the metrics."""
    look_at_all()


@shared_task(name="console.place_test_call", ignore_result=True)
def place_test_call(trial_pk: int) -> None:
    """Have the switch place a test call that an operator asked for."""
    carry_out(trial_pk)


@shared_task(name="console.settle_drills", ignore_result=True)
def settle_drills() -> None:
    """Bring the reports of drills up to date."""
    drills.settle(timezone.now())


@shared_task(name="console.prune_tallies", ignore_result=True)
def prune_tallies() -> int:
    """Delete tallies that are older than they are kept. Returns how many."""
    return prune(timezone.now())


@shared_task(name="console.settle_orphans", ignore_result=True)
def settle_orphans() -> int:
    """End calls whose end nobody saw, once every switch says that it does not know them. Returns how many.

    Nothing is guessed while a switch is away, nor while the journal waits to be recorded: the end may be in it.
    """
    now = timezone.now()
    bridges = bridges_alive()
    quiet = Q(last_event_at__lt=now - timedelta(seconds=LISTED_AFTER_S)) | Q(last_event_at__gt=now + AHEAD)
    quiet &= Q(ended_at__isnull=True)
    calls = list(Call.objects.filter(quiet | unwatched(bridges)).order_by("last_event_at"))
    lag = records_lag()
    if not calls or lag is None:
        return 0
    controls = [control_of(switch) for switch in switches()]
    try:
        # One question to each rules out all that talk to a person for long; the list of channels alone is no proof.
        listed = {channel.uuid: channel for control in controls for channel in control.channels()}
        _note_last_resort(calls, listed, now)
        unlisted = [call for call in calls if call.call_uuid not in listed and _is_due(call, bridges, now)]
        return sum(_settle(controls, call) for call in _unheard_of(unlisted, now, lag)[:MOST])
    except SwitchControlError as error:
        log.warning("orphaned calls cannot be looked up", error=str(error))
        return 0


def _unheard_of(unlisted: Sequence[Call], now: datetime, lag: timedelta) -> list[Call]:
    """Those whose end would be recorded by now if any bridge had seen it: under load something always waits to be recorded, and
    nobody knows of whom. So they are looked at again once the records have come past the moment in which they were missed."""
    missed = {call.call_uuid: _missed_since.get(call.call_uuid, now) for call in unlisted}
    _missed_since.clear()
    _missed_since.update(missed)
    return [call for call in unlisted if not lag or missed[call.call_uuid] + TOLD_WITHIN <= now - lag]


def _is_due(call: Call, bridges: list[str] | None, now: datetime) -> bool:
    """Whether a call that no switch lists should have been heard of by now."""
    limit_s = BRIDGE_GONE_S if is_unwatched(call, bridges) else SILENT_S
    if call.last_event_at > now + AHEAD:
        return True
    return call.mode == Mode.LAST_RESORT.value or call.last_event_at < now - timedelta(seconds=limit_s)


def _note_last_resort(calls: Sequence[Call], listed: Mapping[str, Channel], now: datetime) -> None:
    for call in calls:
        channel = listed.get(call.call_uuid)
        if channel is not None and channel.destination.startswith(EXTENSIONS):
            with transaction.atomic():
                found_in_last_resort(call, channel.destination, channel.application, now)


def _settle(controls: Sequence[SwitchControl], call: Call) -> bool:
    """Whether the call was gone everywhere, and nothing was heard of it meanwhile."""
    try:
        if any(control.exists(call.call_uuid) for control in controls):
            return False
    except ValueError:
        log.warning("a call's id is none that the switch may be asked about", call_uuid=call.call_uuid)
        return False
    with transaction.atomic():
        return end_found_gone(call, timezone.now())
