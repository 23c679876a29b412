"""The drill as one process sees it: read from the durable Redis four times a second, held in memory, gone when its time is.

Owns the loop and the drill's own circuits. Whoever serves calls asks :meth:`DrillWatch.covering`, which is memory only.
With Redis away there is no drill: nobody could end it.

Covered calls count on circuits of the drill's own, one for each engine of its stage, shared by the fleet and probed like
any other: a drill never opens the circuit of a call that it does not cover, and leaves none open behind it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence

import msgspec
import structlog

from ai_engine.circuits import keys
from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.guard import Guard
from ai_engine.circuits.sharing import UNREACHABLE
from ai_engine.drills.drill import KEY, Drill, Running
from ai_engine.drills.store import running_of
from ai_engine.engines.config import EngineConfig
from ai_engine.redis_clients import connect_async, uninterrupted

LOOK_S = 0.25
# The moves are in the history; what remains of a drill's circuits in Redis is of no use to anybody.
FORGET_MS = 600_000

log = structlog.get_logger(__name__)


class ActiveDrill:
    """One drill in one process, with its circuits. ``ends_at`` and ``works_again_at`` are monotonic."""

    def __init__(self, drill: Drill, board: CircuitBoard, clock: Callable[[], float]) -> None:
        self.drill = drill
        self.board = board
        self.ends_at = self.works_again_at = float("-inf")
        self._clock = clock
        self._names: frozenset[str] = frozenset()

    @property
    def is_failing(self) -> bool:
        """False once the engines work again: then only circuits that are still open keep covered calls off the AI."""
        return self._clock() < self.works_again_at

    @property
    def is_usable(self) -> bool:
        """Whether the drill's own circuits let a covered call use the stage."""
        return self.board.usable(self.drill.stage.value).usable

    def guard_of(self, others: Callable[[str], Guard]) -> Callable[[str], Guard]:
        """The circuits for a covered call: the drill's own for the engines of its stage, ``others`` for the rest."""
        names, circuit = self._names, self.drill.circuit
        return lambda name: self.board.guard(circuit(name)) if name in names else others(name)

    def set_engines(self, configs: Sequence[EngineConfig]) -> None:
        self._names = frozenset(one.name for one in configs if one.stage is self.drill.stage)
        self.board.set_engines(circuits_of(self.drill, configs))

    def stop_failing(self) -> None:
        """For turns that began with it: it was ended, or nobody could end it any more."""
        self.works_again_at = float("-inf")

    def note(self, running: Running) -> None:
        now = self._clock()
        self.ends_at = now + running.left_s
        self.works_again_at = now + running.failing_left_s


def circuits_of(drill: Drill, configs: Sequence[EngineConfig]) -> list[EngineConfig]:
    """The engines of the drill's stage, named as its circuits."""
    return [msgspec.structs.replace(one, name=drill.circuit(one.name)) for one in configs if one.stage is drill.stage]


class DrillWatch:
    """``beside`` is what runs as long as a drill does (a worker's prober), from the same loop. Limits are the circuits' own."""

    def __init__(
        self,
        redis_url: str,
        engines: Sequence[EngineConfig],
        process_id: str,
        *,
        threshold: int = 3,
        open_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.beside: Callable[[ActiveDrill], Coroutine[object, object, None]] | None = None
        self._redis_url, self._process_id = redis_url, process_id
        self._threshold, self._open_s = threshold, open_s
        self._clock = clock
        self._engines = tuple(engines)
        self._client = connect_async(redis_url)
        self._active: ActiveDrill | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._away = False

    # --- memory only --------------------------------------------------------------------------------------------------
    @property
    def active(self) -> ActiveDrill | None:
        """None also while Redis is away, and from the moment on at which the drill's time is over."""
        found = self._active
        return found if found is not None and not self._away and self._clock() < found.ends_at else None

    def covering(self, call_uuid: str, *, simulated: bool) -> ActiveDrill | None:
        found = self.active
        return found if found is not None and found.drill.covers(call_uuid, simulated=simulated) else None

    def set_engines(self, configs: Sequence[EngineConfig]) -> None:
        self._engines = tuple(configs)
        if self._active is not None:
            self._active.set_engines(configs)

    # --- with Redis ---------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(LOOK_S)
        finally:
            await self._stop()
            await self._client.aclose()

    async def look(self) -> None:
        """One reading, and what follows from it."""
        try:
            running = await uninterrupted(self._read())
        except UNREACHABLE as error:
            if not self._away:
                log.warning("drills_redis_away", error=str(error))
            self._away = True
            if self._active is not None:
                self._active.stop_failing()
            return
        self._away = False
        drill = None if running is None else running.drill
        if self._active is not None and (drill is None or drill.drill_id != self._active.drill.drill_id):
            await self._leave()
        if running is None:
            return
        if self._active is None:
            await self._enter(running.drill)
        if self._active is not None:
            self._active.note(running)

    async def _read(self) -> Running | None:
        async with self._client.pipeline() as pipe:
            pipe.get(KEY)
            pipe.pttl(KEY)
            return running_of(await pipe.execute())

    async def _enter(self, drill: Drill) -> None:
        board = CircuitBoard(self._redis_url, (), self._process_id, threshold=self._threshold, open_s=self._open_s)
        active = ActiveDrill(drill, board, self._clock)
        active.set_engines(self._engines)
        await board.refresh()
        self._tasks = [asyncio.create_task(board.run())]
        if self.beside is not None:
            self._tasks.append(asyncio.create_task(self.beside(active)))
        self._active = active
        log.info("drill_begins", drill=drill.drill_id, failure=drill.failure, stage=drill.stage, scope=drill.scope)

    async def _leave(self) -> None:
        left = self._active
        await self._stop()
        if left is None:
            return
        log.info("drill_is_over", drill=left.drill.drill_id)
        names = [one.name for one in circuits_of(left.drill, self._engines)]
        try:
            await uninterrupted(self._forget(names))
        except UNREACHABLE as error:
            log.info("drill_circuits_not_forgotten", error=str(error))

    async def _forget(self, names: Sequence[str]) -> None:
        if not names:
            return
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.hdel(keys.ENGINES, *names)
            for name in names:
                pipe.pexpire(keys.state_key(name), FORGET_MS)
            await pipe.execute()

    async def _stop(self) -> None:
        if self._active is not None:
            self._active.stop_failing()
        self._active = None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("drill_loop_ended", error=repr(result))
