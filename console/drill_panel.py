"""What is said of the drill that is under way, from Redis alone: for the live page and the page of drills."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.conf import settings

from ai_engine.drills import store
from ai_engine.drills.drill import Running
from ai_engine.drills.errors import DrillsUnreachableError
from console import drill_words


@dataclass(frozen=True, slots=True)
class RunningRow:
    """What everybody is told while a drill is under way. ``recovering``: engines work again, circuits are closing."""

    drill_id: str
    what: str
    by: str
    recovering: bool
    until_ms: int
    left_s: int
    most_s: int


def running_row(found: Running | None) -> RunningRow | None:
    if found is None:
        return None
    drill = found.drill
    recovering = not found.failing_left_s
    left_s = found.left_s if recovering else found.failing_left_s
    return RunningRow(
        drill.drill_id, drill_words.what(drill.failure, drill.stage, drill.scope, drill.percent), drill.by, recovering,
        int((time.time() + left_s) * 1000), round(left_s), max(1, round(drill.recovery_s if recovering else drill.duration_s)),
    )  # fmt: skip


def current() -> tuple[RunningRow | None, bool]:
    """What is under way, and whether that is known."""
    try:
        return running_row(store.current(settings.LIFELINE_REDIS_DURABLE_URL)), True
    except DrillsUnreachableError:
        return None, False


def drill_now() -> RunningRow | None:
    """For the live page, which says elsewhere that Redis does not answer."""
    return current()[0]
