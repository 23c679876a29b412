"""What this process asks of an engine at most: requests at once, requests begun a second, and none while it asked for peace.

Owns one :class:`EngineLimit` an engine. Counts nothing for circuits: that we hold ourselves back says nothing about the
engine. The limits are each worker process's own share: a provider's limit divided by the workers (docs/settings.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiolimiter import AsyncLimiter

from ai_engine.engines.config import EngineConfig
from ai_engine.errors import EngineError, Kind
from ai_engine.stalls import LoopWatch

# A quota that is used up may say "in a day"; somebody may buy more meanwhile, and the circuit sees to a real outage.
MAX_BACK_OFF_S = 600.0


class BusyEngineError(EngineError):
    """Our own limit was in the way for too long. No failure of the engine."""

    retryable = False

    def __init__(self, detail: str) -> None:
        super().__init__(Kind.BUSY, detail)


class EngineLimit:
    """Places at one engine, given in the order in which they were asked for. 0 means no limit.

    ``per_second`` allows a burst of one second's worth. Times are those of the running loop.
    """

    def __init__(self, concurrency: int = 0, per_second: float = 0.0) -> None:
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None
        burst = max(1.0, per_second)
        self._bucket = AsyncLimiter(burst, burst / per_second) if per_second else None
        # AsyncLimiter lets a newcomer overtake a waiter that was woken but has not run: so only one is let near it.
        self._next = asyncio.Lock()
        self._peace_until = 0.0

    def back_off(self, seconds: float) -> None:
        """The engine said how long it wants to be left alone (Retry-After)."""
        until = asyncio.get_running_loop().time() + min(seconds, MAX_BACK_OFF_S)
        self._peace_until = max(self._peace_until, until)

    def peace_s(self) -> float:
        """How much longer the engine is to be left alone."""
        return max(0.0, self._peace_until - asyncio.get_running_loop().time())

    @contextlib.asynccontextmanager
    async def place(self, within_s: float) -> AsyncIterator[None]:
        """A place for one request, kept until the block is left. Raises :class:`BusyEngineError` when there is none in time.

        Cancelling while waiting leaves everything as it was. With no time at all a place that is free is given all the same.
        """
        deadline = asyncio.get_running_loop().time() + max(0.0, within_s)
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._enter(deadline, held)
            except TimeoutError:
                raise BusyEngineError("no place at the engine in time") from None
            yield

    async def _enter(self, deadline: float, held: contextlib.AsyncExitStack) -> None:
        self._refuse_if_left_alone(deadline)
        if self._slots is not None:
            await held.enter_async_context(self._slots)
        while True:  # Whoever was before us may have been told to leave it alone while we waited.
            self._refuse_if_left_alone(deadline)
            if self.peace_s():
                await asyncio.sleep(self.peace_s())
            if self._bucket is not None:
                async with self._next:
                    await self._bucket.acquire()
            if not self.peace_s():
                return

    def _refuse_if_left_alone(self, deadline: float) -> None:
        if self._peace_until > deadline:
            raise BusyEngineError(f"left alone for {self.peace_s():.1f} s more, as it asked")


class Limits:
    """Each engine's limit, made when it is first asked for, and anew when its configuration has changed.

    ``watch``: whether this process ran at all; like a place at the engine, that is our part and not the engine's.
    """

    def __init__(self) -> None:
        self.watch = LoopWatch()
        self._known: dict[str, tuple[EngineConfig, EngineLimit]] = {}

    def of(self, config: EngineConfig) -> EngineLimit:
        known = self._known.get(config.name)
        if known is None or known[0] != config:
            known = self._known[config.name] = config, EngineLimit(config.concurrency, config.per_second)
        return known[1]

    def peace_s(self, name: str) -> float:
        """How much longer this engine is to be left alone; 0 for one that nobody has asked yet."""
        known = self._known.get(name)
        return 0.0 if known is None else known[1].peace_s()
