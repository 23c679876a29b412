"""What a circuit's guard costs a turn: a permit and its verdict, on a board that shares its state over a real Redis."""

from __future__ import annotations

import asyncio
import statistics
import time

from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.states import Verdict
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.trace import Trace
from ai_engine.limits import Limits
from ai_engine.retries import run_stage
from bench.results_file import Figure
from tests.redis_server import RedisServer

ROUNDS = 9
CALLS = 5_000
STAGE_CALLS = 1_000
ENGINE = EngineConfig("bench", Stage.NLU, EngineKind.OPENAI, "http://127.0.0.1:1", concurrency=1000, per_second=1e6)


class _Instant:
    """An engine that has answered already: what is left is what we put around it."""

    config = ENGINE


async def _answer(_engine: _Instant, _trace: Trace) -> str:
    return "yes"


async def figures() -> dict[str, Figure]:
    with RedisServer(durable=True) as durable:
        board = CircuitBoard(durable.url, (ENGINE,), "bench")
        await board.refresh()
        running = asyncio.create_task(board.run())
        try:
            return await _measured(board)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await board.close()


async def _measured(board: CircuitBoard) -> dict[str, Figure]:
    guard = board.guard(ENGINE.name)
    guard_us, stage_us = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            permit = guard.permit()
            assert permit is not None
            guard.record(permit, Verdict.OK, "")
        guard_us.append((time.process_time() - began) / CALLS * 1e6)
        await asyncio.sleep(0.3)  # The board's own work, outside the round.
        limits = Limits()
        began = time.process_time()
        for _ in range(STAGE_CALLS):
            await run_stage(Stage.NLU, [_Instant()], board.guard, lambda: 4.0, _answer, limits)
        stage_us.append((time.process_time() - began) / STAGE_CALLS * 1e6)
        await asyncio.sleep(0.3)
    return {
        "guard_us": Figure(round(statistics.median(guard_us), 1), "µs of CPU, a permit and its verdict", "under 100"),
        "stage_us": Figure(
            round(statistics.median(stage_us), 1), "µs of CPU around an engine's call: guard, limits, deadline, record"
        ),
    }
