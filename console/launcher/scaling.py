"""How many AI workers run: one more while turns wait or nearly every place is taken, one less when there have long been too many.

Owns the rule and what it asks Redis for. Starting and stopping them, one at a time, is the launcher's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import redis

from ai_engine.heartbeats import workers_seen
from ai_engine.redis_clients import connect
from ai_engine.turn_queue import turns_waiting
from callflows.definition.errors import UNREADABLE

LOOK_S = 0.5
# A turn that nobody takes within 3 s is given up by its bridge, and a worker needs 2 or 3 s to start.
BUSY_FOR_S = 1.0
# A start costs more than a worker that idles for a minute.
IDLE_FOR_S = 60.0
# Nobody should have to wait for the next one to start: the places that are left are for those who speak meanwhile.
BUSY_SHARE = 0.8
# One less would still be far from that.
IDLE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Load:
    """``waiting``: turns that no worker has taken. ``turns`` of ``places`` are taken, over the workers that report."""

    waiting: int
    turns: int
    places: int


@dataclass(frozen=True, slots=True)
class Limits:
    """``waiting`` turns and more are too many. The first ``least`` workers always run, ``most`` at once are not exceeded."""

    waiting: int
    least: int
    most: int


def load_by(volatile_url: str) -> Callable[[], Load | None]:
    """Asks Redis, blocking; None when it does not answer."""

    def look() -> Load | None:
        try:
            workers = workers_seen(volatile_url)
            with connect(volatile_url) as client:
                waiting = turns_waiting(client)
        except (redis.RedisError, OSError, *UNREADABLE):
            return None
        if workers is None:
            return None
        beats = [beat for _name, beat in workers]
        return Load(waiting, sum(beat.turns for beat in beats), sum(beat.capacity for beat in beats))

    return look


class Scale:
    """The rule over time. What is not known changes nothing, and what was seen before it counts no more."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._busy_since = self._idle_since = math.inf

    def step(self, load: Load | None, workers: int, now_s: float) -> int:
        """1: start another, -1: one may go, 0: all is well as it is. ``workers`` run or are being started."""
        busy, idle = (False, False) if load is None else (self._is_busy(load), self._is_idle(load, workers))
        self._busy_since = min(self._busy_since, now_s) if busy else math.inf
        self._idle_since = min(self._idle_since, now_s) if idle else math.inf
        if workers < self._limits.most and now_s - self._busy_since >= BUSY_FOR_S:
            self._busy_since = math.inf
            return 1
        if workers > self._limits.least and now_s - self._idle_since >= IDLE_FOR_S:
            self._idle_since = math.inf
            return -1
        return 0

    def _is_busy(self, load: Load) -> bool:
        return load.waiting >= self._limits.waiting or (load.places > 0 and load.turns > BUSY_SHARE * load.places)

    def _is_idle(self, load: Load, workers: int) -> bool:
        left = load.places * (workers - 1) / workers if workers else 0
        return load.waiting == 0 and load.turns <= IDLE_SHARE * left
