"""Which actions one call has begun, so that none is ever done twice.

Owns the keys: one a call, intent and visit (a visit begins when the caller asks anew, or corrects a value). An action whose
result nobody knows keeps its key: who asks for the same again, in this bridge or the next, asks under that. A call that falls
over in the middle of an action waits for the one that runs. Pure.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from esl_bridge.calls.inputs import ActionDone, ActionFailed
from esl_bridge.calls.orders import Order, Record, RunAction, SetVariables
from esl_bridge.journal.events import ActionFinished, ActionStarted

# The variable that holds them. The switch has it before the action is begun (``session.py`` waits for its answer).
ACTION_KEY = "action"
# As many as its share of the call's variables holds (``callflows.definition.kept``): the newest. This bridge knows them all.
KEPT_MOST = 2
# The business was certainly not asked.
NOT_BEGUN = frozenset({"key_not_kept", "call_over", "unknown_action"})
_KEPT = re.compile(r"(.+):(\d+):([0-9a-f]{8})")


@dataclass(slots=True)
class _Asked:
    """One key. ``mark`` stands for the values that the switch keeps as well; ``slots`` are all of them, None of an owner before."""

    intent: str
    visit: int
    mark: str
    slots: Mapping[str, str] | None = None
    action: str = ""
    begun_in: int | None = None
    began_at: float = 0.0
    runs: bool = False
    may_be_done: bool = False
    settled: bool = False
    result: ActionDone | ActionFailed | None = None

    def is_for(self, mark: str, slots: Mapping[str, str]) -> bool:
        return self.mark == mark and self.slots in (None, slots)


class ActionsTaken:
    """``kept``: what an owner before had the switch keep in ``ACTION_KEY``."""

    def __init__(self, call_uuid: str, visit: str, kept: str = "") -> None:
        self._call_uuid = call_uuid
        self._visit = int(visit) if visit.isdecimal() else 0
        self._on_switch = kept
        found = [_KEPT.fullmatch(one) for one in kept.split(",")]
        self._asked = [_Asked(one[1], int(one[2]), one[3], may_be_done=True) for one in found if one is not None]
        self._awaited: _Asked | None = None

    def new_visit(self) -> str:
        self._visit += 1
        return str(self._visit)

    def settled(self) -> dict[str, str]:
        """When a wish is over, or a new one begins: the variable without the keys whose result is known; nothing if it has none.

        Not before: until then an heir begins the same wish again, and finds the same key by it.
        """
        self._asked = [asked for asked in self._asked if not asked.settled]
        before, self._on_switch = self._on_switch, self._to_keep()
        return {} if before == self._on_switch else {ACTION_KEY: self._on_switch}

    def begin(
        self, intent: str, action: str, slots: Mapping[str, str], now: float, *, secret: Collection[str] = ()
    ) -> tuple[list[Order], ActionDone | ActionFailed | None]:
        """Orders to act, and the result when this very action has already been done. The key is on the switch first.

        ``secret`` names the slots that the switch does not keep: an heir, who has to ask for them again, takes what it is told
        for the same.
        """
        mark = _mark(slots, secret)
        asked = self._asked_before(intent, mark, slots)
        if asked is not None and (asked.runs or asked.begun_in == self._visit):
            self._awaited = asked
            return [], asked.result
        if asked is None:
            asked = _Asked(intent, self._visit, mark)
        else:
            self._asked.remove(asked)
        self._asked.append(asked)
        self._awaited = asked
        asked.mark, asked.slots, asked.action = mark, dict(slots), action
        asked.begun_in, asked.began_at, asked.runs, asked.result = self._visit, now, True, None
        key, self._on_switch = self._key(asked), self._to_keep()
        keep = SetVariables({ACTION_KEY: self._on_switch}, before_acting=True)
        return [keep, Record(ActionStarted(action, key)), RunAction(key, action, slots)], None

    def ended(self, event: ActionDone | ActionFailed, now: float) -> tuple[list[Order], bool]:
        """Whether this result is the one that is waited for."""
        asked = next((one for one in self._asked if one.runs and self._key(one) == event.key), None)
        if asked is None:
            return [], False
        asked.runs, asked.result = False, event
        if isinstance(event, ActionDone):
            asked.settled, outcome = True, event.outcome
        else:
            asked.settled, outcome = event.kind in NOT_BEGUN and not asked.may_be_done, f"failed:{event.kind}"
        asked.may_be_done = not asked.settled
        return [Record(ActionFinished(asked.action, event.key, outcome, (now - asked.began_at) * 1000))], asked is self._awaited

    def _asked_before(self, intent: str, mark: str, slots: Mapping[str, str]) -> _Asked | None:
        """In this visit, or for the same values in an earlier one."""
        of_intent = [asked for asked in reversed(self._asked) if asked.intent == intent]
        return next((asked for asked in of_intent if asked.visit == self._visit or asked.is_for(mark, slots)), None)

    def _key(self, asked: _Asked) -> str:
        return f"{self._call_uuid}:{asked.intent}:{asked.visit}"

    def _to_keep(self) -> str:
        return ",".join(f"{asked.intent}:{asked.visit}:{asked.mark}" for asked in self._asked[-KEPT_MOST:])


def _mark(slots: Mapping[str, str], secret: Collection[str]) -> str:
    return f"{zlib.crc32(repr(sorted((name, slots[name]) for name in slots if name not in secret)).encode()):08x}"
