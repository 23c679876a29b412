"""Test calls: an operator asks for one, a worker has the switch place it, and both are on record.

Owns asking and carrying out, each exactly once. How far a call came is said by ``console/switch_panel.py``.
"""

from __future__ import annotations

import uuid as uuids
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from console import words
from console.models import OperatorAction, TrialCall, TrialState
from console.switch_settings import SwitchAddress
from console.switches import DEADLINE_S, control_of, switch_named
from esl_bridge.control_errors import NoAnswerError, RefusedError, SwitchControlError

log = structlog.get_logger(__name__)
# A loopback is answered at once, a simulated person picks up within two seconds; the worker does nothing else meanwhile.
ANSWER_WITHIN_S = 10
# A greeting and the first question can be heard in it. Too short to come through the menu to an agent without a word.
LASTS_S = 15
# Whoever asked is looking at the page; later a telephone would ring for nobody.
TAKEN_WITHIN = timedelta(seconds=15)
# The order's own limit, one question after it, and time to store.
CALLING_LIMIT = timedelta(seconds=ANSWER_WITHIN_S + 2 * DEADLINE_S + 5)
WHAT = "test call"


class TrialRefusedError(Exception):
    """It is not asked for. The text is for an operator."""


def ask(switch: SwitchAddress, user: str) -> TrialCall:
    """Stores the order, which then waits for a worker. Raises TrialRefusedError while another one is under way there."""
    now = timezone.now()
    with transaction.atomic():
        here = TrialCall.objects.filter(switch=switch.name)
        waiting = here.filter(state=TrialState.ASKED, asked_at__gt=now - TAKEN_WITHIN)
        calling = here.filter(state=TrialState.CALLING, called_at__gt=now - CALLING_LIMIT)
        if (waiting | calling).exists():
            raise TrialRefusedError(f"a test call on {switch.name} is under way")
        trial = TrialCall.objects.create(
            switch=switch.name, endpoint=settings.LIFELINE_TEST_CALL_ENDPOINT, user=user, asked_at=now
        )
        _remember(trial, WHAT, "")
    return trial


def carry_out(trial_pk: int) -> None:
    """Takes the order, unless another worker has or it is too old, and waits until the call is answered or refused."""
    now = timezone.now()
    fresh = TrialCall.objects.filter(pk=trial_pk, state=TrialState.ASKED, asked_at__gt=now - TAKEN_WITHIN)
    if not fresh.update(state=TrialState.CALLING, called_at=now):
        log.warning("test_call_not_taken", trial=trial_pk)
        return
    trial = TrialCall.objects.get(pk=trial_pk)
    switch = switch_named(trial.switch)
    if switch is None:
        finish(trial, reason=f"there is no switch {trial.switch} any more")
        return
    try:
        call_uuid = control_of(switch).place_test_call(
            trial.endpoint, call_uuid=str(uuids.uuid4()), lasts_s=LASTS_S, answer_within_s=ANSWER_WITHIN_S
        )
    except RefusedError as error:
        finish(trial, reason=words.refusal(str(error)))
    except NoAnswerError as error:
        finish(trial, reason=f"{error} It may be on the line all the same.")
    except SwitchControlError as error:
        finish(trial, reason=str(error))
    else:
        finish(trial, call_uuid=call_uuid)


def finish(trial: TrialCall, *, call_uuid: str = "", reason: str = "") -> None:
    """One of the two: the call that was answered, or why there is none."""
    trial.state = TrialState.ANSWERED if call_uuid else TrialState.FAILED
    trial.call_uuid, trial.reason, trial.finished_at = call_uuid, reason[:300], timezone.now()
    with transaction.atomic():
        trial.save()
        _remember(trial, f"{WHAT} {trial.state}", call_uuid or trial.reason)


def _remember(trial: TrialCall, what: str, why: str) -> None:
    OperatorAction.objects.create(
        user=trial.user, what=what, target=f"{trial.switch}: {trial.endpoint}"[:200], why=why, at=timezone.now()
    )
