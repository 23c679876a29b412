"""Each bridge's own circuit around queue, workers and Redis: counted and probed alone, held together with all others'."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

from ai_engine.circuits import operators
from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.guard import turns_name
from ai_engine.circuits.states import CircuitState, Verdict
from ai_engine.messages import FIELD, TURNS_STREAM, TurnDone, TurnRequest, decode_request
from ai_engine.redis_clients import connect_async
from ai_engine.turn_queue import publish_result
from callflows.definition.flow import Snapshot
from esl_bridge.actions.runner import ActionRunner
from esl_bridge.bridge import Bridge, BridgeConfig
from esl_bridge.calls.inputs import AiUse
from esl_bridge.journal.sender import Journal
from tests.ai_engine.waiting import eventually, until
from tests.esl_bridge.calls.flow import demonstration
from tests.esl_bridge.test_bridge import ENGINES, SWITCH, free_port


class Two:
    """Two bridges on one durable and one volatile Redis, with nobody at the other end of the queue but the test."""

    def __init__(self, tmp_path: Path, durable: str, volatile: str) -> None:
        self.names = ["one", "two"]
        self.durable = durable
        self.queue = connect_async(volatile)
        self.journal_client = connect_async(durable)
        self.boards = [CircuitBoard(durable, ENGINES, name, local=[turns_name(name)], open_s=0.3) for name in self.names]
        self.journals = [Journal(tmp_path / name, self.journal_client) for name in self.names]
        self.bridges = [
            Bridge(
                BridgeConfig(name, "127.0.0.1", free_port(), ["127.0.0.0/8"], "secret", volatile, 10, SWITCH),
                lambda: Snapshot((demonstration(),)), board, journal, ActionRunner(),
            )
            for name, board, journal in zip(self.names, self.boards, self.journals, strict=True)
        ]  # fmt: skip
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for board in self.boards:
            assert await board.refresh()
        self._tasks = [asyncio.create_task(board.run()) for board in self.boards]
        self._tasks += [asyncio.create_task(bridge.run(self._stop, 0.1)) for bridge in self.bridges]

    async def close(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks[2:])
        for task in self._tasks[:2]:
            task.cancel()
        await asyncio.gather(*self._tasks[:2], return_exceptions=True)
        for journal in self.journals:
            journal.close()
        await self.queue.aclose()
        await self.journal_client.aclose()

    def fail(self, number: int) -> None:
        guard = self.boards[number].guard(turns_name(self.names[number]))
        for _ in range(guard.threshold):
            permit = guard.permit()
            assert permit is not None
            guard.record(permit, Verdict.FAIL, "not_taken")

    def state(self, number: int) -> CircuitState:
        return self.boards[number].guard(turns_name(self.names[number])).state

    def uses(self) -> list[AiUse]:
        return [bridge.ai_use(begins=True) for bridge in self.bridges]

    async def probes(self) -> list[TurnRequest]:
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", await self.queue.xrange(TURNS_STREAM))
        return [decode_request(fields[FIELD]) for _id, fields in entries]

    async def answer(self, probe: TurnRequest) -> None:
        done = TurnDone(probe.call_uuid, probe.turn, "", "", 0.0, {}, "", False, (), "worker-1")
        await publish_result(self.queue, probe.bridge_id, done)


async def test_a_bridge_counts_and_probes_alone_once_each_time(
    tmp_path: Path, durable_redis: str, volatile_redis: str
) -> None:
    two = Two(tmp_path, durable_redis, volatile_redis)
    await two.start()
    two.fail(0)
    assert two.uses() == [AiUse.TURNS_OPEN, AiUse.USABLE]

    async def asked(times: int) -> bool:
        return len(await two.probes()) >= times

    await eventually(lambda: asked(1), what="its one probe")
    assert two.state(0) is CircuitState.HALF_OPEN
    await until(lambda: two.state(0) is CircuitState.OPEN, what="nobody answered the probe")
    await eventually(lambda: asked(2), what="its next probe, after the open time")
    probes = await two.probes()
    assert [(probe.bridge_id, probe.expect) for probe in probes] == [("one", "probe")] * 2
    await two.answer(probes[1])
    await until(lambda: two.state(0) is CircuitState.CLOSED)
    assert two.uses() == [AiUse.USABLE, AiUse.USABLE]
    assert len(await two.probes()) == 2
    await until(lambda: len(operators.moves(durable_redis, 20)) >= 5, what="its last move is told")
    moves = operators.moves(durable_redis, 20)[::-1]
    assert {move.circuit for move in moves} == {"turns:one"}
    assert [move.after for move in moves] == ["open", "half_open", "open", "half_open", "closed"]
    await two.close()


async def test_a_hold_of_turns_holds_every_bridge_and_gives_no_probe(
    tmp_path: Path, durable_redis: str, volatile_redis: str
) -> None:
    two = Two(tmp_path, durable_redis, volatile_redis)
    await two.start()
    operators.force("turns", CircuitState.FORCED_OPEN, "ann", "drill", redis_url=durable_redis)
    await until(lambda: two.uses() == [AiUse.FORCED, AiUse.FORCED])
    operators.release("turns", redis_url=durable_redis)
    await until(lambda: two.uses() == [AiUse.USABLE, AiUse.USABLE])
    operators.force("turns:two", CircuitState.FORCED_CLOSED, "ann", "trust", redis_url=durable_redis)
    await until(lambda: two.state(1) is CircuitState.FORCED_CLOSED)
    two.fail(0)
    two.fail(1)
    assert two.uses() == [AiUse.TURNS_OPEN, AiUse.USABLE]
    await two.close()
