"""Trying a stage: an engine again after 100, 300 and 900 ms, then the stage's next one, while it fits the budget.

Owns the decision (:func:`next_delay_s`, :func:`attempt_limit_s`, pure) and the thin runner that applies it. Each
engine's part in a turn is recorded once on its circuit, however many attempts it took; a cancelled one is nothing, and
so is one that our own limits kept from the engine (:mod:`ai_engine.limits`). A 429 is the engine's own refusal and
counts like any failure: where every caller is refused, the circuit sends them past it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from ai_engine.circuits.guard import Guard
from ai_engine.circuits.states import Permit, Verdict
from ai_engine.engines.config import EngineConfig, Stage
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind, LateTurnError, SlowEngineError
from ai_engine.limits import BusyEngineError, Limits
from ai_engine.messages import StageTiming

RETRY_DELAYS_S = (0.1, 0.3, 0.9)
# A fault that many calls met at once shall not be met again by all of them at once.
JITTER = 0.2
# An attempt with less time than this cannot succeed over any network, and says nothing about the engine.
LEAST_ATTEMPT_S = 0.3
# Kept for the stage's next engine, so that one that hangs never eats both.
NEXT_ENGINE_S = 1.2
# An attempt of whose time our own process stood still for this share says nothing about the engine. Less must not excuse
# it, or an engine that hangs would keep its circuit closed wherever the machine is a little slow.
STALLED_SHARE = 1 / 3

log = structlog.get_logger(__name__)


class Engine(Protocol):
    config: EngineConfig


E = TypeVar("E", bound=Engine)
T = TypeVar("T")


def next_delay_s(attempts: int, error: EngineError, left_s: float, chance: float = 0.5) -> float | None:
    """The pause before the same engine is tried again after so many attempts, or None: not this engine any more.

    ``left_s``: without what is kept for the next engine. ``chance`` from 0 to 1 spreads the pause by a fifth either way;
    where the engine itself said how long (Retry-After), that holds as it is.
    """
    if not error.retryable or attempts > len(RETRY_DELAYS_S):
        return None
    delay_s = error.retry_after_s
    if delay_s is None:
        delay_s = RETRY_DELAYS_S[attempts - 1] * (1 + JITTER * (2 * chance - 1))
    return delay_s if delay_s + LEAST_ATTEMPT_S <= left_s else None


def attempt_limit_s(left_s: float, total_s: float, *, another: bool) -> float:
    """How long one attempt may take. ``another``: the stage has a further engine; its time is kept if there is any."""
    if another and left_s > NEXT_ENGINE_S + LEAST_ATTEMPT_S:
        left_s -= NEXT_ENGINE_S
    return min(left_s, total_s)


def overdue(limit_s: float, config: EngineConfig) -> SlowEngineError:
    """The error of an attempt that ended with its limit. One that had less than the engine may take to its first byte shows
    nothing: in a backlog, turns with little time left would take healthy engines from all others.
    """
    if limit_s < min(config.first_byte_s, config.total_s):
        return LateTurnError()
    return SlowEngineError(Kind.TIMEOUT, f"not within {limit_s:.1f} s")


def another_after(engine: Engine, engines: Sequence[Engine], guard_of: Callable[[str], Guard]) -> bool:
    """Whether the stage has a further engine that can be used now."""
    names = [one.config.name for one in engines]
    return any(guard_of(name).usable for name in names[names.index(engine.config.name) + 1 :])


class StageResult(msgspec.Struct, Generic[T]):
    """What a stage came to: a value, or the last engine's error; and one timing for each engine that was tried."""

    value: T | None
    error: EngineError | None
    timings: list[StageTiming]

    @property
    def attempts(self) -> int:
        return sum(timing.attempts for timing in self.timings)


async def run_stage(
    stage: Stage,
    engines: Sequence[E],
    guard_of: Callable[[str], Guard],
    left_s: Callable[[], float],
    attempt: Callable[[E, Trace], Awaitable[T]],
    limits: Limits,
    *,
    open_ended: bool = False,
    chance: Callable[[], float] = random.random,
    enough: Callable[[], T | None] = lambda: None,
) -> StageResult[T]:
    """Tries the engines in order. ``left_s`` says how much of the turn is left, at any moment.

    ``open_ended``: an attempt waits for the caller, or for the model, and keeps its own limits; only the turn bounds it.
    ``chance`` gives numbers from 0 to 1 for the pauses' jitter. ``enough``: what a failed attempt has brought already, if
    the turn can go on with that; the engine has failed all the same, but nobody is asked again. Cancelling records the
    engine under way as abandoned.
    """
    timings: list[StageTiming] = []
    error: EngineError = SlowEngineError(Kind.NO_ENGINE, "no usable engine")
    usable = [(engine, guard_of(engine.config.name)) for engine in engines]
    for position, (engine, guard) in enumerate(usable):
        permit = guard.permit()
        if permit is None:
            continue
        another = any(later.usable for _, later in usable[position + 1 :])
        trial = _Trial(stage, engine, guard, permit, limits, another=another, open_ended=open_ended)
        value, failure = await trial.run(left_s, attempt, chance, enough)
        timings.append(trial.timing(failure))
        if failure is None:
            return StageResult(value, None, timings)
        error = failure
        log.info("engine_failed", stage=stage, engine=engine.config.name, kind=failure.kind, detail=failure.detail)
        if (kept := enough()) is not None:
            return StageResult(kept, None, timings)
        if left_s() < LEAST_ATTEMPT_S:
            break
    return StageResult(None, error, timings)


class _Trial(Generic[E]):
    """One engine's part in one turn."""

    def __init__(
        self, stage: Stage, engine: E, guard: Guard, permit: Permit, limits: Limits, *, another: bool, open_ended: bool
    ) -> None:
        self._stage, self._engine = stage, engine
        self._guard, self._permit = guard, permit
        self._limit = limits.of(engine.config)
        self._watch = limits.watch
        self._attempted_at = 0.0
        self._another = another
        self._open_ended = open_ended
        self._attempts = 0
        self._queued_s = 0.0
        self._trace = Trace()

    async def run(
        self,
        left_s: Callable[[], float],
        attempt: Callable[[E, Trace], Awaitable[T]],
        chance: Callable[[], float],
        enough: Callable[[], T | None],
    ) -> tuple[T | None, EngineError | None]:
        verdict, kind = Verdict.ABANDONED, ""
        failure: EngineError | None = None
        try:
            while True:
                try:
                    value, error = await self._once(left_s, attempt)
                except BusyEngineError as busy:
                    return None, failure or busy
                if error is None:
                    verdict = Verdict.OK
                    return value, None
                if isinstance(error, LateTurnError):
                    return None, failure or error
                failure = error
                verdict, kind = Verdict.FAIL, error.kind
                if isinstance(error, SlowEngineError) and self._stood_still():
                    log.warning("engine_not_blamed", engine=self._engine.config.name, kind=error.kind)
                    verdict = Verdict.ABANDONED
                delay_s = next_delay_s(self._attempts, error, left_s() - self._kept_s, chance())
                if delay_s is None or enough() is not None:
                    return None, error
                await asyncio.sleep(delay_s)
        except asyncio.CancelledError:
            verdict = Verdict.ABANDONED
            raise
        finally:
            self._guard.record(self._permit, verdict, kind)

    def _stood_still(self) -> bool:
        took_s = time.monotonic() - self._attempted_at
        return self._watch.stood_still_s(self._attempted_at) > took_s * STALLED_SHARE

    @property
    def _kept_s(self) -> float:
        return NEXT_ENGINE_S if self._another else 0.0

    async def _once(
        self, left_s: Callable[[], float], attempt: Callable[[E, Trace], Awaitable[T]]
    ) -> tuple[T | None, EngineError | None]:
        """Raises :class:`BusyEngineError` when there is no place at the engine for an attempt."""
        if self._another and not self._attempts and self._limit.peace_s():
            raise BusyEngineError("left alone, as it asked")
        asked_at = time.perf_counter()
        wait_s = min(self._engine.config.first_byte_s, left_s() - self._kept_s - LEAST_ATTEMPT_S)
        async with contextlib.AsyncExitStack() as held:
            try:
                with self._trace.idle():
                    await held.enter_async_context(self._limit.place(wait_s))
            finally:
                self._queued_s += time.perf_counter() - asked_at
            limit_s = attempt_limit_s(left_s(), self._engine.config.total_s, another=self._another)
            if limit_s < LEAST_ATTEMPT_S and not self._attempts:
                return None, LateTurnError()
            return await self._attempt(None if self._open_ended else limit_s, attempt)

    async def _attempt(
        self, limit_s: float | None, attempt: Callable[[E, Trace], Awaitable[T]]
    ) -> tuple[T | None, EngineError | None]:
        self._attempts += 1
        self._attempted_at = time.monotonic()
        self._trace.restart()
        try:
            async with asyncio.timeout(limit_s):
                return await attempt(self._engine, self._trace), None
        except TimeoutError:
            return None, overdue(math.inf if limit_s is None else limit_s, self._engine.config)
        except EngineError as error:
            if error.retry_after_s:
                self._limit.back_off(error.retry_after_s)
            return None, error

    def timing(self, error: EngineError | None) -> StageTiming:
        return StageTiming(
            stage=self._stage.value,
            engine=self._engine.config.name,
            attempts=self._attempts,
            total_ms=self._trace.total_ms,
            first_byte_ms=self._trace.first_byte_ms,
            kind="" if error is None else error.kind.value,
            queue_ms=round(self._queued_s * 1000, 1),
            connect_ms=self._trace.connect_ms,
            usage=self._trace.usage,
            cost=self._engine.config.price.of(self._trace.usage),
        )
