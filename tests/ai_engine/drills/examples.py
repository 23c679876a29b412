"""Drills as an operator would start them, for tests."""

from __future__ import annotations

import time

from ai_engine.drills.drill import Drill, Failure, Scope
from ai_engine.engines.config import Stage


def drill(
    failure: Failure = Failure.REFUSE,
    stage: Stage = Stage.NLU,
    *,
    drill_id: str = "d1",
    scope: Scope = Scope.SIMULATED,
    percent: int = 0,
    duration_s: float = 30.0,
    recovery_s: float = 5.0,
) -> Drill:
    return Drill(drill_id, failure, stage, scope, percent, duration_s, recovery_s, "anna", time.time())
