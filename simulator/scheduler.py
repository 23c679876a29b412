"""FreeSWITCH's task scheduler: tasks with an id and a group, on whole seconds, as `sched_api` and its relatives use it.

Owns the timing rule and the tasks' lives. Knows nothing of what a task does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from simulator.clock import Clock


@dataclass(slots=True)
class _Task:
    """``timer`` is the loop's own, until it is due: most tasks are deleted before."""

    task_id: int
    group: str
    due_s: float
    every_s: int
    action: Callable[[], Coroutine[object, object, None]]
    timer: asyncio.TimerHandle | None = None


class Scheduler:
    """A task due at +N runs when the second changes to N later: up to one second early, and +1 at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: dict[int, _Task] = {}
        self._groups: dict[str, set[int]] = {}
        self._running: set[asyncio.Task[None]] = set()  # their tasks may have left the table to act
        self._last_id = 0

    def add(
        self, delay_s: int, group: str, action: Callable[[], Coroutine[object, object, None]], *, every_s: int = 0
    ) -> int:
        self._last_id += 1
        task = _Task(self._last_id, group, math.floor(self._clock.now_s()) + delay_s, every_s, action)
        self._tasks[task.task_id] = task
        self._groups.setdefault(group, set()).add(task.task_id)
        self._wind(task)
        return task.task_id

    def _wind(self, task: _Task) -> None:
        after_s = self._clock.wall_s(max(0.0, task.due_s - self._clock.now_s()))
        task.timer = asyncio.get_running_loop().call_later(after_s, self._act, task)

    def _act(self, task: _Task) -> None:
        if task.every_s:
            task.due_s += task.every_s
            self._wind(task)
        else:
            self._forget(task.task_id)
        running = asyncio.create_task(task.action())
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    def _forget(self, task_id: int) -> _Task:
        task = self._tasks.pop(task_id)
        others = self._groups[task.group]
        others.discard(task_id)
        if not others:
            del self._groups[task.group]
        return task

    def delete(self, id_or_group: str) -> int:
        """How many tasks went. An id is digits; anything else names a group (a call's own tasks have its uuid)."""
        by_id = id_or_group.isdecimal()
        ids = {int(id_or_group)} & self._tasks.keys() if by_id else set(self._groups.get(id_or_group, ()))
        for task_id in ids:
            timer = self._forget(task_id).timer
            if timer is not None:
                timer.cancel()
        return len(ids)

    async def close(self) -> None:
        for task_id in list(self._tasks):
            self.delete(str(task_id))
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
