"""All circuits of one process, kept in step with the fleet's through the durable Redis.

Owns the loop that sends outcomes and adopts what the fleet decided; which circuits there are is the roster's. Callers
never wait for it: ``guard(name).permit()`` and ``.record()`` are memory only. With Redis away the guards go on by
themselves; afterwards the later transition wins. While Redis is reachable exactly one process probes, otherwise one
probe per process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Sequence

import structlog

from ai_engine.circuits.guard import PROBE_LIMIT_S, Guard, Move
from ai_engine.circuits.outgoing import LocalMoves, Outcomes, Pending, Settle
from ai_engine.circuits.roster import Roster
from ai_engine.circuits.sharing import UNREACHABLE, FleetState, Known, Push, SharedCircuits
from ai_engine.circuits.states import TURNS, CircuitState, CircuitView, Hold, Permit, StageUse, Verdict
from ai_engine.engines.config import EngineConfig
from ai_engine.redis_clients import uninterrupted

# Every process must see a move within 200 ms: one GET of the revision this often leaves room for a busy loop.
TICK_S = 0.05
# Everything is read again this often even if the revision did not move (a hold's expiry moves nothing).
REREAD_S = 1.0
# The register only serves to show circuits whose processes are gone.
REGISTER_S = 10.0
AWAY_PAUSE_S = (0.1, 1.0)
# What was never read is read at the next exchange, or used unread when Redis does not answer within its time-outs.
SETTLE_LIMIT_S = 3.0

log = structlog.get_logger(__name__)


class CircuitBoard:
    """``local`` names circuits counted in this process only (``turns:<bridge_id>``); their holds are shared, and a
    hold of ``turns`` holds every bridge's. ``threshold`` and ``open_s`` hold for engines that have none of their own.
    Every move, shared or local, is told once in the fleet's history (``history.py``).
    """

    def __init__(
        self,
        redis_url: str,
        engines: Sequence[EngineConfig],
        process_id: str,
        *,
        threshold: int = 3,
        open_s: float = 15.0,
        local: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._shared = SharedCircuits(redis_url)
        self._process_id = process_id
        self._clock, self._wall_clock = clock, wall_clock
        self._roster = Roster(local, threshold, open_s, self._new_guard, clock)
        self._leaving: set[str] = set()
        self._outcomes = Outcomes()
        self._versions: dict[str, int] = {}
        self._settles: dict[str, Settle] = {}
        self._claiming: set[str] = set()
        self._read = asyncio.Event()
        self._local_moves = LocalMoves(process_id, clock)
        self._local_shown: dict[str, tuple[CircuitState, int]] = {}
        self._wake = asyncio.Event()
        self._away = False
        self._was_away = True
        self._revision = -1
        self._reread_at = self._register_at = self._local_at = float("-inf")
        self._install(engines)
        self._read.set()  # Who builds a board calls refresh() before it serves, and serves also without Redis.

    # --- memory only ------------------------------------------------------------------------------------------------
    def guard(self, name: str) -> Guard:
        """Also, for a minute, that of a removed engine: for turns that began with it."""
        return self._roster.guard(name)

    def set_engines(self, configs: Sequence[EngineConfig]) -> None:
        """Other engines from now on, from the loop of :meth:`run`. Circuits of unchanged names keep state, count and
        hold and take their new limits; those of removed ones go; new ones are read from the fleet before they are used:
        a turn waits for that with :meth:`settled`. Doing it again changes nothing.
        """
        before = set(self._versions)
        new = self._install(configs)
        for name in new:
            self._roster.guards[name].is_read = False
        self._leaving = (self._leaving | before) - set(self._versions)
        self._register_at = self._reread_at = float("-inf")
        self._note_read()
        self._wake.set()

    async def settled(self) -> None:
        """Until every circuit was read from the fleet, or Redis is known to be away. Mostly returns at once."""
        if not self._read.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_LIMIT_S):
                    await self._read.wait()

    def stage(self, stage: str) -> Sequence[Guard]:
        """The guards of a stage, in the order in which its engines are tried."""
        return self._roster.stage(stage)

    def usable(self, stage: str) -> StageUse:
        states = [guard.state for guard in self.stage(stage)]
        usable = any(state in (CircuitState.CLOSED, CircuitState.FORCED_CLOSED) for state in states)
        return StageUse(usable=usable, forced=not usable and CircuitState.FORCED_OPEN in states)

    def views(self) -> list[CircuitView]:
        return [guard.view() for guard in self._roster.guards.values()]

    @property
    def redis_away(self) -> bool:
        return self._away

    # --- with Redis -------------------------------------------------------------------------------------------------
    async def claim_probe(self, name: str) -> Permit | None:
        """Leave for the fleet's one probe of a half-open circuit, or None. Report by ``guard(name).record(permit, …)``.

        Waits for Redis at most its client's time-out; when it does not answer, this process probes on its own.
        """
        guard = self.guard(name)
        if guard.automatic is not CircuitState.HALF_OPEN or guard.state is CircuitState.FORCED_OPEN:
            return None
        if name not in self._roster.guards:
            return None  # Removed; a turn may still hold its guard.
        if name in self._roster.local:
            return guard.permit_probe()
        if name in self._claiming:
            return None  # Another task of this process is asking.
        self._claiming.add(name)
        try:
            return await self._claim(guard)
        finally:
            self._claiming.discard(name)

    async def _claim(self, guard: Guard) -> Permit | None:
        name, token = guard.name, f"{self._process_id}:{uuid.uuid4().hex}"
        try:
            won = await self._shared.claim(name, token, lock_ms=int(PROBE_LIMIT_S * 1000), open_s=guard.open_s)
        except UNREACHABLE:
            return guard.permit_probe()
        if not won:
            return None
        permit = guard.permit_probe(token)
        if permit is None:  # It moved while we asked: give the lock back.
            self._settles[name] = Settle(token, Verdict.ABANDONED, "", guard.threshold, 0)
            self._wake.set()
        return permit

    async def refresh(self) -> bool:
        """Reads everything once, for a process about to serve: holds and open circuits are known from its first call.
        False when Redis does not answer.
        """
        try:
            await self._exchange()
            await self._register()
        except UNREACHABLE as error:
            self._went_away(error)
            return False
        self._came_back()
        return True

    async def run(self) -> None:
        """Until cancelled: keeps in step, survives Redis going away and coming back."""
        pause_s = AWAY_PAUSE_S[0]
        try:
            while True:
                self._wake.clear()
                for guard in self._roster.guards.values():
                    _ = guard.state  # Time alone may have moved it.
                try:
                    await uninterrupted(self._step())
                except UNREACHABLE as error:
                    self._went_away(error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, AWAY_PAUSE_S[1])
                    continue
                pause_s = AWAY_PAUSE_S[0]
                self._came_back()
                await self._wait_for_work()
        finally:
            await self.close()

    async def close(self) -> None:
        """For a board that never ran; :meth:`run` closes at its end. Repeating it changes nothing."""
        await self._shared.close()

    async def _wait_for_work(self) -> None:
        try:
            async with asyncio.timeout(TICK_S):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _step(self) -> None:
        now = self._clock()
        revision = await self._shared.revision()
        busy = self._settles or self._outcomes.any
        dirty = any(guard.dirty for guard in self._roster.fleet)
        if busy or dirty or self._was_away or revision != self._revision or now >= self._reread_at:
            self._revision = revision
            await self._exchange()
        if now >= self._register_at:
            await self._register()
        await self._tell_local(now)

    async def _register(self) -> None:
        wall_s = self._wall_clock()
        leaving = self._leaving
        await self._shared.register(
            [Known(g.name, g.stage, g.threshold, g.open_s, wall_s) for g in self._roster.fleet], leaving=leaving
        )
        self._leaving = self._leaving - leaving
        self._register_at = self._clock() + REGISTER_S

    async def _exchange(self) -> None:
        await self._send_settles()
        sent = self._outcomes.take()
        fleet = list(self._roster.fleet)
        generations = [guard.generation for guard in fleet]
        pushes = [self._push(guard, sent.get(guard.name) or Pending()) for guard in fleet]
        forced = [*self._roster.guards, *([TURNS] if self._roster.local else [])]
        states, holds = await self._shared.exchange(pushes, forced)
        self._outcomes.confirmed(sent)
        self._was_away = False
        self._reread_at = self._clock() + REREAD_S
        for guard, push, state, generation in zip(fleet, pushes, states, generations, strict=True):
            if self._roster.guards.get(push.name) is guard:  # Else the engine was removed meanwhile.
                self._adopt(guard, push, state, generation)
        self._adopt_holds(holds, forced)
        self._note_read()

    def _push(self, guard: Guard, pending: Pending) -> Push:
        dirty = guard.dirty
        return Push(
            name=guard.name,
            version=self._versions[guard.name],
            threshold=guard.threshold,
            open_s=guard.open_s,
            ok_seen=pending.ok_seen,
            failures=pending.failures,
            why=pending.why or guard.view().why,
            own_state="" if not dirty else "closed" if guard.automatic is CircuitState.CLOSED else "open",
            own_age_ms=int(guard.age_s * 1000),
            number=self._outcomes.number,
            own_move=guard.own_move,
            was_away=self._was_away,
        )

    def _adopt(self, guard: Guard, push: Push, state: FleetState, generation: int) -> None:
        newer = state.version != self._versions[push.name]
        self._versions[push.name] = state.version
        if not newer and (guard.generation != generation or self._outcomes.has(push.name)):
            return  # Something happened here meanwhile: the next exchange tells it and reads again.
        confirmed = push.own_state == state.state.value and guard.generation == generation
        moved = newer and not confirmed
        if moved:
            self._outcomes.forget(push.name)
        guard.adopt(state.state, failures=state.failures, age_s=state.age_s, why=state.why, moved=moved)

    def _adopt_holds(self, holds: dict[str, Hold], asked: Sequence[str]) -> None:
        for guard in self._roster.guards.values():
            if guard.name not in asked:
                continue  # It was added meanwhile; the next exchange reads it.
            guard.set_hold(holds.get(guard.name) or (holds.get(TURNS) if guard.name in self._roster.local else None))

    async def _send_settles(self) -> None:
        for name, settle in list(self._settles.items()):
            version = await self._shared.settle(
                name, settle.token, settle.verdict, threshold=settle.threshold, why=settle.why, own_move=settle.own_move
            )
            if self._settles.get(name) is settle:
                del self._settles[name]
            if version is not None and name in self._versions:
                self._versions[name] = version

    async def _tell_local(self, now: float) -> None:
        while (move := self._local_moves.first) is not None:
            await self._shared.tell_local(move)
            self._local_moves.told(move)
        views = [self._roster.guards[name].view() for name in self._roster.local]
        shown = {view.name: (view.state, view.failures) for view in views}
        if views and (now >= self._local_at or shown != self._local_shown):
            await self._shared.publish_local(views)
            self._local_at, self._local_shown = now + REREAD_S, shown

    def _install(self, configs: Sequence[EngineConfig]) -> set[str]:
        new = self._roster.install(configs)
        names = [guard.name for guard in self._roster.fleet]
        self._outcomes.keep_only(names)
        self._versions = {name: self._versions.get(name, 0) for name in names}
        return new

    def _new_guard(self, name: str, stage: str, threshold: int, open_s: float) -> Guard:
        guard = Guard(name, stage, threshold=threshold, open_s=open_s, clock=self._clock, wall_clock=self._wall_clock)
        guard.on_outcome, guard.on_move = self._heard_outcome, self._heard_move
        return guard

    def _note_read(self) -> None:
        if all(guard.is_read for guard in self._roster.fleet):
            self._read.set()
        else:
            self._read.clear()

    # --- what happened ----------------------------------------------------------------------------------------------
    def _heard_outcome(self, guard: Guard, permit: Permit, verdict: Verdict, kind: str) -> None:
        if guard.name in self._roster.local:
            return
        if permit.is_probe:
            if permit.token:
                self._settles[guard.name] = Settle(permit.token, verdict, kind, guard.threshold, guard.own_move)
                self._wake.set()
        else:
            self._outcomes.add(guard.name, verdict, kind)
            if verdict is Verdict.FAIL:  # A success can wait for the next tick.
                self._wake.set()

    def _heard_move(self, move: Move) -> None:
        log.info("circuit_moved", circuit=move.name, before=move.before, after=move.after, why=move.why)
        if move.name in self._roster.local:
            self._local_moves.add(move)
        self._wake.set()

    def _went_away(self, error: BaseException) -> None:
        if not self._away:
            log.warning("circuits_redis_away", error=str(error))
        self._away = self._was_away = True
        for guard in self._roster.fleet:
            guard.is_read = True  # Nobody to ask: this process goes on by itself.
        self._note_read()

    def _came_back(self) -> None:
        if self._away:
            log.info("circuits_redis_back")
        self._away = False
