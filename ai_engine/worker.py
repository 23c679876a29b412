"""One AI worker: claims turns, holds their leases, runs them, hands their results out.

Owns the loops of a worker process and their order at the end. A turn's own order is :mod:`ai_engine.turn`'s. Nothing
here ends because Redis is away or one turn is broken: the first waits, the second fails alone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import msgspec
import structlog

from ai_engine.audio_hub import AudioHub
from ai_engine.caches.store import Cache, Caches
from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.sharing import UNREACHABLE
from ai_engine.drills.faults import Fault, drilled
from ai_engine.drills.watch import ActiveDrill, DrillWatch
from ai_engine.engines.build import Engines
from ai_engine.engines.config import Stage
from ai_engine.errors import Kind
from ai_engine.limits import Limits
from ai_engine.messages import BridgeMessage, Heartbeat, SpeakReply, TurnDone, TurnFailed, TurnRequest, TurnTaken
from ai_engine.namesakes import Namesake
from ai_engine.prober import Prober
from ai_engine.recording import NoAudioError
from ai_engine.redis_clients import connect_async, uninterrupted
from ai_engine.turn import Turn, failed
from ai_engine.turn_queue import LEASE_RENEW_S, Claim, TurnQueue, publish_reply, publish_result
from callflows.definition.flow import Snapshot

PROBE = "probe"
# Two missed beats, and the page shows the worker as gone.
HEARTBEAT_S = 1.0
HEARTBEAT_EXPIRY_MS = 3000
# A turn lasts at most its listening limit (8 s) and its budget (5 s); what is not done then never will be.
DRAIN_S = 15.0
AWAY_PAUSE_S = (0.1, 1.0)

log = structlog.get_logger(__name__)


def heartbeat_key(worker_id: str) -> str:
    return f"worker:{worker_id}"


class RedisOutlet:
    """One turn's messages into the volatile Redis. What cannot be sent is lost: the bridge's deadline covers it."""

    def __init__(self, outbox: Outbox, request: TurnRequest) -> None:
        self._outbox = outbox
        self._request = request

    async def tell(self, message: BridgeMessage) -> None:
        client, bridge_id = self._outbox.client, self._request.bridge_id
        await self._outbox.send(lambda: publish_result(client, bridge_id, message))

    async def speak(self, reply: SpeakReply) -> None:
        client, gateway_id = self._outbox.client, self._request.gateway_id
        await self._outbox.send(lambda: publish_reply(client, gateway_id, reply))


class Outbox:
    """The worker's client for everything it publishes; says once that Redis is away and once that it is back."""

    def __init__(self, redis_url: str) -> None:
        self.client = connect_async(redis_url)
        self._away = False

    async def send(self, command: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            await uninterrupted(command())
        except UNREACHABLE as error:
            if not self._away:
                log.warning("results_redis_away", error=str(error))
            self._away = True
        else:
            if self._away:
                log.info("results_redis_back")
            self._away = False


class Worker:
    """``snapshot`` gives the published flows, from memory. Run :meth:`run`; :meth:`stop` ends it in good order."""

    def __init__(
        self,
        worker_id: str,
        redis_url: str,
        board: CircuitBoard,
        engines: Engines,
        snapshot: Callable[[], Snapshot],
        *,
        capacity: int,
        drain_s: float = DRAIN_S,
        caches: Iterable[Cache] = tuple(Cache),
        engines_problem: Callable[[], str] = lambda: "",
        drills: DrillWatch | None = None,
    ) -> None:
        self.worker_id = worker_id
        self._board = board
        self._engines = engines
        self._snapshot = snapshot
        self._capacity = capacity
        self._drain_s = drain_s
        self._engines_problem = engines_problem
        self._namesake = Namesake("worker", worker_id)
        self._queue = TurnQueue(redis_url, worker_id)
        self._hub = AudioHub(redis_url)
        self._outbox = Outbox(redis_url)
        self._caches = Caches(redis_url, caches)
        self._limits = Limits()
        self._prober = Prober(board, engines, snapshot, self._limits)
        self._drills = drills
        # A drilled engine that hangs keeps its places for its own callers only.
        self._drill_limits = Limits()
        if drills is not None:
            drills.beside = self._probe_drilled
        self._turns: dict[str, asyncio.Task[None]] = {}
        # Those of them whose leases are renewed: one that is leaving the queue has none any more.
        self._leased: set[str] = set()
        self._taken_over_at = -math.inf
        self._closing: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """No new turns from now on; those it holds are finished. For a signal handler."""
        log.info("worker_stopping", turns=len(self._turns))
        self._stopping.set()

    def set_engines(self, engines: Engines) -> None:
        """Turns that begin from now on use these; those under way end with the engines they began with, whose
        connections are closed after the last of them."""
        before, self._engines = self._engines, engines
        self._board.set_engines(engines.configs)
        self._prober.set_engines(engines)
        if self._drills is not None:
            self._drills.set_engines(engines.configs)
        closing = asyncio.create_task(before.retire())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def run(self) -> None:
        """Until :meth:`stop` and the last turn, or until cancelled."""
        await self._board.refresh()
        drills = () if self._drills is None else (self._drills.run(),)
        services = [
            asyncio.create_task(work)
            for work in (
                *drills,
                self._board.run(), self._hub.run(), self._prober.run(), self._limits.watch.run(),
                self._every(LEASE_RENEW_S, self._keep_leases, "leases"),
                self._every(HEARTBEAT_S, self._beat, "heartbeat"),
            )
        ]  # fmt: skip
        claiming = asyncio.create_task(self._claim_turns())
        log.info("worker_ready", worker=self.worker_id, capacity=self._capacity)
        try:
            done, _ = await asyncio.wait((claiming, *services), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # A loop that died is a fault: the process ends, and its supervisor starts another.
            if self._turns:
                await asyncio.wait(tuple(self._turns.values()), timeout=self._drain_s)
        finally:
            await _cancel(claiming, *self._turns.values())
            await _cancel(*services)
            await self._close()

    # --- claiming -----------------------------------------------------------------------------------------------------
    async def _claim_turns(self) -> None:
        """The one loop that takes turns, new ones and lost ones: two would each fill the same free places."""
        pause_s, away = AWAY_PAUSE_S[0], False
        while not self._stopping.is_set():
            free = self._capacity - len(self._turns)
            if free <= 0:
                self._room.clear()
                await self._first(self._room.wait(), self._stopping.wait())
                continue
            try:
                claims = await uninterrupted(self._take(free))
            except UNREACHABLE as error:
                if not away:
                    log.warning("turns_redis_away", error=str(error))
                away = True
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, AWAY_PAUSE_S[1])
                continue
            if away:
                log.info("turns_redis_back")
            pause_s, away = AWAY_PAUSE_S[0], False
            self._start(claims)

    async def _take(self, free: int) -> list[Claim]:
        """At most ``free`` turns: first those of a worker that is gone, as often as it would have renewed its leases."""
        now = time.monotonic()
        if now - self._taken_over_at >= LEASE_RENEW_S:
            self._taken_over_at = now
            claims = await self._queue.take_over(free)
            lost = [claim for claim in claims if claim.entry_id not in self._turns]
            if lost:
                return lost
        return await self._queue.claim(free)

    def _start(self, claims: list[Claim]) -> None:
        for claim in claims:
            self._leased.add(claim.entry_id)
            self._turns[claim.entry_id] = asyncio.create_task(self._hold(claim))

    async def _keep_leases(self) -> None:
        for entry_id in await self._queue.renew(list(self._leased)):
            task = self._turns.get(entry_id)
            if task is not None and entry_id in self._leased:
                log.warning("turn_lost", entry=entry_id)  # We were frozen: another worker has it now.
                task.cancel()

    async def _beat(self) -> None:
        await self._namesake.look(self._outbox.client)
        beat = msgspec.json.encode(Heartbeat(len(self._turns), self._capacity, self._engines_problem(), self._namesake.is_there))
        await self._outbox.client.set(heartbeat_key(self.worker_id), beat, px=HEARTBEAT_EXPIRY_MS)

    async def _beat_no_more(self) -> None:
        await self._outbox.client.delete(heartbeat_key(self.worker_id))

    async def _every(self, period_s: float, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Repeats ``work``; Redis being away is the claiming loop's to report."""
        while True:
            try:
                await uninterrupted(work())
            except UNREACHABLE as error:
                log.debug("redis_away", loop=name, error=str(error))
            await asyncio.sleep(period_s)

    # --- one turn -----------------------------------------------------------------------------------------------------
    async def _hold(self, claim: Claim) -> None:
        """The isolation of one turn: whatever happens in it, the entry leaves the queue and the worker goes on."""
        request = claim.request
        outlet = RedisOutlet(self._outbox, request)
        drill = self._drill_for(request)
        met = drill.drill.drill_id if drill is not None and drill.is_failing else ""
        finish = True
        with structlog.contextvars.bound_contextvars(call_uuid=request.call_uuid, turn=request.turn):
            try:
                async with asyncio.timeout(claim.left_ms / 1000):
                    await outlet.tell(TurnTaken(request.call_uuid, request.turn, self.worker_id, claim.queue_ms, met))
                    message = await self._answer(claim, outlet, drill)
                    self._log(message)
                    await outlet.tell(message)
            except TimeoutError:
                log.info("turn_expired")
            except NoAudioError as error:
                log.info("turn_without_audio", reason=str(error))
            except asyncio.CancelledError:
                finish = False  # Another worker has it, or takes it over in a second.
                raise
            except Exception:
                log.exception("turn_broken")
                await outlet.tell(failed(request, "worker", Kind.INTERNAL, self.worker_id))
            finally:
                self._leased.discard(claim.entry_id)
                try:
                    if finish:
                        await self._outbox.send(lambda: self._queue.finish(claim.entry_id))
                finally:  # Only now: until it has left the queue it is in our hand, for everybody who looks.
                    del self._turns[claim.entry_id]
                    self._room.set()

    async def _answer(self, claim: Claim, outlet: RedisOutlet, drill: ActiveDrill | None) -> TurnDone | TurnFailed:
        request = claim.request
        if request.expect == PROBE:  # The bridge tests the way here and back, not the engines.
            return TurnDone(request.call_uuid, request.turn, "", "", 0.0, {}, "", False, (), self.worker_id)
        flow = self._snapshot().version(request.flow_slug, request.flow_version)
        if flow is None:
            return failed(request, "worker", Kind.NO_FLOW, self.worker_id)
        await self._board.settled()
        for stage in Stage:
            if not self._board.usable(stage.value).usable:
                return failed(request, stage, Kind.NO_ENGINE, self.worker_id)
        if drill is not None and not drill.is_usable:
            return failed(request, drill.drill.stage, Kind.NO_ENGINE, self.worker_id)
        async with self._engines.in_use() as engines:
            turn = Turn(
                request, flow,
                engines if drill is None else drilled(engines, _fault(drill)),
                self._board.guard if drill is None else drill.guard_of(self._board.guard),
                outlet, self._caches, self._limits if drill is None else self._drill_limits,
                left_s=claim.left_ms / 1000, worker_id=self.worker_id,
            )  # fmt: skip
            with self._hub.listen(request.call_uuid, request.turn) as feed:
                return await turn.result(feed.chunks())

    def _drill_for(self, request: TurnRequest) -> ActiveDrill | None:
        """For all of a turn the one that was there at its beginning, or none."""
        if self._drills is None or request.expect == PROBE:
            return None
        return self._drills.covering(request.call_uuid, simulated=request.simulated)

    async def _probe_drilled(self, drill: ActiveDrill) -> None:
        """The drill's own circuits are probed like any other; its failure is met there too, until it ends."""
        async with self._engines.in_use() as engines:
            await Prober(drill.board, drilled(engines, _fault(drill), drill.drill.circuit), self._snapshot).run()

    def _log(self, message: TurnDone | TurnFailed) -> None:
        if isinstance(message, TurnFailed):
            log.info("turn_failed", stage=message.stage, kind=message.kind, attempts=message.attempts)
        else:
            log.info("turn_done", intent=message.intent, pii_transcript=message.transcript)

    async def _first(self, *waits: Coroutine[Any, Any, object]) -> None:
        tasks = [asyncio.create_task(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(*tasks)

    async def _close(self) -> None:
        await self._outbox.send(self._queue.leave)
        # The next process of this name is not ready before it says so itself.
        await self._outbox.send(self._beat_no_more)
        await asyncio.gather(*self._closing, return_exceptions=True)
        closing: tuple[Callable[[], Awaitable[object]], ...] = (
            self._board.close, self._hub.close, self._queue.close, self._caches.close, self._outbox.client.aclose,
            self._engines.close,
        )  # fmt: skip
        for close in closing:
            await close()
        log.info("worker_stopped", worker=self.worker_id)


def _fault(drill: ActiveDrill) -> Fault:
    return Fault(drill.drill.failure, drill.drill.stage, lambda: drill.is_failing)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
