"""Exactly one probe in the whole fleet: eight real processes with fifty tasks each, again and again, and a prober killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from ctypes import c_double, c_int
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from ai_engine.circuits import board as board_module
from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.states import CircuitState, Permit, Verdict
from tests.ai_engine.circuits.boards import board, running, spend, state
from tests.ai_engine.waiting import until

PROCESSES, TASKS, ROUNDS = 8, 50, 200
STT = "local-stt"
# Over at once: each round begins when the failed probe of the one before has opened the circuit again.
OPEN_S = 0.005
STEP_LIMIT_S = 15.0
# How long a killed prober's lock lasts in these tests; the product's is eight seconds.
LOCK_S = 0.5


@pytest.fixture(scope="module")
def fleet() -> BaseContext:
    """Processes of one server that has imported everything once: eight starts from nothing took 16 s."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.fixture
def starts(fleet: BaseContext) -> Iterator[Callable[..., BaseProcess]]:
    processes: list[BaseProcess] = []

    def start(work: Callable[..., None], *args: object) -> BaseProcess:
        process: BaseProcess = fleet.Process(target=work, args=args)  # type: ignore[attr-defined]
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.join(10)
        process.kill()
        process.join()


async def half_open(mine: CircuitBoard) -> None:
    await until(lambda: mine.guard(STT).automatic is CircuitState.HALF_OPEN, within_s=STEP_LIMIT_S)


async def claim_at_once(mine: CircuitBoard) -> list[Permit]:
    claims = await asyncio.gather(*(mine.claim_probe(STT) for _ in range(TASKS)))
    return [claim for claim in claims if claim is not None]


def step_together(url: str, number: int, barrier: Barrier, won: Any) -> None:
    async def go() -> None:
        mine = board(url, f"p{number}", open_s=OPEN_S)
        async with running(mine):
            if number == 0:
                spend(mine, STT, Verdict.FAIL, 3)
            for each in range(ROUNDS):
                this = slice(each * PROCESSES, (each + 1) * PROCESSES)
                await half_open(mine)
                claims = await claim_at_once(mine)
                won[each * PROCESSES + number] += len(claims)
                while not sum(won[this]):
                    await asyncio.sleep(0)
                    claims += await claim_at_once(mine)
                    won[each * PROCESSES + number] = len(claims)
                # Whoever won still probes: nobody goes on before all have asked.
                await asyncio.to_thread(barrier.wait, STEP_LIMIT_S)
                for claim in claims:
                    mine.guard(STT).record(claim, Verdict.FAIL, "refused")
                    await mine.refresh()  # The fleet knows of it.

    asyncio.run(go())


def test_eight_processes_with_fifty_tasks_make_one_probe_each_time(
    durable_redis: str, fleet: BaseContext, starts: Callable[..., BaseProcess]
) -> None:
    barrier, won = fleet.Barrier(PROCESSES), fleet.Array(c_int, ROUNDS * PROCESSES, lock=False)
    processes = [starts(step_together, durable_redis, number, barrier, won) for number in range(PROCESSES)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    rounds = [list(won[each * PROCESSES : (each + 1) * PROCESSES]) for each in range(ROUNDS)]
    assert [sum(one) for one in rounds] == [1] * ROUNDS
    assert sum(any(one[number] for one in rounds) for number in range(PROCESSES)) > 1, "always the same process won"


def probe_and_stay(url: str, number: int, barrier: Barrier, began: Any, ended: Any, stop: Any) -> None:
    """Claims until it wins once, then holds the probe until it is killed, or for a while and reports that it succeeded."""
    vars(board_module)["PROBE_LIMIT_S"] = LOCK_S

    async def go() -> None:
        mine = board(url, f"p{number}", open_s=OPEN_S)
        async with running(mine):
            if number == 0:
                spend(mine, STT, Verdict.FAIL, 3)
            await half_open(mine)
            await asyncio.to_thread(barrier.wait, STEP_LIMIT_S)
            while not stop.is_set():
                for claim in await claim_at_once(mine):
                    first = not any(began[:])
                    began[number] = time.monotonic()
                    if first:
                        await asyncio.sleep(STEP_LIMIT_S)  # Until it is killed.
                    await asyncio.sleep(LOCK_S / 5)
                    ended[number] = time.monotonic()
                    mine.guard(STT).record(claim, Verdict.OK)
                    await mine.refresh()
                if state(mine, STT) is CircuitState.CLOSED:
                    return
                await asyncio.sleep(0.002)

    asyncio.run(go())


def test_a_prober_killed_in_the_middle_is_followed_by_one_other_and_never_are_there_two(
    durable_redis: str, fleet: BaseContext, starts: Callable[..., BaseProcess]
) -> None:
    barrier, stop = fleet.Barrier(PROCESSES), fleet.Event()
    began, ended = (fleet.Array(c_double, PROCESSES, lock=False) for _ in range(2))
    processes = [starts(probe_and_stay, durable_redis, n, barrier, began, ended, stop) for n in range(PROCESSES)]
    try:
        deadline = time.monotonic() + STEP_LIMIT_S
        while not any(began[:]):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        killed = next(number for number in range(PROCESSES) if began[number])
        pid = processes[killed].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        for process in processes:
            process.join(STEP_LIMIT_S)
    finally:
        stop.set()
    assert [process.exitcode for process in processes] == [-signal.SIGKILL if n == killed else 0 for n in range(PROCESSES)]
    others = [number for number in range(PROCESSES) if began[number] and number != killed]
    assert len(others) == 1, "one probe after the lock's time, which closes the circuit for all"
    assert began[others[0]] - began[killed] >= LOCK_S * 0.9, "not while the killed one's lock still held"
    assert ended[others[0]] > began[others[0]]
