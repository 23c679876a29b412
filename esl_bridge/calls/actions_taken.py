"""Which actions one call has begun, so that none is ever done twice.

Owns the keys: one a call, intent and visit (a visit begins when the caller asks anew, or corrects a value). A call that
falls over in the middle of an action waits for the one that runs. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from esl_bridge.calls.inputs import ActionDone, ActionFailed
from esl_bridge.calls.orders import Order, Record, RunAction, SetVariables
from esl_bridge.journal.events import ActionFinished, ActionStarted

# The variable that holds it. The switch has it before the action is begun (``session.py`` waits for its answer).
ACTION_KEY = "action"


class ActionsTaken:
    def __init__(self, call_uuid: str, visit: str) -> None:
        self._call_uuid = call_uuid
        self._visit = int(visit) if visit.isdecimal() else 0
        self._key = ""
        self._action = ""
        self._began_at = 0.0
        self._result: ActionDone | ActionFailed | None = None

    def new_visit(self) -> str:
        self._visit += 1
        return str(self._visit)

    def begin(
        self, intent: str, action: str, slots: Mapping[str, str], now: float
    ) -> tuple[list[Order], ActionDone | ActionFailed | None]:
        """Orders to act, and the result when this very action has already been done. The key is on the switch first."""
        key = f"{self._call_uuid}:{intent}:{self._visit}"
        if key == self._key:
            return [], self._result
        self._key, self._action, self._began_at, self._result = key, action, now, None
        return [SetVariables({ACTION_KEY: key}), Record(ActionStarted(action, key)), RunAction(key, action, slots)], None

    def ended(self, event: ActionDone | ActionFailed, now: float) -> tuple[list[Order], bool]:
        """Whether this result is the one that is waited for."""
        if event.key != self._key or self._result is not None:
            return [], False
        self._result = event
        outcome = event.outcome if isinstance(event, ActionDone) else f"failed:{event.kind}"
        return [Record(ActionFinished(self._action, event.key, outcome, (now - self._began_at) * 1000))], True
