"""The bridge: takes calls from FreeSWITCH and holds what they share: flows, queue, circuits, actions, journal.

Owns the listener, its cap, and the passage of results to calls. Who may connect at all is the door's (``door.py``); what a
call does is decided in ``calls``.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import structlog

from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.guard import turns_name
from ai_engine.circuits.states import CircuitState, Permit, Verdict
from ai_engine.drills.watch import DrillWatch
from ai_engine.messages import BridgeMessage, MediaClosed, MediaConnected, TurnDone, TurnRequest
from ai_engine.redis_clients import connect_async
from callflows.definition.flow import FlowVersion, Snapshot
from esl_bridge.actions.runner import ActionRunner
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.listening import LONGEST_SPEECH_S
from esl_bridge.calls.to_switch import SwitchSettings
from esl_bridge.door import Door, Guest, Limits
from esl_bridge.draining import part_from
from esl_bridge.journal.sender import Journal
from esl_bridge.listener import Listener
from esl_bridge.media.tokens import make_metadata
from esl_bridge.partials import PartialWriter
from esl_bridge.sealing import Seal
from esl_bridge.session import Session
from esl_bridge.turn_link import TurnLink

log = structlog.get_logger(__name__)

STAGES = ("stt", "nlu", "tts")
VERDICTS = {
    order.TurnVerdict.OK: Verdict.OK,
    order.TurnVerdict.FAIL: Verdict.FAIL,
    order.TurnVerdict.ABANDONED: Verdict.ABANDONED,
}
# Every call hears of a circuit's move before its next turn; circuits themselves spread within 200 ms.
WATCH_S = 0.1
PROBE_TIMEOUT_S = 1.0
# A turn waits in the queue at most until nobody wants its answer: listening, speaking, budget, and a second for the way.
SPEECH_MS = int(LONGEST_SPEECH_S * 1000)
WAY_MS = 1000
# Beyond the cap calls get the keypad at once; beyond this much more they are turned away, and the dialplan goes on.
REFUSE_FACTOR = 1.2


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    bridge_id: str
    host: str
    port: int
    allow: Sequence[str]
    media_secret: str
    redis_volatile_url: str
    max_calls: int
    switch: SwitchSettings
    per_address: int = 0

    @property
    def limits(self) -> Limits:
        """As many may wait as may be calls: at the worst honest moment, all calls of a bridge that died come at once."""
        most = math.ceil(self.max_calls * REFUSE_FACTOR)
        return Limits(inside=most, waiting=most, per_address=self.per_address)


class Bridge:
    """One bridge process."""

    def __init__(
        self, config: BridgeConfig, flows: Callable[[], Snapshot], board: CircuitBoard, journal: Journal, actions: ActionRunner,
        drills: DrillWatch | None = None,
    ) -> None:
        self._config = config
        self._flows = flows
        self._board = board
        self._journal = journal
        self._actions = actions
        self._drills = drills
        self._door = Door("bridge", config.allow, config.limits)
        self._guests: dict[Session, Guest] = {}
        self._sessions: set[Session] = set()
        self._by_call: dict[str, Session] = {}
        self._permits: dict[tuple[str, int], Permit] = {}
        self._turns = board.guard(turns_name(config.bridge_id))
        self._link = TurnLink(config.redis_volatile_url, config.bridge_id, self._on_message, self._on_lost)
        self._volatile = connect_async(config.redis_volatile_url)
        self._partials = PartialWriter(self._volatile)
        self._tasks: set[asyncio.Task[None]] = set()
        self._acting: set[asyncio.Task[None]] = set()
        self._use = told.AiUse.USABLE
        self._drill = ""
        self._probe: asyncio.Future[None] | None = None
        self._probes = 0
        self._listener = Listener(self._accept, config.host, config.port)
        self._idle = asyncio.Event()
        self._idle.set()
        self.switch = config.switch
        self.bridge_id = config.bridge_id
        self.seal = Seal(config.media_secret)

    # --- The process ---

    async def run(self, stop: asyncio.Event, drain_s: float) -> None:
        """Serve until ``stop``, then let calls finish for ``drain_s`` and give the rest back to the dialplan."""
        self._use = self.ai_use(begins=False)
        # Before any call can come.
        helpers = [asyncio.create_task(work) for work in (self._link.run(), self._watch(), self._partials.run())]
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._listener.open()
            helpers.append(asyncio.create_task(self._listener.run()))
            log.info("the bridge listens", host=self._config.host, port=self._config.port, bridge=self.bridge_id)
            await asyncio.wait({stopping, *helpers}, return_when=asyncio.FIRST_COMPLETED)
            for helper in helpers:
                if helper.done():
                    # Deaf to results or to circuits: better gone, its calls resumed elsewhere, than half alive.
                    helper.result()
            self._listener.close()
            log.info("finishing calls", calls=len(self._sessions), limit_s=drain_s)
            await part_from(self._sessions, self._idle, drain_s, self.now)
            if self._acting:
                # Each for `TIMEOUT_S` at most. Whoever has hung up in the middle of one has it done, and its end in the records.
                await asyncio.wait(self._acting)
        finally:
            self._listener.close()
            for task in [stopping, *helpers, *self._tasks]:
                task.cancel()
            await asyncio.gather(stopping, *helpers, *self._tasks, return_exceptions=True)
            await self._link.close()
            await self._volatile.aclose()

    def _accept(self) -> asyncio.Protocol:
        return _Doorkeeper(self)

    def came_in(self, transport: asyncio.Transport) -> Session | None:
        """None: it was turned away, and is closed."""
        guest = self._door.enter(transport)
        if guest is None:
            return None
        session = Session(self)
        self._guests[session] = guest
        return session

    # --- What sessions ask (Surroundings) ---

    def now(self) -> float:
        return time.monotonic()

    def wall_clock(self) -> datetime:
        return datetime.now(UTC)

    def flow_for(self, kept_flow: str, dialled: str) -> FlowVersion | None:
        snapshot = self._flows()
        slug, _, number = kept_flow.rpartition(":")
        if number.isdecimal() and (kept := snapshot.version(slug, int(number))) is not None:
            return kept
        return snapshot.for_number(dialled)

    def ai_use(self, *, begins: bool) -> told.AiUse:
        """Whether a call may use the AI now. Memory only. Load sheds calls that begin; those that have it keep it."""
        if begins and len(self._by_call) > self._config.max_calls:
            return told.AiUse.SHED
        uses = [self._board.usable(stage) for stage in STAGES]
        if any(use.forced for use in uses) or self._turns.state is CircuitState.FORCED_OPEN:
            return told.AiUse.FORCED
        if not all(use.usable for use in uses):
            return told.AiUse.NO_ENGINE
        return told.AiUse.USABLE if self._turns.usable else told.AiUse.TURNS_OPEN

    def kept_off(self, call_uuid: str, *, simulated: bool) -> str:
        """The drill whose own circuit is open for this call, if there is one: then the call goes to the menu at once."""
        drill = None if self._drills is None else self._drills.covering(call_uuid, simulated=simulated)
        return "" if drill is None or drill.is_usable else drill.drill.drill_id

    def media_metadata(self, call_uuid: str, epoch: int) -> str:
        return make_metadata(self._config.media_secret, call_uuid, self.bridge_id, epoch, time.time())

    def identified(self, session: Session) -> bool:
        return self._door.identified(self._guests[session])

    def opened(self, session: Session) -> Mapping[str, str]:
        self._sessions.add(session)
        self._idle.clear()
        before = self._by_call.get(session.call_uuid)
        self._by_call[session.call_uuid] = session
        if before is None:
            return {}
        # The call came back to this same bridge: after a stall here, from an agent, or because an old socket closed.
        before.feed(told.OwnerChanged())
        return before.call.last_word

    def closed(self, session: Session) -> None:
        self._door.left(self._guests.pop(session))
        self._sessions.discard(session)
        if not self._sessions:
            self._idle.set()
        if self._by_call.get(session.call_uuid) is session:
            del self._by_call[session.call_uuid]

    def carry_out(self, session: Session, wanted: order.Order) -> None:
        match wanted:
            case order.Record():
                self._journal.append(session.call_uuid, session.call.epoch, wanted.event)
            case order.PublishTurn():
                self._publish(session, wanted)
            case order.ShowPartial():
                self._partials.put(session.call_uuid, wanted.words)
            case order.SettleTurn():
                permit = self._permits.pop((session.call_uuid, wanted.turn), None)
                if permit is not None:
                    self._turns.record(permit, VERDICTS[wanted.verdict], wanted.kind)
            case order.RunAction():
                task = self._start(self._run_action(session, wanted))
                self._acting.add(task)
                task.add_done_callback(self._acting.discard)
            case _:
                log.error("an order that nobody carries out", order=type(wanted).__name__)

    # --- Turns ---

    def _publish(self, session: Session, wanted: order.PublishTurn) -> None:
        permit = self._turns.permit()
        if permit is not None:
            self._permits[session.call_uuid, wanted.turn] = permit
        kept = session.call.flow
        request = TurnRequest(
            turn_id=f"{session.call_uuid}:{wanted.turn}",
            call_uuid=session.call_uuid,
            turn=wanted.turn,
            epoch=session.call.epoch,
            bridge_id=self.bridge_id,
            gateway_id=wanted.gateway_id,
            flow_slug=kept.slug,
            flow_version=kept.number,
            language=kept.language,
            expect=wanted.expect,
            slots=dict(wanted.slots),
            history=wanted.history,
            listen_ms=wanted.listen_ms,
            budget_ms=wanted.budget_ms,
            remaining_ms=wanted.listen_ms + SPEECH_MS + wanted.budget_ms + WAY_MS,
            simulated=session.call.simulated,
        )
        self._start(self._publish_turn(session, request))

    async def _publish_turn(self, session: Session, request: TurnRequest) -> None:
        if not await self._link.publish(request):
            session.feed(told.QueueLost("not_published", request.turn))

    async def _run_action(self, session: Session, wanted: order.RunAction) -> None:
        session.feed(await self._actions.run(wanted.action, wanted.slots, wanted.key))

    def _on_message(self, message: BridgeMessage) -> None:
        if message.call_uuid == self._probe_call():
            if isinstance(message, TurnDone) and self._probe is not None and not self._probe.done():
                self._probe.set_result(None)
            return
        session = self._by_call.get(message.call_uuid)
        if session is None or (isinstance(message, MediaConnected | MediaClosed) and message.epoch != session.call.epoch):
            # The call is over, or it is the stream of an owner before, which ends while ours begins.
            return
        session.feed(message)

    def _on_lost(self, kind: str) -> None:
        for session in list(self._by_call.values()):
            session.feed(told.QueueLost(kind))

    # --- Circuits ---

    async def _watch(self) -> None:
        """Tell calls when the AI becomes usable or stops being so; probe the ``turns`` circuit when it is half-open."""
        while True:
            use = self.ai_use(begins=False)
            active = None if self._drills is None else self._drills.active
            drill = "" if active is None or active.is_usable else active.drill.drill_id
            if use is not self._use or drill != self._drill:
                log.info("AI use has changed", before=self._use.value, after=use.value, drill=drill)
                self._use, self._drill = use, drill
                for session in list(self._by_call.values()):
                    session.feed(self._use_of(session))
            if self._turns.automatic is CircuitState.HALF_OPEN:
                permit = self._turns.permit_probe()
                if permit is not None:
                    await self._probe_turns(permit)
            await asyncio.sleep(WATCH_S)

    def _use_of(self, session: Session) -> told.AiUseChanged:
        drill = self.kept_off(session.call_uuid, simulated=session.call.simulated)
        if drill and self._use is told.AiUse.USABLE:
            return told.AiUseChanged(told.AiUse.NO_ENGINE, drill)
        return told.AiUseChanged(self._use)

    async def _probe_turns(self, permit: Permit) -> None:
        """A turn without a caller goes the whole way through queue and worker; no engine is asked."""
        self._probes += 1
        self._probe = asyncio.get_running_loop().create_future()
        request = TurnRequest(
            turn_id=f"{self._probe_call()}:{self._probes}", call_uuid=self._probe_call(), turn=self._probes, epoch=0,
            bridge_id=self.bridge_id, gateway_id="", flow_slug="", flow_version=0, language="", expect="probe",
            slots={}, history=(), listen_ms=0, budget_ms=1000, remaining_ms=1000,
        )  # fmt: skip
        verdict = Verdict.FAIL
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                if await self._link.publish(request):
                    await self._probe
                    verdict = Verdict.OK
        except TimeoutError:
            log.info("the probe of queue and workers came to nothing")
        finally:
            self._probe = None
            self._turns.record(permit, verdict, "probe")

    def _probe_call(self) -> str:
        return f"probe-{self.bridge_id}"

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Doorkeeper(asyncio.Protocol):
    """Lets only what the door admits become a call; the rest is closed, and the dialplan tries the next bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it.
        session = self._bridge.came_in(wire)
        if session is not None:
            wire.set_protocol(session)
            session.connection_made(wire)
