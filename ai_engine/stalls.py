"""How long this process itself stood still: an engine's silence during that time says nothing about the engine.

Owns the watching of the event loop; what follows from it is decided where engines are tried.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

TICK_S = 0.05
# A busy loop is late by some tens of milliseconds all the time; that is no stall, and engines have to bear it.
NOTED_S = 0.1
# An attempt lasts some seconds at most, and no more stalls than this fit into it.
KEPT = 64


class LoopWatch:
    """Run :meth:`run` beside the work; without it nothing was ever a stall."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stalls: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._due_at: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._due_at = self._clock() + TICK_S
                await asyncio.sleep(TICK_S)
                self._note(self._due_at)
        finally:
            self._due_at = None

    def stood_still_s(self, since: float) -> float:
        """Seconds since then, by the clock, in which nothing of this process could run; the stall that has just ended too."""
        now = self._clock()
        stalls = list(self._stalls)
        if self._due_at is not None and now - self._due_at >= NOTED_S:
            stalls.append((self._due_at, now))
        return sum(max(0.0, min(end, now) - max(begin, since)) for begin, end in stalls)

    def _note(self, due_at: float) -> None:
        now = self._clock()
        if now - due_at >= NOTED_S:
            self._stalls.append((due_at, now))
