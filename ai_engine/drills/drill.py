"""A drill: a failure of one stage of the AI, made on purpose for some calls and a limited time. Pure values.

Owns what a drill is, which calls it covers, and the names of its key and its circuits. Who starts one is the console's
matter; how engines fail is ``faults.py``'s.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec

from ai_engine.drills.errors import BadDrillError
from ai_engine.engines.config import Stage

KEY = "drill:current"
# No engine's name has a colon: these are never an engine's own circuits.
CIRCUIT_PREFIX = "drill:"
# Shorter, and no circuit would have opened by then at a few calls a minute; longer, and it is no exercise any more.
LEAST_S = 10
MOST_S = 1800
# What engines need after the failure has ended: at most their open time, then a probe. Nobody's calls wait longer than
# this for a drill's circuit that does not close: it is forgotten with the drill.
MOST_RECOVERY_S = 120.0
PROBE_ALLOWANCE_S = 8.0


class Failure(StrEnum):
    """What the engines of the stage do meanwhile."""

    REFUSE = "refuse"
    HANG = "hang"
    ERROR = "error"
    SILENT = "silent"
    SLOW = "slow"
    GARBAGE = "garbage"


class Scope(StrEnum):
    SIMULATED = "simulated"
    """Only calls of the simulator and test calls: nobody's customer is on the line."""
    PERCENT = "percent"
    """So many of all calls, real ones included."""


class Drill(msgspec.Struct, frozen=True):
    """The value of ``drill:current``, as JSON. It fails for ``duration_s``; for ``recovery_s`` after that engines work again
    and the drill's circuits have time to notice. ``began`` is seconds since 1970, for people to read only.
    """

    drill_id: str
    failure: Failure
    stage: Stage
    scope: Scope
    percent: int
    duration_s: float
    recovery_s: float
    by: str
    began: float

    def covers(self, call_uuid: str, *, simulated: bool) -> bool:
        """The same answer everywhere and for all of a call; another choice of callers in every drill."""
        if self.scope is Scope.SIMULATED:
            return simulated
        digest = hashlib.blake2b(f"{self.drill_id}:{call_uuid}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") % 10_000 < self.percent * 100

    def circuit(self, engine: str) -> str:
        """Covered calls count on a circuit of the drill's own, so that no other caller's is ever opened by it."""
        return f"{CIRCUIT_PREFIX}{self.drill_id}:{engine}"


class Running(msgspec.Struct, frozen=True):
    """A drill as Redis has it. ``left_s``: until its key expires, whoever is dead by then."""

    drill: Drill
    left_s: float

    @property
    def failing_left_s(self) -> float:
        """Until the engines work again; 0 while they already do and circuits are closing."""
        return max(0.0, self.left_s - self.drill.recovery_s)


def check(drill: Drill) -> None:
    """Raises :class:`BadDrillError` for one that must not begin."""
    if not LEAST_S <= drill.duration_s <= MOST_S:
        raise BadDrillError(f"a drill lasts {LEAST_S} to {MOST_S} seconds")
    if drill.scope is Scope.PERCENT and not 1 <= drill.percent <= 100:
        raise BadDrillError("the share of calls is 1 to 100 percent")
    if not 0 <= drill.recovery_s <= MOST_RECOVERY_S:
        raise BadDrillError(f"at most {MOST_RECOVERY_S:.0f} seconds are left for circuits to close")


def recovery_s(open_s: float) -> float:
    """For circuits that stay open for ``open_s``: the last may have opened as the failure ended."""
    return min(MOST_RECOVERY_S, open_s + PROBE_ALLOWANCE_S)


def decode(value: bytes) -> Drill:
    """Raises msgspec's errors for what another version of Lifeline wrote."""
    return msgspec.json.decode(value, type=Drill)
