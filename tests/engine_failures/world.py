"""One caller, one bridge, one gateway, one worker, and engines that fail as told: all real, over sockets, in one process.

Owns the putting together, and what a call came to, as its caller heard it and as the journal has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.guard import turns_name
from ai_engine.engines.build import Engines
from ai_engine.engines.config import EngineConfig
from ai_engine.messages import StageTiming
from ai_engine.redis_clients import connect_async
from ai_engine.worker import Worker
from esl_bridge.actions.runner import ActionRunner
from esl_bridge.bridge import Bridge, BridgeConfig
from esl_bridge.calls.to_switch import SwitchSettings
from esl_bridge.journal.events import CallEnded, IncidentClosed, IncidentOpened, JournalEvent, Outcome, TurnFinished
from esl_bridge.journal.sender import Journal
from esl_bridge.journal.spool import Spool
from esl_bridge.media.gateway import Gateway, GatewayConfig
from simulator.callers import Patience
from simulator.config import SwitchConfig
from simulator.records import CallRecord
from simulator.switch import Switch
from simulator.traffic import Traffic, TrafficConfig
from tests.free_ports import free_port
from tests.published import Flows

CHAIN = Path(__file__).resolve().parents[2] / "deploy/freeswitch/dialplan/lifeline.xml"
SECRET = "s" * 32
ALLOW = ["127.0.0.0/8"]
# The flow's own budget from the end of speech, and what the product promises beyond it (issue 4): then the menu is heard.
GRACE_S = 0.5
# Our voice activity waits this long before it calls it the end of speech (esl_bridge/media/voice.py).
END_OF_SPEECH_S = 0.7
CALL_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Came:
    """What one call came to."""

    record: CallRecord
    stages: tuple[StageTiming, ...]
    opened: tuple[IncidentOpened, ...]
    closed: tuple[IncidentClosed, ...]
    ended: bool

    @property
    def silence_s(self) -> float:
        """The longest the caller heard nothing, less the wait by which the end of speech is known."""
        return max(0.0, self.record.longest_silence_s - END_OF_SPEECH_S)

    @property
    def settled(self) -> bool:
        """Every incident has ended, and none as a drop."""
        outcomes = {closed.incident_id: closed.outcome for closed in self.closed}
        return all(outcomes.get(opened.incident_id) not in (None, Outcome.DROPPED) for opened in self.opened)


async def one_call(configs: Sequence[EngineConfig], flows: Flows, durable: str, volatile: str) -> Came:
    """A caller who wants the opening hours, with these engines. The two Redis databases are emptied first."""
    for url in (durable, volatile):
        client = connect_async(url)
        await client.flushdb()
        await client.aclose()
    with tempfile.TemporaryDirectory(prefix="lifeline-failures-") as folder:
        async with contextlib.AsyncExitStack() as stack:
            ports = [free_port(), free_port()]
            await _bridge(stack, configs, flows, durable, volatile, Path(folder), ports)
            await _gateway(stack, volatile, ports[1])
            await _worker(stack, configs, flows, durable, volatile)
            record = await _caller(flows, Path(folder), ports[0])
            events = _journalled(Path(folder) / "spool")
    return _came(record, events)


async def _bridge(
    stack: contextlib.AsyncExitStack, configs: Sequence[EngineConfig], flows: Flows, durable: str, volatile: str,
    folder: Path, ports: Sequence[int],
) -> None:  # fmt: skip
    client = connect_async(durable)
    stack.push_async_callback(client.aclose)
    board = CircuitBoard(durable, configs, "bridge-1", local=[turns_name("bridge-1")])
    stack.push_async_callback(board.close)
    journal = Journal(folder / "spool", client)
    stack.callback(journal.close)
    switch = SwitchSettings("lifeline", str(flows.prompt_dir), f"ws://127.0.0.1:{ports[1]}/stream")
    config = BridgeConfig("bridge-1", "127.0.0.1", ports[0], ALLOW, SECRET, volatile, 10, switch)
    bridge = Bridge(config, lambda: flows.snapshot, board, journal, ActionRunner())
    stop = asyncio.Event()
    await _running(stack, bridge.run(stop, 0.1), stop)
    await _listening(ports[0])


async def _gateway(stack: contextlib.AsyncExitStack, volatile: str, port: int) -> None:
    stop = asyncio.Event()
    gateway = Gateway(GatewayConfig("127.0.0.1", port, ALLOW, SECRET, volatile, "gateway-1"))
    await _running(stack, gateway.run(stop), stop)
    await _listening(port)


async def _worker(
    stack: contextlib.AsyncExitStack, configs: Sequence[EngineConfig], flows: Flows, durable: str, volatile: str
) -> None:
    board = CircuitBoard(durable, configs, "worker-1")
    worker = Worker("worker-1", volatile, board, Engines(configs), lambda: flows.snapshot, capacity=4, drain_s=0.1, caches=())
    task = asyncio.create_task(worker.run())

    async def end() -> None:
        worker.stop()
        await task

    stack.push_async_callback(end)


async def _caller(flows: Flows, folder: Path, bridge_port: int) -> CallRecord:
    bridges = f"127.0.0.1:{bridge_port}"
    config = SwitchConfig(
        dialplan=CHAIN, inbound_port=None, temp_dir=folder, bridges=bridges, variables=(("lifeline_bridges_next", bridges),)
    )
    switch = Switch(config)
    await switch.start()
    try:
        wishes = TrafficConfig(
            rate=10, limit=1, scenario="opening_hours", prompt_dir=flows.prompt_dir, flow_snapshot=flows.snapshot_path,
            patience=Patience(leave_s=0.3, think_s=(0.3, 0.3)), seed=1,
        )  # fmt: skip
        traffic = Traffic(switch, wishes)
        await traffic.prepare()
        async with asyncio.timeout(CALL_LIMIT_S):
            totals = await traffic.run()
        return totals.records[0]
    finally:
        await switch.stop()


async def _running(stack: contextlib.AsyncExitStack, work: object, stop: asyncio.Event) -> None:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]

    async def end() -> None:
        stop.set()
        await task

    stack.push_async_callback(end)


async def _listening(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.01)


def _journalled(root: Path) -> list[JournalEvent]:
    (folder,) = (path for path in root.iterdir() if path.is_dir())
    spool = Spool(folder, os.open(os.devnull, os.O_RDONLY))
    try:
        return [entry.event for entry in spool.read_after(0, 10_000)]
    finally:
        spool.close()


def _came(record: CallRecord, events: Sequence[JournalEvent]) -> Came:
    return Came(
        record=record,
        stages=tuple(stage for event in events if isinstance(event, TurnFinished) for stage in event.stages),
        opened=tuple(event for event in events if isinstance(event, IncidentOpened)),
        closed=tuple(event for event in events if isinstance(event, IncidentClosed)),
        ended=any(isinstance(event, CallEnded) for event in events),
    )


@contextlib.asynccontextmanager
async def database(free: asyncio.Queue[int], *urls: str) -> AsyncIterator[list[str]]:
    """A database of its own in each server, so that worlds side by side do not meet."""
    number = await free.get()
    try:
        yield [f"{url}?db={number}" for url in urls]
    finally:
        free.put_nowait(number)
