"""Waiting for a condition with a deadline, for tests that watch other processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool], *, within_s: float = 5.0, what: str = "") -> float:
    """Seconds it took. Fails the test at the deadline."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < within_s, f"not within {within_s} s: {what or condition}"
        await asyncio.sleep(0.005)
    return time.monotonic() - start


async def eventually(condition: Callable[[], Awaitable[bool]], *, within_s: float = 5.0, what: str = "") -> None:
    """The same for a condition that has to ask."""
    start = time.monotonic()
    while not await condition():
        assert time.monotonic() - start < within_s, f"not within {within_s} s: {what or condition}"
        await asyncio.sleep(0.01)
