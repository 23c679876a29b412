"""A burst of a thousand turns: no worker ever has more in hand than it can hold, the rest waits, more workers take it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from ai_engine.circuits.board import CircuitBoard
from ai_engine.drills.watch import ActiveDrill
from ai_engine.engines.build import Engines
from ai_engine.messages import FIELD, TURNS_GROUP, TURNS_STREAM, TurnDone, TurnFailed, encode
from ai_engine.redis_clients import connect, connect_async
from ai_engine.turn_queue import LEASE_IDLE_MS, Claim, TurnQueue, turns_waiting
from ai_engine.worker import RedisOutlet, Worker
from tests.ai_engine.flows import demo_snapshot
from tests.ai_engine.test_turn_queue import request
from tests.ai_engine.test_worker import running
from tests.ai_engine.waiting import eventually
from tests.redis_server import RedisServer

CAPACITY = 16


class SlowWorker(Worker):
    """Its turns take 40 ms and no engine."""

    def __init__(self, name: str, durable: RedisServer, volatile: RedisServer, *, capacity: int = CAPACITY) -> None:
        board = CircuitBoard(durable.url, (), name)
        super().__init__(name, volatile.url, board, Engines(()), demo_snapshot, capacity=capacity)
        self.computing = 0
        self.most = 0
        self.computed: list[str] = []

    async def _answer(self, claim: Claim, outlet: RedisOutlet, drill: ActiveDrill | None) -> TurnDone | TurnFailed:
        self.computing += 1
        self.most = max(self.most, self.computing)
        self.computed.append(claim.request.call_uuid)
        try:
            await asyncio.sleep(0.04)
        finally:
            self.computing -= 1
        return TurnDone(claim.request.call_uuid, 1, "", "", 0.0, {}, "", False, (), self.worker_id)


@pytest.fixture
async def client(volatile_server: RedisServer) -> AsyncIterator[redis.asyncio.Redis]:
    client = connect_async(volatile_server.url)
    yield client
    await client.aclose()


async def publish(client: redis.asyncio.Redis, names: list[str], *, remaining_ms: int = 12_000) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.xadd(TURNS_STREAM, {FIELD: encode(request(name, remaining_ms=remaining_ms))})
        await pipe.execute()


async def waiting(server: RedisServer) -> int:
    with connect(server.url) as client:
        return await asyncio.to_thread(turns_waiting, client)


class Watch:
    """What Redis itself says that each worker has in hand, looked at all the time."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self.most: Counter[str] = Counter()
        self.looks = 0

    async def run(self) -> None:
        while True:
            with contextlib.suppress(redis.exceptions.ResponseError):  # The group is not there yet.
                for consumer in await self._client.xinfo_consumers(TURNS_STREAM, TURNS_GROUP):
                    name = consumer["name"].decode()
                    self.most[name] = max(self.most[name], int(consumer["pending"]))
                self.looks += 1
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def watching(client: redis.asyncio.Redis) -> AsyncIterator[Watch]:
    watch = Watch(client)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_burst_of_a_thousand_with_take_overs_never_fills_a_worker_beyond_its_cap(
    client: redis.asyncio.Redis, durable_server: RedisServer, volatile_server: RedisServer
) -> None:
    dead = TurnQueue(volatile_server.url, "dead")
    assert await dead.claim(1) == []  # Makes the group.
    await publish(client, [f"orphan-{n}" for n in range(60)])
    assert len(await dead.claim(60)) == 60
    await dead.close()
    names = [f"call-{n}" for n in range(1000)]
    first, second = (SlowWorker(name, durable_server, volatile_server) for name in ("first", "second"))
    async with watching(client) as watch, running(first):
        await publish(client, names)

        async def took_over() -> bool:
            return any(name.startswith("orphan") for name in first.computed)

        await eventually(took_over, within_s=LEASE_IDLE_MS / 1000 + 3, what="turns of the dead are taken over")
        # The rest stays queued, where whoever comes to help can take it.
        assert await waiting(volatile_server) > 300
        assert len(first.computed) < 700
        async with running(second):

            async def all_done() -> bool:
                return not await client.xlen(TURNS_STREAM)

            await eventually(all_done, within_s=20, what="both workers finish everything")
    assert max(first.most, second.most) <= CAPACITY
    assert watch.looks > 100
    assert watch.most["first"] == CAPACITY
    assert watch.most["second"] == CAPACITY
    computed = Counter(first.computed + second.computed)
    assert set(computed) == {*names, *(f"orphan-{n}" for n in range(60))}
    assert set(computed.values()) == {1}
    assert len(second.computed) > 200, "the worker that was added takes its share of the rest"


async def test_turns_that_wait_past_their_deadline_are_dropped_and_not_computed(
    client: redis.asyncio.Redis, durable_server: RedisServer, volatile_server: RedisServer
) -> None:
    worker = SlowWorker("slow", durable_server, volatile_server, capacity=2)
    await publish(client, [f"late-{n}" for n in range(200)], remaining_ms=300)
    await publish(client, ["last"])
    async with running(worker):

        async def empty() -> bool:
            return not await client.xlen(TURNS_STREAM)

        await eventually(empty, what="the queue is empty")
    assert worker.computed[-1] == "last"
    assert 2 <= len(worker.computed) < 40, "only what could still be in time: two every 40 ms for 300 ms"
    assert await waiting(volatile_server) == 0


async def test_the_depth_is_what_nobody_has_taken(client: redis.asyncio.Redis, volatile_server: RedisServer) -> None:
    assert await waiting(volatile_server) == 0, "no queue at all"
    queue = TurnQueue(volatile_server.url, "one")
    await publish(client, ["a", "b", "c"])
    assert await waiting(volatile_server) == 3, "no worker was ever there"
    await queue.claim(1)
    (taken,) = await queue.claim(1)
    assert await waiting(volatile_server) == 2
    await queue.finish(taken.entry_id)
    assert await waiting(volatile_server) == 2
    await queue.close()
