"""A circuit's states, what moves it between them, and how it is shown: pure values, no clock and no Redis.

Owns :data:`TRANSITIONS`, from which the documentation's table is generated; the guard is tested against it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

TURNS = "turns"
"""The stage of the bridges' own circuits, around queue, workers and Redis together."""


class CircuitState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


FORCED = frozenset({CircuitState.FORCED_OPEN, CircuitState.FORCED_CLOSED})
USABLE = frozenset({CircuitState.CLOSED, CircuitState.FORCED_CLOSED})
"""A caller's turn uses an engine only in these. Half-open belongs to the prober, so no caller pays for the test."""


class Verdict(StrEnum):
    """What one engine's part in one turn came to. Abandoned (the caller went, or pressed a key) says nothing."""

    OK = "ok"
    FAIL = "fail"
    ABANDONED = "abandoned"


class Trigger(StrEnum):
    FAILURES = "failures"
    TIMEOUT = "timeout"
    PROBE_OK = "probe_ok"
    PROBE_FAILED = "probe_failed"
    FORCE_OPEN = "force_open"
    FORCE_CLOSED = "force_closed"
    RELEASE = "release"


class Transition(NamedTuple):
    before: CircuitState
    trigger: Trigger
    after: CircuitState
    words: str


TRANSITIONS: tuple[Transition, ...] = (
    Transition(CircuitState.CLOSED, Trigger.FAILURES, CircuitState.OPEN, "3 to 5 consecutive failures in the fleet"),
    Transition(CircuitState.OPEN, Trigger.TIMEOUT, CircuitState.HALF_OPEN, "the open time has passed"),
    Transition(CircuitState.HALF_OPEN, Trigger.PROBE_OK, CircuitState.CLOSED, "the fleet's one probe succeeded"),
    Transition(CircuitState.HALF_OPEN, Trigger.PROBE_FAILED, CircuitState.OPEN, "the fleet's one probe failed"),
    *(
        Transition(before, trigger, after, "an operator's order")
        for before in (CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN)
        for trigger, after in (
            (Trigger.FORCE_OPEN, CircuitState.FORCED_OPEN),
            (Trigger.FORCE_CLOSED, CircuitState.FORCED_CLOSED),
        )
    ),
    Transition(CircuitState.FORCED_OPEN, Trigger.FORCE_CLOSED, CircuitState.FORCED_CLOSED, "an operator's order"),
    Transition(CircuitState.FORCED_CLOSED, Trigger.FORCE_OPEN, CircuitState.FORCED_OPEN, "an operator's order"),
    *(
        Transition(before, Trigger.RELEASE, after, "released, or its chosen time came: what lies beneath shows again")
        for before in (CircuitState.FORCED_OPEN, CircuitState.FORCED_CLOSED)
        for after in (CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN)
    ),
)


class Hold(msgspec.Struct, frozen=True):
    """An operator's order. ``until`` and ``since`` are seconds since 1970; no ``until``: it holds until released."""

    state: CircuitState
    by: str
    why: str
    since: float
    until: float | None = None

    def holds_at(self, wall_s: float) -> bool:
        return self.until is None or wall_s < self.until


class CircuitView(msgspec.Struct, frozen=True):
    """One circuit as an operator sees it.

    ``retry_in_s`` counts down while open; ``by`` is empty for an automatic state; ``why`` is the operator's reason, or
    the kind of the failure that opened it; ``since`` and ``until`` are seconds since 1970, ``since`` 0: it never moved.
    """

    name: str
    stage: str
    state: CircuitState
    failures: int
    threshold: int
    retry_in_s: float | None = None
    by: str = ""
    why: str = ""
    until: float | None = None
    since: float = 0.0


class StageUse(msgspec.Struct, frozen=True):
    """May a turn use this stage? ``forced``: it may not, and an operator holds an engine of it open."""

    usable: bool
    forced: bool


class Permit(msgspec.Struct, frozen=True):
    """Leave to use an engine once. ``token`` names the fleet's probe lock, empty when there is none."""

    generation: int
    is_probe: bool = False
    token: str = ""
