"""What callers are just saying goes out at most four times a second, only the latest words, and never into a pile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ai_engine.redis_clients import connect_async
from esl_bridge import partials
from esl_bridge.partials import FIELD, MAX_CHARS, PARTIALS_STREAM, PartialWriter, decode_partials
from tests.redis_server import RedisServer


async def written(client: Any) -> list[dict[str, str]]:
    return [decode_partials(fields[FIELD]).words for _, fields in await client.xrange(PARTIALS_STREAM)]


async def until_written(client: Any, count: int) -> list[dict[str, str]]:
    async with asyncio.timeout(5):
        while len(found := await written(client)) < count:
            await asyncio.sleep(0.01)
    return found


async def test_many_partials_of_many_calls_are_one_entry_with_the_latest_words(volatile_redis: str) -> None:
    client = connect_async(volatile_redis)
    writer = PartialWriter(client)
    running = asyncio.create_task(writer.run())
    writer.put("a", "what")
    await until_written(client, 1)
    for text in ("what is", "what is my", "what is my balance"):
        writer.put("a", text)
        writer.put("b", "x" * 1000)
    found = await until_written(client, 2)
    assert found == [{"a": "what"}, {"a": "what is my balance", "b": "x" * MAX_CHARS}]
    assert 0 < await client.ttl(PARTIALS_STREAM) <= partials.EXPIRY_S
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await client.aclose()


async def test_redis_that_is_away_costs_old_words_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partials, "RETRY_S", 0.05)
    with RedisServer(durable=False) as server:
        client = connect_async(server.url)
        writer = PartialWriter(client)
        await asyncio.to_thread(server.kill)
        running = asyncio.create_task(writer.run())
        writer.put("a", "lost")
        async with asyncio.timeout(5):
            while writer._latest:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(server.start)
        writer.put("a", "found")
        assert await until_written(client, 1) == [{"a": "found"}]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.aclose()
