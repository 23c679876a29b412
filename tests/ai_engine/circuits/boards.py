"""Boards for tests: several processes' worth of them on one loop, over a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.states import CircuitState, Permit, Verdict
from ai_engine.engines.config import local_engines

ENGINES = local_engines("127.0.0.1", 1, 2)


@contextlib.asynccontextmanager
async def running(*boards: CircuitBoard) -> AsyncIterator[None]:
    for board in boards:
        assert await board.refresh()
    tasks = [asyncio.create_task(board.run()) for board in boards]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in boards:
            await one.close()
        assert all(task.cancelled() for task in tasks), "a sync loop died"


def board(url: str, name: str, **options: object) -> CircuitBoard:
    return CircuitBoard(url, ENGINES, name, **{"open_s": 0.3, **options})  # type: ignore[arg-type]


def spend(board: CircuitBoard, engine: str, verdict: Verdict, times: int = 1) -> None:
    for _ in range(times):
        permit = board.guard(engine).permit()
        assert permit is not None
        board.guard(engine).record(permit, verdict, "timeout")


def state(board: CircuitBoard, engine: str) -> CircuitState:
    return board.guard(engine).state


async def claimed(board: CircuitBoard, engine: str = "local-stt") -> Permit:
    for _ in range(200):
        permit = await board.claim_probe(engine)
        if permit is not None:
            return permit
        await asyncio.sleep(0.01)
    raise AssertionError("no probe was given")
