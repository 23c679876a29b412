"""Calls whose end, or whereabouts, only the switch can tell: their bridge died and no other took them.

Owns what is written about them. A call that is gone without anybody having seen its end was lost with its bridge, unless a
person had it, or it was seen in the dialplan's last resort: then the switch's own menu served it, which is a failover. That
proof is weaker than a bridge's, or than that of who listens to the switch (``esl_bridge/last_resort``): the channel list says
what the switch is executing, not what was heard. It says so, and gives way to the other.
"""

from __future__ import annotations

from datetime import datetime

from console.models import Call, Incident
from console.projection import FOUND_GONE, LISTED, LOST, NO_BRIDGE, settle_by_end
from esl_bridge.journal.events import Cause, Mode, Outcome


def end_found_gone(call: Call, at: datetime) -> bool:
    """The switch does not know this call any more, and nobody saw its end. Call it inside a transaction.

    Does nothing when the call was heard of since it was read. Returns whether it ended the call.
    """
    unheard = Call.objects.filter(pk=call.pk, ended_at__isnull=True, last_event_at=call.last_event_at)
    if not unheard.update(ended_at=at, hangup_cause="FOUND_GONE", ended_by=FOUND_GONE):
        return False
    if call.mode not in (Mode.AGENT.value, Mode.LAST_RESORT.value):
        _incident(call, LOST)
    incidents = list(Incident.objects.filter(call=call))
    settle_by_end(incidents, at)
    for incident in incidents:
        incident.save()
    return True


def found_in_last_resort(call: Call, destination: str, application: str, at: datetime) -> None:
    """The switch lists the call in the last resort. Once is enough; a bridge that takes it later goes on from there.

    No incident of ours when a living bridge sent the call there and said so: it has told why, or there was no failure.
    """
    if call.mode == Mode.LAST_RESORT.value:
        return
    unheard = Call.objects.filter(pk=call.pk, ended_at__isnull=True, last_event_at=call.last_event_at)
    if not unheard.update(mode=Mode.LAST_RESORT.value, step=Mode.LAST_RESORT.value):
        return
    incident = _incident(call, NO_BRIDGE)
    if incident.outcome and not incident.by_call_end:  # Heard in an earlier visit: the better proof stays.
        return
    incident.outcome, incident.closed_at = Outcome.FAILED_OVER.value, at
    incident.proof = f"{LISTED} in {destination}, executing {application}"[:300]
    incident.closed_epoch = incident.opened_epoch
    incident.save()


def _incident(call: Call, kind: str) -> Incident:
    """Of an owner after the last one, so that what that one left open shares its fate."""
    found, _ = Incident.objects.get_or_create(
        incident_id=f"{call.call_uuid}:{kind}",
        defaults={
            "call": call, "cause": Cause.BRIDGE.value, "stage": "bridge", "kind": kind, "attempts": 1,
            "opened_at": call.last_event_at, "opened_epoch": call.epoch + 1,
        },
    )  # fmt: skip
    return found
