"""A process that stood still knows it, and does not blame the engine that it did not listen to.

By a clock that jumps: a stall of the machine would add to those of the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from ai_engine import retries
from ai_engine.circuits.guard import Guard
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.trace import Trace
from ai_engine.errors import Kind, SlowEngineError
from ai_engine.limits import Limits
from ai_engine.retries import StageResult, run_stage
from ai_engine.stalls import LoopWatch
from tests.ai_engine.virtual_clock import LoopTime, VirtualLoop, jumping


def stand_still(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.stand_still(seconds)


@contextlib.asynccontextmanager
async def running(watch: LoopWatch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@jumping
async def test_a_stall_is_known_as_soon_as_it_is_over_and_afterwards() -> None:
    watch = LoopWatch(LoopTime.monotonic)
    began = LoopTime.monotonic()
    async with running(watch):
        stand_still(0.4)
        assert watch.stood_still_s(began) == pytest.approx(0.35, abs=0.01)
        await asyncio.sleep(0.06)
        assert watch.stood_still_s(began) == pytest.approx(0.35, abs=0.01)
        assert watch.stood_still_s(LoopTime.monotonic()) == 0


@jumping
async def test_waiting_is_no_stall() -> None:
    watch = LoopWatch(LoopTime.monotonic)
    began = LoopTime.monotonic()
    async with running(watch):
        await asyncio.sleep(0.2)
    assert watch.stood_still_s(began) == 0


class DeafEngine:
    """Never answers; ``stall_s`` of its time our own loop stands still."""

    def __init__(self, stall_s: float) -> None:
        self.config = EngineConfig("deaf", Stage.NLU, EngineKind.OPENAI, "http://x", total_s=1.0)
        self._stall_s = stall_s

    async def do(self, _trace: Trace) -> str:
        stand_still(self._stall_s)
        await asyncio.sleep(max(0.0, 0.6 - self._stall_s))
        raise SlowEngineError(Kind.HANG)


@pytest.mark.parametrize(("stall_s", "blamed"), [(0.0, 1), (0.12, 1), (0.24, 1), (0.26, 0), (0.5, 0)])
@jumping
async def test_silence_during_a_stall_of_ours_is_not_counted_against_the_engine(
    monkeypatch: pytest.MonkeyPatch, stall_s: float, blamed: int
) -> None:
    monkeypatch.setattr(retries, "time", LoopTime)
    limits = Limits()
    limits.watch = LoopWatch(LoopTime.monotonic)
    guard = Guard("deaf", "nlu", threshold=3)
    async with running(limits.watch):
        result: StageResult[str] = await run_stage(
            Stage.NLU, [DeafEngine(stall_s)], lambda _name: guard, lambda: 4.0, lambda engine, trace: engine.do(trace), limits
        )
    assert result.error is not None
    assert result.error.kind is Kind.HANG
    assert guard.failures == blamed
