"""All circuits of one process, kept in step with the fleet's through the durable Redis.

Owns the guards and the loop that sends their outcomes and adopts what the fleet decided. Callers never wait for it:
``guard(name).permit()`` and ``.record()`` are memory only. With Redis away the guards go on by themselves; afterwards
the later transition wins. While Redis is reachable exactly one process probes, otherwise one probe per process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import structlog

from ai_engine.circuits.errors import UnknownCircuitError
from ai_engine.circuits.guard import PROBE_LIMIT_S, Guard, Move
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
# Turns that began with an engine since removed may still ask for its guard; no turn lasts this long.
RETIRED_S = 60.0
# What was never read is read at the next exchange, or used unread when Redis does not answer within its time-outs.
SETTLE_LIMIT_S = 3.0
# Moves waiting to be told; more than this many in a tick would be a fault, and the oldest matter least.
MAX_MOVES = 1000

OnChange = Callable[[str, CircuitState, CircuitState, str], None]
log = structlog.get_logger(__name__)


class _Pending(msgspec.Struct):
    """One circuit's outcomes not yet sent. Consecutive counting needs no list: a success, and the failures after it."""

    ok_seen: bool = False
    failures: int = 0
    why: str = ""

    def add(self, verdict: Verdict, kind: str) -> None:
        if verdict is Verdict.OK:
            self.ok_seen, self.failures = True, 0
        else:
            self.failures += 1
            self.why = kind

    def put_back(self, sent: _Pending) -> None:
        if not self.ok_seen:
            self.ok_seen, self.failures = sent.ok_seen, self.failures + sent.failures
            self.why = self.why or sent.why

    @property
    def empty(self) -> bool:
        return not self.ok_seen and not self.failures


class _Settle(msgspec.Struct, frozen=True):
    """A probe's result on its way to the fleet."""

    token: str
    verdict: Verdict
    why: str
    threshold: int


class CircuitBoard:
    """``local`` names circuits counted in this process only (``turns:<bridge_id>``); their holds are shared, and a
    hold of ``turns`` holds every bridge's. ``on_change(engine, before, after, why)`` is called from :meth:`run`: for
    each move of a shared circuit in one process of those that have it. ``threshold`` and ``open_s`` hold for engines
    that have none of their own.
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
        on_change: OnChange | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._shared = SharedCircuits(redis_url)
        self._process_id = process_id
        self._on_change = on_change
        self._clock, self._wall_clock = clock, wall_clock
        self._threshold, self._open_s = threshold, open_s
        self._local = tuple(local)
        self._guards: dict[str, Guard] = {}
        self._stages: dict[str, list[Guard]] = {}
        self._fleet: list[Guard] = []
        self._retired: dict[str, tuple[float, Guard]] = {}
        self._leaving: set[str] = set()
        self._pending: dict[str, _Pending] = {}
        self._versions: dict[str, int] = {}
        self._settles: dict[str, _Settle] = {}
        self._read = asyncio.Event()
        self._moves: deque[Move] = deque(maxlen=MAX_MOVES)
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
        if name in self._guards:
            return self._guards[name]
        if name in self._retired:
            return self._retired[name][1]
        raise UnknownCircuitError(f"no circuit {name!r}; there are {', '.join(sorted(self._guards))}")

    def set_engines(self, configs: Sequence[EngineConfig]) -> None:
        """Other engines from now on, from the loop of :meth:`run`. Circuits of unchanged names keep state, count and
        hold and take their new limits; those of removed ones go; new ones are read from the fleet before they are used:
        a turn waits for that with :meth:`settled`. Doing it again changes nothing.
        """
        before = set(self._guards)
        self._install(configs)
        for guard in self._fleet:
            guard.is_read = guard.is_read and guard.name in before
        self._leaving = (self._leaving | before) - set(self._guards)
        self._register_at = float("-inf")
        self._reread_at = float("-inf")
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
        return self._stages.get(stage, ())

    def usable(self, stage: str) -> StageUse:
        states = [guard.state for guard in self.stage(stage)]
        usable = any(state in (CircuitState.CLOSED, CircuitState.FORCED_CLOSED) for state in states)
        return StageUse(usable=usable, forced=not usable and CircuitState.FORCED_OPEN in states)

    def views(self) -> list[CircuitView]:
        return [guard.view() for guard in self._guards.values()]

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
        if name in self._retired:
            return None
        if name in self._local:
            return guard.permit_probe()
        token = f"{self._process_id}:{uuid.uuid4().hex}"
        try:
            won = await self._shared.claim(name, token, lock_ms=int(PROBE_LIMIT_S * 1000), open_s=guard.open_s)
        except UNREACHABLE:
            return guard.permit_probe()
        if not won:
            return None
        permit = guard.permit_probe(token)
        if permit is None:  # It moved while we asked: give the lock back.
            self._settles[name] = _Settle(token, Verdict.ABANDONED, "", guard.threshold)
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
                for guard in self._guards.values():
                    _ = guard.state  # Time alone may have moved it.
                try:
                    await uninterrupted(self._step())
                except UNREACHABLE as error:
                    self._went_away(error)
                    await uninterrupted(self._tell_moves())
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, AWAY_PAUSE_S[1])
                    continue
                pause_s = AWAY_PAUSE_S[0]
                self._came_back()
                await uninterrupted(self._tell_moves())
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
        busy = self._settles or any(not pending.empty for pending in self._pending.values())
        dirty = any(guard.dirty for guard in self._fleet)
        if busy or dirty or self._was_away or revision != self._revision or now >= self._reread_at:
            self._revision = revision
            await self._exchange()
        if now >= self._register_at:
            await self._register()
        await self._publish_local(now)

    async def _register(self) -> None:
        wall_s = self._wall_clock()
        leaving = self._leaving
        await self._shared.register(
            [Known(g.name, g.stage, g.threshold, g.open_s, wall_s) for g in self._fleet], leaving=leaving
        )
        self._leaving = self._leaving - leaving
        self._register_at = self._clock() + REGISTER_S

    async def _exchange(self) -> None:
        await self._send_settles()
        sent = dict(self._pending)
        self._pending = {name: _Pending() for name in sent}
        fleet = list(self._fleet)
        generations = [guard.generation for guard in fleet]
        pushes = [self._push(guard, sent[guard.name]) for guard in fleet]
        forced = [*self._guards, *([TURNS] if self._local else [])]
        try:
            states, holds = await self._shared.exchange(pushes, forced)
        except BaseException:
            for name, pending in sent.items():
                if name in self._pending:
                    self._pending[name].put_back(pending)
            raise
        self._was_away = False
        self._reread_at = self._clock() + REREAD_S
        for guard, push, state, generation in zip(fleet, pushes, states, generations, strict=True):
            if self._guards.get(push.name) is guard:  # Else the engine was removed meanwhile.
                self._adopt(guard, push, state, generation)
        self._adopt_holds(holds, forced)
        self._note_read()

    def _push(self, guard: Guard, pending: _Pending) -> Push:
        dirty = guard.dirty
        return Push(
            name=guard.name,
            version=self._versions[guard.name],
            threshold=guard.threshold,
            ok_seen=pending.ok_seen,
            failures=pending.failures,
            why=pending.why or guard.view().why,
            own_state="" if not dirty else "closed" if guard.automatic is CircuitState.CLOSED else "open",
            own_age_ms=int(guard.age_s * 1000),
            was_away=self._was_away,
        )

    def _adopt(self, guard: Guard, push: Push, state: FleetState, generation: int) -> None:
        newer = state.version != self._versions[push.name]
        self._versions[push.name] = state.version
        if not newer and (guard.generation != generation or not self._pending[push.name].empty):
            return  # Something happened here meanwhile: the next exchange tells it and reads again.
        confirmed = push.own_state == state.state.value and guard.generation == generation
        guard.adopt(
            state.state, failures=state.failures, age_s=state.age_s, why=state.why, moved=newer and not confirmed
        )

    def _adopt_holds(self, holds: dict[str, Hold], asked: Sequence[str]) -> None:
        for guard in self._guards.values():
            if guard.name not in asked:
                continue  # It was added meanwhile; the next exchange reads it.
            guard.set_hold(holds.get(guard.name) or (holds.get(TURNS) if guard.name in self._local else None))

    async def _send_settles(self) -> None:
        for name, settle in list(self._settles.items()):
            version = await self._shared.settle(
                name, settle.token, settle.verdict, threshold=settle.threshold, why=settle.why
            )
            if self._settles.get(name) is settle:
                del self._settles[name]
            if version is not None and name in self._versions:
                self._versions[name] = version

    async def _publish_local(self, now: float) -> None:
        views = [self._guards[name].view() for name in self._local]
        shown = {view.name: (view.state, view.failures) for view in views}
        if views and (now >= self._local_at or shown != self._local_shown):
            await self._shared.publish_local(views)
            self._local_at, self._local_shown = now + REREAD_S, shown

    def _install(self, configs: Sequence[EngineConfig]) -> None:
        """Guards, their order and their books as these engines want them; the local circuits stay."""
        before, now = self._guards, self._clock()
        limits = {one.name: (one.stage.value, one.failures or self._threshold, one.open_s or self._open_s) for one in configs}
        limits |= dict.fromkeys(self._local, (TURNS, self._threshold, self._open_s))
        self._guards = {name: before.get(name) or self._new_guard(name, *limit) for name, limit in limits.items()}
        self._stages = {}
        for guard in self._guards.values():
            guard.retune(*limits[guard.name])
            self._stages.setdefault(guard.stage, []).append(guard)
        self._fleet = [guard for guard in self._guards.values() if guard.name not in self._local]
        self._pending = {guard.name: self._pending.get(guard.name) or _Pending() for guard in self._fleet}
        self._versions = {guard.name: self._versions.get(guard.name, 0) for guard in self._fleet}
        self._retired = {
            name: (since, guard)
            for name, (since, guard) in self._retired.items()
            if name not in self._guards and now - since < RETIRED_S
        }
        for name in before.keys() - self._guards.keys():
            guard = before[name]
            guard.on_outcome = guard.on_move = None  # A probe of it under way frees its lock by the lock's expiry.
            self._retired[name] = (now, guard)

    def _new_guard(self, name: str, stage: str, threshold: int, open_s: float) -> Guard:
        guard = Guard(
            name, stage, threshold=threshold, open_s=open_s, clock=self._clock, wall_clock=self._wall_clock
        )
        guard.on_outcome, guard.on_move = self._heard_outcome, self._heard_move
        return guard

    def _note_read(self) -> None:
        if all(guard.is_read for guard in self._fleet):
            self._read.set()
        else:
            self._read.clear()

    # --- what happened ----------------------------------------------------------------------------------------------
    def _heard_outcome(self, guard: Guard, permit: Permit, verdict: Verdict, kind: str) -> None:
        if guard.name in self._local:
            return
        if permit.is_probe:
            if permit.token:
                self._settles[guard.name] = _Settle(permit.token, verdict, kind, guard.threshold)
                self._wake.set()
        else:
            self._pending[guard.name].add(verdict, kind)
            if verdict is Verdict.FAIL:  # A success can wait for the next tick.
                self._wake.set()

    def _heard_move(self, move: Move) -> None:
        log.info("circuit_moved", circuit=move.name, before=move.before, after=move.after, why=move.why)
        self._moves.append(move)
        self._wake.set()

    async def _tell_moves(self) -> None:
        while self._moves:
            move = self._moves.popleft()
            if self._on_change is None:
                continue
            first = True
            if move.name not in self._local and not self._away:
                try:
                    first = await self._shared.tell_first(move.name, move.after, self._process_id)
                except UNREACHABLE:
                    first = True  # Twice in the journal is better than not at all.
            if first:
                self._call_back(self._on_change, move)

    def _call_back(self, on_change: OnChange, move: Move) -> None:
        try:
            on_change(move.name, move.before, move.after, move.why)
        except Exception:  # A listener's fault must not stop the circuits of this process.
            log.exception("circuit_listener_failed", circuit=move.name)

    def _went_away(self, error: BaseException) -> None:
        if not self._away:
            log.warning("circuits_redis_away", error=str(error))
        self._away = self._was_away = True
        for guard in self._fleet:
            guard.is_read = True  # Nobody to ask: this process goes on by itself.
        self._note_read()

    def _came_back(self) -> None:
        if self._away:
            log.info("circuits_redis_back")
        self._away = False
