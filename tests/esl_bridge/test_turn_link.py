"""The bridge's link to the queue over a real Redis: what one failed read means, and what a Redis that is gone means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ai_engine import stream_reader
from ai_engine.messages import FIELD, BridgeMessage, TurnTaken, encode, results_stream
from ai_engine.redis_clients import connect_async
from esl_bridge.turn_link import TurnLink
from tests.redis_server import RedisServer


class Listening:
    def __init__(self, url: str) -> None:
        self.heard: list[BridgeMessage] = []
        self.lost: list[str] = []
        self.link = TurnLink(url, "bridge-1", self.heard.append, self.lost.append)
        self.redis = connect_async(url)
        self._task = asyncio.create_task(self.link.run())

    async def tell(self, turn: int) -> None:
        await self.redis.xadd(results_stream("bridge-1"), {FIELD: encode(TurnTaken("call-1", turn, "worker-1", 1.0))})

    async def until(self, turn: int) -> None:
        async with asyncio.timeout(5):
            while not any(isinstance(message, TurnTaken) and message.turn == turn for message in self.heard):
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.link.close()
        await self.redis.aclose()


@pytest.fixture
async def listening(volatile_redis: str) -> AsyncIterator[Listening]:
    found = Listening(volatile_redis)
    # The first results reach it only once it reads: those before belong to an earlier process.
    async with asyncio.timeout(5):
        while not found.heard:
            await found.tell(0)
            await asyncio.sleep(0.01)
    yield found
    await found.close()


async def test_a_read_that_fails_once_loses_no_result_and_fails_no_call(listening: Listening) -> None:
    for turn in range(1, 20):
        await listening.redis.client_kill_filter(_type="normal", skipme=True)
        await listening.tell(turn)
        await listening.until(turn)
    assert listening.lost == []


async def test_a_message_that_cannot_be_read_is_passed_over(listening: Listening) -> None:
    taken = encode(TurnTaken("call-1", 1, "worker-1", 1.0))
    for unreadable in (b"\x00", taken.replace(b"worker-1", b"\xff\xferker-1")):
        await listening.redis.xadd(results_stream("bridge-1"), {FIELD: unreadable})
    await listening.tell(2)
    await listening.until(2)
    assert listening.lost == []


async def test_results_are_heard_although_their_stream_begins_anew_with_lower_ids(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It expires in a quiet minute; then Redis' clock is set back."""
    monkeypatch.setattr(stream_reader, "LOOK_S", 0.0)
    await listening.tell(1)
    await listening.until(1)
    await listening.redis.delete(results_stream("bridge-1"))
    await listening.redis.xadd(results_stream("bridge-1"), {FIELD: encode(TurnTaken("call-1", 2, "worker-1", 1.0))}, id="5-0")
    await listening.until(2)


async def test_a_redis_that_is_gone_is_told_and_its_return_is_heard(volatile_server: RedisServer) -> None:
    listening = Listening(volatile_server.url)
    async with asyncio.timeout(5):
        while not listening.heard:
            await listening.tell(0)
            await asyncio.sleep(0.01)
    volatile_server.kill()
    async with asyncio.timeout(5):
        while not listening.lost:
            await asyncio.sleep(0.005)
    assert set(listening.lost) == {"redis_away"}
    volatile_server.start()
    await listening.tell(7)
    await listening.until(7)
    await listening.close()
