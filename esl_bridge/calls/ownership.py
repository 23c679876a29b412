"""The dead man's timer of one call: who owns the call is whoever re-arms it in FreeSWITCH.

Owns when to arm and what to delete. A new one is armed before the old is deleted, so the call is never without; the
dialplan's own is deleted once ours stands. Jittered by the call's UUID, so that one stall does not move every call at once.
"""

from __future__ import annotations

import zlib

from esl_bridge.calls.orders import ArmTimer, DeleteTimer, Order

# sched_api fires up to a second early, and needs at least 4; re-armed every N-2 s at most, so that a late loop is no death.
TIMER_S = 6
REARM_LEAST_S = 2.5
REARM_SPREAD_S = 1.5
DIALPLAN_TIMER = ""
OWN_TIMERS = "own"


class Ownership:
    def __init__(self, call_uuid: str) -> None:
        self._rearm_s = REARM_LEAST_S + REARM_SPREAD_S * (zlib.crc32(call_uuid.encode()) % 1000) / 1000
        self._task_id: str | None = None
        self.due: float | None = None

    def arm(self, now: float) -> list[Order]:
        self.due = now + self._rearm_s
        return [ArmTimer(TIMER_S)]

    def on_armed(self, task_id: str) -> list[Order]:
        """The switch refused (empty id): keep what stands and try again when due."""
        if not task_id or self.due is None:
            return [DeleteTimer(task_id)] if task_id else []
        previous, self._task_id = self._task_id, task_id
        return [DeleteTimer(DIALPLAN_TIMER if previous is None else previous)]

    def on_time(self, now: float) -> list[Order]:
        return self.arm(now) if self.due is not None and now >= self.due else []

    def disarm(self) -> list[Order]:
        """Before a person joins, before the last resort and at the end: nothing may pull the caller back then."""
        if self.due is None:
            return []
        self.due = None
        return [DeleteTimer(OWN_TIMERS), DeleteTimer(DIALPLAN_TIMER)]
