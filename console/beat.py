"""When the console's periodic tasks are due: Celery's own reckoning, begun anew when the clock is set.

Celery reckons with the time of day. After a clock that was ahead for a moment is set back, every task counts as done in the
future, and none is done for the size of the step (seen: an hour, in which no call that was lost was found). Its schedule is
in memory: what is due every few seconds need not outlive the process.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery.beat import Scheduler

# More than any clock is drawn at once, less than matters to what is due every three seconds.
STEP_S = 1.0
# How late a step may be noticed.
LOOK_S = 1.0

log = structlog.get_logger(__name__)


class SteadyScheduler(Scheduler):
    """Looks at least every second whether the time of day still goes with the time that passes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ahead_s = _ahead_s()
        super().__init__(*args, **kwargs)
        self.max_interval = LOOK_S

    def setup_schedule(self) -> None:
        self.merge_inplace(self.app.conf.beat_schedule)
        super().setup_schedule()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        ahead_s, before_s = _ahead_s(), self._ahead_s
        self._ahead_s = ahead_s
        if abs(ahead_s - before_s) > STEP_S:
            log.warning("the clock was set; periodic tasks are reckoned anew", step_s=round(ahead_s - before_s, 1))
            for entry in self.schedule.values():
                entry.last_run_at = entry.default_now()
            self._heap = None
        return float(super().tick(*args, **kwargs))


def _ahead_s() -> float:
    return time.time() - time.monotonic()
