"""The one moment at which a call wants to be woken, on asyncio's clock.

Owns the loop's timer. A call names its next moment at every event, and nearly always a later one than before: the timer that
runs is left alone then, and finds out when it fires that it is too early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """``ring`` is called at the moment that was set last, by ``now``: once, unless it is set again."""

    def __init__(self, now: Callable[[], float], ring: Callable[[], None]) -> None:
        self._now = now
        self._ring = ring
        self._at: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    def set(self, at: float | None) -> None:
        """None: not at all."""
        self._at = at
        if at is None:
            return
        if self._handle is not None:
            if self._now() < self._fires_at <= at:
                return
            self._handle.cancel()
        self._start(at)

    def cancel(self) -> None:
        self._at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _start(self, at: float) -> None:
        self._fires_at = at
        self._handle = asyncio.get_running_loop().call_later(max(0.0, at - self._now()), self._fired)

    def _fired(self) -> None:
        self._handle = None
        at = self._at
        if at is None:
            return
        if self._now() < at:
            self._start(at)
            return
        self._at = None
        self._ring()
