"""FreeSWITCH's task scheduler: tasks with an id and a group, on whole seconds, as `sched_api` and its relatives use it.

Owns the timing rule and the tasks' lives. Knows nothing of what a task does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from simulator.clock import Clock


@dataclass(slots=True)
class _Task:
    group: str
    runner: asyncio.Task[None]


class Scheduler:
    """A task due at +N runs when the second changes to N later: up to one second early, and +1 at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: dict[int, _Task] = {}
        self._runners: set[asyncio.Task[None]] = set()  # includes those whose task has left the table to act
        self._last_id = 0

    def add(self, delay_s: int, group: str, action: Callable[[], Awaitable[None]], *, every_s: int = 0) -> int:
        self._last_id += 1
        task_id = self._last_id
        due_s = math.floor(self._clock.now_s()) + delay_s
        runner = asyncio.create_task(self._run(task_id, due_s, action, every_s))
        self._runners.add(runner)
        runner.add_done_callback(self._runners.discard)
        self._tasks[task_id] = _Task(group, runner)
        return task_id

    async def _run(self, task_id: int, due_s: float, action: Callable[[], Awaitable[None]], every_s: int) -> None:
        while True:
            await self._clock.sleep(due_s - self._clock.now_s())
            if not every_s:
                self._tasks.pop(task_id, None)
            await action()
            if not every_s:
                return
            due_s += every_s

    def delete(self, id_or_group: str) -> int:
        """How many tasks went. An id is digits; anything else names a group (a call's own tasks have its uuid)."""
        if id_or_group.isdecimal():
            ids = [int(id_or_group)] if int(id_or_group) in self._tasks else []
        else:
            ids = [task_id for task_id, task in self._tasks.items() if task.group == id_or_group]
        for task_id in ids:
            self._tasks.pop(task_id).runner.cancel()
        return len(ids)

    async def close(self) -> None:
        runners = list(self._runners)
        self._tasks.clear()
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
