"""``python -m bench.circuits``: what a guard costs, and how long a circuit's move takes to every process of a fleet.

Eight processes with boards of their own on a Redis of their own. One of them sees the failures that open a circuit; each
of the others looks every millisecond and notes when it would no longer use the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from ctypes import c_double
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.guard import Guard
from ai_engine.circuits.states import Verdict
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from bench.results_file import FOLDER, Figure, machine, write_results
from tests.redis_server import RedisServer

PROCESSES = 8
MOVES = 50
GUARD_TURNS = 200_000
LOOK_S = 0.001
STEP_LIMIT_S = 30.0
ENGINES = [EngineConfig(f"engine-{n}", Stage.STT, EngineKind.VOSK, "ws://127.0.0.1:1") for n in range(MOVES)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER / "circuits.json")
    out: Path = parser.parse_args().out
    on_machine = machine("pybreaker and redis as pinned")
    guard_us = measured_guard_us()
    spread_ms = measured_spread_ms()
    figures = {
        "guard_us": Figure(round(guard_us, 2), "µs, permit and record of one turn", "under 20"),
        "spread_p50_ms": Figure(round(_at(spread_ms, 0.5), 1), f"ms, until one of {PROCESSES - 1} others knows"),
        "spread_p99_ms": Figure(round(_at(spread_ms, 0.99), 1), f"ms, until one of {PROCESSES - 1} others knows", "under 200"),
        "spread_max_ms": Figure(round(spread_ms[-1], 1), f"ms, the last of {len(spread_ms)}"),
    }
    write_results(out, "python -m bench.circuits", on_machine, figures)


def measured_guard_us() -> float:
    guard = Guard("engine", Stage.STT)
    began = time.perf_counter()
    for _ in range(GUARD_TURNS):
        permit = guard.permit()
        assert permit is not None
        guard.record(permit, Verdict.OK)
    return (time.perf_counter() - began) / GUARD_TURNS * 1_000_000


def measured_spread_ms() -> list[float]:
    """Sorted. The clocks of one machine's processes are one."""
    context = multiprocessing.get_context("fork")
    barrier, moved = context.Barrier(PROCESSES), context.Array(c_double, MOVES, lock=False)
    known = context.Array(c_double, MOVES * PROCESSES, lock=False)
    with RedisServer(durable=True) as server:
        arguments = [(server.url, number, barrier, moved, known) for number in range(PROCESSES)]
        processes = [context.Process(target=_one, args=each) for each in arguments]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
    return sorted((known[n * PROCESSES + p] - moved[n]) * 1000 for n in range(MOVES) for p in range(1, PROCESSES))


def _one(url: str, number: int, barrier: Barrier, moved: Any, known: Any) -> None:
    async def go() -> None:
        board = CircuitBoard(url, ENGINES, f"p{number}", open_s=3600)
        await board.refresh()
        syncing = asyncio.create_task(board.run())
        for n, engine in enumerate(ENGINES):
            guard = board.guard(engine.name)
            await asyncio.to_thread(barrier.wait, STEP_LIMIT_S)
            if number == 0:
                await asyncio.sleep(n % 10 * LOOK_S * 5)  # At every point of the others' round.
                moved[n] = time.monotonic()
                for _ in range(guard.threshold):
                    permit = guard.permit()
                    assert permit is not None
                    guard.record(permit, Verdict.FAIL, "timeout")
            while guard.usable:  # noqa: ASYNC110 — a turn asks the guard, nobody tells it
                await asyncio.sleep(LOOK_S)
            known[n * PROCESSES + number] = time.monotonic()
        await asyncio.to_thread(barrier.wait, STEP_LIMIT_S)  # Before that the others may not have heard of the last one.
        syncing.cancel()
        await asyncio.gather(syncing, return_exceptions=True)

    asyncio.run(go())


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    main()
