"""The dead man's timer of one call: who owns the call is whoever re-arms it in FreeSWITCH.

Owns when to arm, what to delete, and when a call may have been taken away without a word. A new one is armed before the
old is deleted, so the call is never without; the dialplan's own is deleted once ours stands. Jittered by the call's UUID,
so that one stall does not move every call at once.
"""

from __future__ import annotations

import zlib
from collections import deque

from esl_bridge.calls.orders import ArmTimer, DeleteTimer, Order

# sched_api fires up to a second early, and needs at least 4; re-armed every N-2 s at most, so that a late loop is no death.
TIMER_S = 6
FIRES_EARLY_S = 1
# The dialplan arms 5 s before `socket`; a second of that may have passed before the call is ours.
DIALPLAN_SURE_S = 3
REARM_LEAST_S = 2.5
REARM_SPREAD_S = 1.5
DIALPLAN_TIMER = ""
OWN_TIMERS = "own"


def epoch_of(owner: str) -> int:
    """The epoch in ``ll_owner`` (``<bridge>:<epoch>``); 0 when nobody has owned the call yet."""
    _, _, epoch = owner.rpartition(":")
    return int(epoch) if epoch.isdecimal() and len(epoch) < 10 else 0


class Ownership:
    def __init__(self, call_uuid: str) -> None:
        self._rearm_s = REARM_LEAST_S + REARM_SPREAD_S * (zlib.crc32(call_uuid.encode()) % 1000) / 1000
        self._task_id: str | None = None
        self._armed_at: deque[float] = deque()
        self._sure_until: float | None = None
        self._stands_until = 0.0
        self._has_been_confirmed = False
        self.due: float | None = None

    def take(self, now: float, *, from_another: bool) -> list[Order]:
        """The call is ours from here. What an owner before us armed still runs in the switch, and would take the call away
        from us; the dialplan's own timer, armed on the way here, guards the moment in between."""
        return [*([DeleteTimer(OWN_TIMERS)] if from_another else []), *self.arm(now)]

    def arm(self, now: float) -> list[Order]:
        self.due = now + self._rearm_s
        self._armed_at.append(now)
        if self._sure_until is None:
            self._sure_until = now + DIALPLAN_SURE_S
        return [ArmTimer(TIMER_S)]

    def on_armed(self, task_id: str) -> list[Order]:
        """The switch refused (empty id): keep what stands and try again when due."""
        armed_at = self._armed_at.popleft() if self._armed_at else None
        if not task_id or self.due is None:
            return [DeleteTimer(task_id)] if task_id else []
        if armed_at is not None:
            # Until the old one is deleted, which is now, it is the old one that may fire.
            self._sure_until = armed_at + TIMER_S - FIRES_EARLY_S
            self._stands_until = armed_at + TIMER_S
        previous, self._task_id = self._task_id, task_id
        return [DeleteTimer(DIALPLAN_TIMER if previous is None else previous)]

    def on_time(self, now: float) -> list[Order]:
        return self.arm(now) if self.due is not None and now >= self.due else []

    def in_doubt(self, now: float) -> bool:
        """Whether a timer may have fired: this process, or the switch, stood still; another bridge may own the call."""
        return self.due is not None and self._sure_until is not None and now >= self._sure_until

    def confirmed(self, now: float) -> list[Order]:
        """The switch still names us, after a doubt: a new timer at once. Until it stands, the doubt is only put off."""
        self._sure_until = now + FIRES_EARLY_S
        self._has_been_confirmed = True
        return self.arm(now)

    def over(self) -> None:
        """The call has ended; no timer can take it anywhere, and nothing is in doubt any more."""
        self.due = None

    def let_go(self) -> list[Order]:
        """The call was moved by somebody else, maybe into the chain: only what is surely ours is deleted."""
        self.due = None
        task_id, self._task_id = self._task_id, None
        return [DeleteTimer(task_id)] if task_id else []

    def lost(self, now: float) -> list[Order]:
        """Another owns the call. A timer that was armed after a stall, upon an answer that was true when the switch gave it, still
        stands and would take the call from them; one whose answer comes later is deleted then (:meth:`on_armed`). Any other has
        been deleted by them."""
        self.due = None
        task_id, self._task_id = self._task_id, None
        return [DeleteTimer(task_id)] if task_id and self._has_been_confirmed and now < self._stands_until else []

    def disarm(self) -> list[Order]:
        """Before a person joins, before the last resort and at the end: nothing may pull the caller back then."""
        if self.due is None:
            return []
        self.due = None
        return [DeleteTimer(OWN_TIMERS), DeleteTimer(DIALPLAN_TIMER)]
