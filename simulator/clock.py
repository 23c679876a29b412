"""The switch's and the callers' one clock, with a factor that makes simulated time pass faster than the wall's.

Owns the conversion and how FreeSWITCH writes a moment, nothing else: every duration in this package is in simulated seconds
until it is slept here.
"""

from __future__ import annotations

import asyncio
import time


class Clock:
    """Simulated time since the epoch. ``speed`` 10 plays a ten second prompt in one second of the wall's time."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"speed is {speed}, must be above zero")
        self.speed = speed
        self._started_unix_s = time.time()
        self._started_wall_s = time.monotonic()

    def now_s(self) -> float:
        """Monotonic, and close to the time of day when ``speed`` is 1."""
        return self._started_unix_s + (time.monotonic() - self._started_wall_s) * self.speed

    def wall_s(self, duration_s: float) -> float:
        return duration_s / self.speed

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(max(0.0, duration_s) / self.speed)


def microseconds(unix_s: float) -> int:
    return int(unix_s * 1_000_000)


def stamp(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s)) if unix_s else ""
