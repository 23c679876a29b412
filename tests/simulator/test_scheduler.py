"""Tasks on whole seconds, with ids and groups."""

from __future__ import annotations

import asyncio
import math

from simulator.clock import Clock
from simulator.scheduler import Scheduler


async def test_a_task_runs_when_the_second_has_changed_often_enough() -> None:
    clock = Clock(20)
    scheduler = Scheduler(clock)
    ran: asyncio.Queue[float] = asyncio.Queue()

    async def note() -> None:
        await ran.put(clock.now_s())

    asked_s = clock.now_s()
    assert scheduler.add(4, "g", note) == 1
    ran_s = await asyncio.wait_for(ran.get(), 5)
    assert math.floor(asked_s) + 4 <= ran_s < math.floor(asked_s) + 4 + 0.6
    await scheduler.close()


async def test_deleting_by_id_and_by_group() -> None:
    scheduler = Scheduler(Clock())

    async def never() -> None:
        raise AssertionError

    ids = [scheduler.add(60, group, never) for group in ("a", "a", "b", "b")]
    assert ids == [1, 2, 3, 4]
    assert scheduler.delete("a") == 2
    assert scheduler.delete("3") == 1
    assert scheduler.delete("3") == 0
    assert scheduler.delete("nobody") == 0
    assert scheduler.delete("b") == 1
    await scheduler.close()


async def test_a_repeating_task_runs_until_it_is_deleted() -> None:
    scheduler = Scheduler(Clock(50))
    ran: asyncio.Queue[int] = asyncio.Queue()

    async def note() -> None:
        await ran.put(1)

    task_id = scheduler.add(1, "g", note, every_s=1)
    for _ in range(3):
        await asyncio.wait_for(ran.get(), 5)
    assert scheduler.delete(str(task_id)) == 1
    await scheduler.close()
