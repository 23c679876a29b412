"""Celery tasks of the console. Nothing on the live path waits for them."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from console.models import Call
from console.projection import end_found_gone
from esl_bridge.control import SwitchControl, SwitchControlError

log = structlog.get_logger(__name__)

# A call in the menu or with the AI journals something well within this; only one whose bridge died is silent for longer.
SILENT_S = 90
# A round asks the switch about this many; the next round takes the rest.
MOST = 50
DEADLINE_S = 3.0


@shared_task(name="console.settle_orphans", ignore_result=True)
def settle_orphans() -> int:
    """End calls whose end nobody saw, once the switch says that they are gone. A switch that is away settles nothing."""
    silent_since = timezone.now() - timedelta(seconds=SILENT_S)
    silent = Call.objects.filter(ended_at__isnull=True, last_event_at__lt=silent_since).order_by("last_event_at")[:MOST]
    control = SwitchControl(
        settings.LIFELINE_SWITCH_HOST, settings.LIFELINE_SWITCH_PORT, settings.LIFELINE_SWITCH_PASSWORD, deadline_s=DEADLINE_S
    )
    settled = 0
    for call in silent:
        try:
            if control.exists(call.call_uuid):
                continue
        except (SwitchControlError, ValueError) as error:
            log.warning("orphaned calls cannot be looked up", error=str(error))
            return settled
        with transaction.atomic():
            end_found_gone(call, timezone.now())
        settled += 1
    return settled
