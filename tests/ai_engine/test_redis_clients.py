"""Clients of a real Redis with more commands at once than connections: none is refused, none is lost, none waits for ever."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio
import redis.exceptions

from ai_engine.redis_clients import POOL_CONNECTIONS, connect_async
from tests.redis_server import RedisServer

AT_ONCE = 6 * POOL_CONNECTIONS


async def count_one(client: redis.asyncio.Redis) -> None:
    await client.incr("count")


async def test_more_commands_at_once_than_connections_all_succeed(volatile_redis: str) -> None:
    client = connect_async(volatile_redis)
    await asyncio.gather(*(client.xadd("stream", {b"m": b"%d" % number}) for number in range(AT_ONCE)))
    assert await client.xlen("stream") == AT_ONCE
    await client.aclose()


async def test_commands_that_were_cancelled_while_they_waited_keep_no_connection(volatile_redis: str) -> None:
    client = connect_async(volatile_redis)
    for ticks in range(0, 20, 3):
        commands = [asyncio.create_task(count_one(client)) for _ in range(AT_ONCE)]
        for _ in range(ticks):
            await asyncio.sleep(0)
        for command in commands[::3]:
            command.cancel()
        await asyncio.gather(*commands, return_exceptions=True)
    await asyncio.gather(*(count_one(client) for _ in range(AT_ONCE)))
    _idle, in_use = (count for count, _ in client.connection_pool.get_connection_count())
    assert in_use == 0
    await client.aclose()


async def test_commands_to_a_redis_that_is_silent_give_up_together(volatile_server: RedisServer) -> None:
    client = connect_async(volatile_server.url, reply_timeout_s=0.5)
    volatile_server.freeze()
    async with asyncio.timeout(AT_ONCE / POOL_CONNECTIONS * 0.5):  # Line by line they would need all of it.
        answers = await asyncio.gather(*(count_one(client) for _ in range(AT_ONCE)), return_exceptions=True)
    assert all(isinstance(answer, redis.exceptions.RedisError) for answer in answers)
    volatile_server.thaw()
    await asyncio.gather(*(count_one(client) for _ in range(AT_ONCE)))
    await client.aclose()


async def test_commands_to_a_redis_that_is_gone_fail(volatile_server: RedisServer) -> None:
    client = connect_async(volatile_server.url)
    volatile_server.kill()
    answers = await asyncio.gather(*(count_one(client) for _ in range(AT_ONCE)), return_exceptions=True)
    assert all(isinstance(answer, redis.exceptions.ConnectionError) for answer in answers)
    with pytest.raises(redis.exceptions.ConnectionError):
        await count_one(client)
    await client.aclose()
