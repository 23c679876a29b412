"""Reading a stream of a real Redis that expired and began anew with lower ids, as after its clock was set back."""

from __future__ import annotations

import redis.asyncio

from ai_engine.redis_clients import connect_async
from ai_engine.stream_reader import LOOK_S, StreamReader, comes_before


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def add(client: redis.asyncio.Redis, entry_id: str) -> None:
    await client.xadd("stream", {b"m": entry_id.encode()}, id=entry_id)


async def test_a_stream_that_began_anew_with_lower_ids_is_read_whole(volatile_redis: str) -> None:
    client, clock = connect_async(volatile_redis), Clock()
    reader = StreamReader(client, "stream", block_ms=1, clock=clock)
    await add(client, "5000-0")
    assert [entry_id for entry_id, _ in await reader.read()] == [b"5000-0"]
    await client.delete("stream")
    await add(client, "4000-0")
    await add(client, "4000-1")
    clock.now_s += LOOK_S
    assert await reader.read() == []
    assert [entry_id for entry_id, _ in await reader.read()] == [b"4000-0", b"4000-1"]
    await client.aclose()


async def test_a_stream_that_is_gone_is_read_from_its_next_beginning(volatile_redis: str) -> None:
    client, clock = connect_async(volatile_redis), Clock()
    reader = StreamReader(client, "stream", block_ms=1, clock=clock)
    await add(client, "5000-0")
    assert len(await reader.read()) == 1
    await client.delete("stream")
    clock.now_s += LOOK_S
    assert await reader.read() == []
    await add(client, "4000-0")
    assert [entry_id for entry_id, _ in await reader.read()] == [b"4000-0"]
    await client.aclose()


async def test_a_reader_from_the_end_hears_only_what_comes_and_nothing_twice(volatile_redis: str) -> None:
    client, clock = connect_async(volatile_redis), Clock()
    await add(client, "5000-0")
    reader = StreamReader(client, "stream", position=None, block_ms=1, clock=clock)
    for _ in range(3):
        assert await reader.read() == []
        clock.now_s += LOOK_S
    await add(client, "5000-1")
    assert [entry_id for entry_id, _ in await reader.read()] == [b"5000-1"]
    clock.now_s += LOOK_S
    assert await reader.read() == []
    await client.aclose()


def test_ids_are_compared_as_numbers() -> None:
    assert comes_before("999-0", "1000-0")
    assert comes_before("1000-9", "1000-10")
    assert not comes_before("1000-0", "1000-0")
    assert not comes_before("0", "0-0")
