"""The works of a process that never end by themselves: flows, engines, circuits, journal, drills, a switch's events.

Owns what it means when one does: the process finishes its calls and ends with that error, to be started anew. A bridge whose
journal is no longer sent, or that no longer hears of circuits, would look well and be half alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType

import redis.asyncio as redis
import structlog

from esl_bridge.journal.sender import Journal

log = structlog.get_logger(__name__)

# The journal's last entries; what Redis does not take by then stays in the spool, for another process to adopt.
JOURNAL_DRAIN_S = 3.0


async def part_from_journal(journal: Journal, *clients: redis.Redis) -> None:
    """The last that a process does: what is left is sent, and all is closed, also when that fails."""
    try:
        await journal.drain(JOURNAL_DRAIN_S)
    finally:
        journal.close()
        for client in clients:
            await client.aclose()


class Upkeep:
    """``async with``: the works run within it. When one ends, ``stop`` is set; its error is raised at the end.

    Raises RuntimeError for a work that ended without an error.
    """

    def __init__(self, works: Iterable[Coroutine[object, object, None]], stop: asyncio.Event) -> None:
        self._works = works
        self._stop = stop
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: asyncio.Task[None] | None = None
        self._is_closing = False

    async def __aenter__(self) -> None:
        for work in self._works:
            task = asyncio.create_task(work, name=getattr(work, "__qualname__", ""))
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None and self._failed is not None:
            if not self._failed.cancelled():
                self._failed.result()
            raise RuntimeError(f"{self._failed.get_name()} ended by itself")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._is_closing or self._failed is not None:
            return
        self._failed = task
        log.error("a work of this process has ended: its calls are finished and it ends too", work=task.get_name(),
                  exc_info=None if task.cancelled() else task.exception())  # fmt: skip
        self._stop.set()
