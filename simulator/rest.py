"""How a call's thread, or a caller, stands still: until a time is up, or to the end of the 20 ms frame in which something happened.

Owns the waiting, with one timer. What has happened is the affair of whoever waits.
"""

from __future__ import annotations

import asyncio

from simulator.clock import Clock
from simulator.media import FRAME_S


class Rest:
    """One at a time waits. :meth:`wake` is for anybody, and does nothing while nobody waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began_s = 0.0
        self._left_s: float | None = None
        self._in_frames = False
        self._is_woken = False

    async def frames(self, left_s: float | None) -> float | None:
        """As a media thread waits: ``left_s`` (None: for ever), or to the end of the frame in which it is woken.

        Returns how much of the time is left.
        """
        self._began_s, self._left_s = self._clock.now_s(), left_s
        await self._wait(left_s, in_frames=True)
        if not self._is_woken:
            return 0.0
        return None if left_s is None else max(0.0, left_s - (self._clock.now_s() - self._began_s))

    async def until_woken(self, within_s: float | None = None) -> bool:
        """Where no media runs, and no frame has an end. False when ``within_s`` went by first."""
        await self._wait(within_s, in_frames=False)
        return self._is_woken

    def wake(self, *, at_once: bool = False) -> None:
        """``at_once``: in the middle of a frame, too."""
        if self._waiting is None:
            return
        if at_once or not self._in_frames:
            self._is_woken = True
            self._end()
        elif not self._is_woken:
            self._is_woken = True
            elapsed_s = self._clock.now_s() - self._began_s
            rest_s = FRAME_S - elapsed_s % FRAME_S
            self._end_in(rest_s if self._left_s is None else min(rest_s, max(0.0, self._left_s - elapsed_s)))

    async def _wait(self, duration_s: float | None, *, in_frames: bool) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        self._in_frames, self._is_woken = in_frames, False
        if duration_s is not None:
            self._end_in(duration_s)
        try:
            await self._waiting
        finally:
            self._waiting = None
            self._stop_timer()

    def _end_in(self, duration_s: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(self._clock.wall_s(duration_s), self._end)

    def _end(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
