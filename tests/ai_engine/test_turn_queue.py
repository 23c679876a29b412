"""Claims, leases and what is published, over a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from ai_engine import audio_hub
from ai_engine.audio_hub import AudioHub
from ai_engine.messages import FIELD, TURNS_STREAM, AudioChunk, TurnRequest, audio_stream, encode
from ai_engine.redis_clients import connect_async
from ai_engine.stream_reader import BEGINNING
from ai_engine.turn_queue import Claim, TurnQueue, publish_chunks, publish_turn
from tests.ai_engine.waiting import until
from tests.redis_server import RedisServer


def request(
    call_uuid: str = "call-1", *, turn: int = 1, remaining_ms: int = 12_000, expect: str = "intent", simulated: bool = False
) -> TurnRequest:
    return TurnRequest(
        turn_id=f"{call_uuid}:{turn}", call_uuid=call_uuid, turn=turn, epoch=1, bridge_id="bridge-1",
        gateway_id="gateway-1", flow_slug="demo", flow_version=3, language="en", expect=expect, slots={}, history=(),
        listen_ms=8000, budget_ms=4000, remaining_ms=remaining_ms, simulated=simulated,
    )  # fmt: skip


@pytest.fixture
async def client(volatile_redis: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = connect_async(volatile_redis)
    yield client
    await client.aclose()


@pytest.fixture
async def queues(volatile_redis: str) -> AsyncIterator[tuple[TurnQueue, TurnQueue]]:
    pair = TurnQueue(volatile_redis, "one"), TurnQueue(volatile_redis, "two")
    assert await pair[0].claim(1) == []  # Makes the group.
    yield pair
    for queue in pair:
        await queue.close()


Queues = tuple[TurnQueue, TurnQueue]


async def test_each_turn_goes_to_one_worker_and_leaves_the_queue_when_done(
    client: redis.asyncio.Redis, queues: Queues
) -> None:
    for n in range(20):
        await publish_turn(client, request(f"call-{n}"))
    claims = [claim for queue in queues for claim in await queue.claim(10)]
    assert {claim.request.call_uuid for claim in claims} == {f"call-{n}" for n in range(20)}
    assert all(0 <= claim.queue_ms < 5000 for claim in claims)
    for claim in claims:
        await queues[0].finish(claim.entry_id)
    assert await client.xlen(TURNS_STREAM) == 0


async def test_a_burst_never_gives_a_worker_more_than_it_asks_for(client: redis.asyncio.Redis, queues: Queues) -> None:
    for n in range(200):
        await publish_turn(client, request(f"call-{n}"))
    assert len(await queues[0].claim(16)) == 16


async def test_a_turn_past_its_deadline_is_dropped_not_computed(client: redis.asyncio.Redis, queues: Queues) -> None:
    await publish_turn(client, request(remaining_ms=1))
    await client.xadd(TURNS_STREAM, {FIELD: b"\x00garbage"})
    await client.xadd(TURNS_STREAM, {FIELD: encode(request("no-utf-8")).replace(b"no-utf-8", b"\xff\xfeutf-8")})
    await client.xadd(TURNS_STREAM, {FIELD: b"\x91" * 100_000})
    await publish_turn(client, request("call-2"))
    await asyncio.sleep(0.01)
    assert [claim.request.call_uuid for claim in await queues[0].claim(10)] == ["call-2"]
    assert await client.xlen(TURNS_STREAM) == 1


async def test_a_renewed_lease_holds_and_one_that_is_not_is_taken_over_once(
    client: redis.asyncio.Redis, queues: Queues
) -> None:
    one, two = queues
    await publish_turn(client, request("kept"))
    await publish_turn(client, request("lost"))
    kept, lost = await one.claim(10)
    taken: list[Claim] = []
    deadline = time.monotonic() + 4
    while not taken and time.monotonic() < deadline:
        assert await one.renew([kept.entry_id]) == set()
        taken = await two.take_over(10)
        await asyncio.sleep(0.05)
    assert [(claim.request.call_uuid, claim.taken_over) for claim in taken] == [("lost", True)]
    assert await two.take_over(10) == []
    assert await one.renew([kept.entry_id, lost.entry_id]) == {lost.entry_id}
    assert await two.renew([lost.entry_id]) == set(), "the frozen worker must not steal it back"


async def test_a_trimmed_turn_does_not_stay_pending_for_ever(client: redis.asyncio.Redis, queues: Queues) -> None:
    await publish_turn(client, request())
    (claim,) = await queues[0].claim(1)
    await client.xdel(TURNS_STREAM, claim.entry_id)
    await asyncio.sleep(1.05)
    assert await queues[1].take_over(5) == []
    assert (await client.xpending(TURNS_STREAM, "workers"))["pending"] == 0


async def test_a_new_empty_redis_gets_its_group_again(volatile_server: RedisServer) -> None:
    queue = TurnQueue(volatile_server.url, "one")
    client = connect_async(volatile_server.url)
    assert await queue.claim(1) == []
    volatile_server.kill()
    with pytest.raises(redis.exceptions.ConnectionError):
        await queue.claim(1)
    volatile_server.start()
    assert await queue.claim(1) == []
    await publish_turn(client, request())
    assert len(await queue.claim(1)) == 1
    await queue.close()
    await client.aclose()


async def test_audio_is_read_from_the_beginning_of_its_turn_by_everybody(
    client: redis.asyncio.Redis, volatile_redis: str
) -> None:
    hub = AudioHub(volatile_redis)
    running = asyncio.create_task(hub.run())
    try:
        await publish_chunks(client, "c", [AudioChunk(1, 0, b"old"), AudioChunk(1, 1, b"", end=True)])
        await publish_chunks(client, "c", [AudioChunk(2, 0, b"a"), AudioChunk(2, 1, b"b")])
        with hub.listen("c", 2) as feed:
            heard: list[bytes] = []

            async def collect() -> None:
                heard.extend([chunk.pcm async for chunk, _ in feed.chunks()])

            collecting = asyncio.create_task(collect())
            await publish_chunks(client, "c", [AudioChunk(2, 2, b"c"), AudioChunk(2, 3, b"", end=True)])
            with hub.listen("c", 2) as late:
                async with asyncio.timeout(5):
                    await collecting
                    assert [chunk.pcm async for chunk, _ in late.chunks()] == [b"a", b"b", b"c", b""]
        assert heard == [b"a", b"b", b"c", b""]
        assert 0 < await client.ttl(audio_stream("c")) <= 60
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_turns_audio_is_heard_although_its_ids_are_lower_than_those_of_the_turn_before(
    client: redis.asyncio.Redis, volatile_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn clears the stream; Redis' clock was set back in between."""
    monkeypatch.setattr(audio_hub, "LOOK_S", 0.0)
    hub = AudioHub(volatile_redis)
    running = asyncio.create_task(hub.run())
    await publish_chunks(client, "c", [AudioChunk(1, 0, b"old"), AudioChunk(1, 1, b"", end=True)])
    with hub.listen("c", 1) as before:
        async with asyncio.timeout(5):
            assert len([chunk async for chunk in before.chunks()]) == 2
            with hub.listen("c", 2) as feed:
                await until(lambda: hub._positions[audio_stream("c")] != BEGINNING)
                await client.delete(audio_stream("c"))
                for number, chunk in enumerate((AudioChunk(2, 0, b"a"), AudioChunk(2, 1, b"", end=True))):
                    await client.xadd(audio_stream("c"), {FIELD: encode(chunk)}, id=f"5-{number}")
                assert [arrival.chunk.pcm async for arrival in feed.chunks()] == [b"a", b""]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_one_reader_serves_two_hundred_calls(client: redis.asyncio.Redis, volatile_redis: str) -> None:
    hub = AudioHub(volatile_redis)
    running = asyncio.create_task(hub.run())
    done: list[str] = []

    async def follow(name: str) -> None:
        with hub.listen(name, 1) as feed:
            chunks = [chunk async for chunk, _ in feed.chunks()]
            assert chunks[-1].end
            done.append(name)

    names = [f"call-{n}" for n in range(200)]
    followers = [asyncio.create_task(follow(name)) for name in names]
    for name in names:
        await publish_chunks(client, name, [AudioChunk(1, 0, bytes(1600)), AudioChunk(1, 1, b"", end=True)])
    await until(lambda: len(done) == 200, within_s=10)
    assert len(await client.client_list()) <= 5
    running.cancel()
    await asyncio.gather(running, *followers, return_exceptions=True)
