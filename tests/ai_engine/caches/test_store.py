"""What was kept comes back from a real Redis, and its absence costs a turn nothing but the long way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from ai_engine.caches.store import LIMIT_S, Cache, Caches, configured_caches
from ai_engine.engines.roles import Understanding
from ai_engine.errors import BadEngineConfigError
from ai_engine.messages import TurnDone
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.rig import Rig
from tests.ai_engine.test_worker import running
from tests.ai_engine.waiting import eventually
from tests.redis_server import RedisServer

SURE = Understanding("opening_hours", 0.9, {}, "We are open.")


@contextlib.asynccontextmanager
async def caches(server: RedisServer, *used: Cache) -> AsyncIterator[Caches]:
    made = Caches(server.url, used)
    try:
        yield made
    finally:
        await made.close()


async def test_every_worker_finds_what_one_has_kept(volatile_server: RedisServer) -> None:
    async with caches(volatile_server, *Cache) as one, caches(volatile_server, *Cache) as other:
        assert await other.answer("q") is None
        await one.keep_answer("q", SURE)
        await one.keep_speech("s", b"\x01\x02")
        assert await other.answer("q") == SURE
        assert await other.speech("s") == b"\x01\x02"


async def test_nothing_is_kept_without_a_name_or_when_switched_off(volatile_server: RedisServer) -> None:
    async with caches(volatile_server) as off, caches(volatile_server, *Cache) as on:
        await off.keep_answer("q", SURE)
        await on.keep_answer("", SURE)
        await on.keep_speech("long", bytes(400_000))
        assert await on.answer("q") is None
        assert await on.answer("") is None
        assert await on.speech("long") is None


async def test_without_redis_or_with_one_that_stands_still_a_look_finds_nothing_soon(volatile_server: RedisServer) -> None:
    async with caches(volatile_server, *Cache) as kept:
        await kept.keep_answer("q", SURE)
        pid = volatile_server.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert await kept.answer("q") is None
            assert time.monotonic() - began < 10 * LIMIT_S
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await kept.answer("q") == SURE


def test_a_misspelt_cache_is_refused_with_the_fix() -> None:
    assert configured_caches(["none"]) == frozenset()
    assert configured_caches(["intents", "speech"]) == set(Cache)
    with pytest.raises(BadEngineConfigError, match=r"LIFELINE_CACHES.*intents, speech"):
        configured_caches(["intent"])


@pytest.fixture
async def rig(durable_server: RedisServer, volatile_server: RedisServer) -> AsyncIterator[Rig]:
    async with FakeVosk().running() as vosk, FakeOpenAI().running() as nlu, FakeOpenAI().running() as tts:
        rig = Rig(durable_server, volatile_server, vosk, nlu, tts)
        yield rig
        await rig.client.aclose()


async def test_the_second_caller_is_answered_without_nlu_and_tts(rig: Rig) -> None:
    async with running(rig.worker("w1", caches=tuple(Cache)), rig.worker("w2", caches=tuple(Cache))):
        await rig.say("first")
        first = await rig.outcome("first")
        asked = len(rig.nlu.requests), len(rig.tts.requests)
        assert asked == (1, 1)
        rig.nlu.fault = rig.tts.fault = "500"
        await asyncio.gather(*(rig.say(f"call-{n}") for n in range(4)))
        later = [await rig.outcome(f"call-{n}") for n in range(4)]
    assert isinstance(first, TurnDone)
    for one in later:
        assert isinstance(one, TurnDone)
        assert (one.intent, one.reply, one.reply_audio) == (first.intent, first.reply, True)
        assert [(stage.stage, stage.engine, stage.cache) for stage in one.stages[1:]] == [
            ("nlu", "", "intents"), ("tts", "", "speech"),
        ]  # fmt: skip
    assert (len(rig.nlu.requests), len(rig.tts.requests)) == asked
    spoken = await rig.spoken()
    assert len({reply.pcm for reply in spoken}) == 1
    assert len(spoken) == 5


async def test_an_answer_that_fills_a_slot_is_asked_anew(rig: Rig) -> None:
    rig.nlu.answer["slots"] = {"account_number": "12345"}
    async with running(rig.worker(caches=tuple(Cache))):
        for n in range(2):
            await rig.say(f"call-{n}")
            await rig.outcome(f"call-{n}")
        await eventually(rig.queue_is_empty)
    assert len(rig.nlu.requests) == 2


async def test_half_an_answer_is_not_kept_nor_taken_for_a_whole_one(rig: Rig) -> None:
    rig.nlu.answer["reply"] = "Yes, we are open. Come whenever you like."
    rig.nlu.fault, rig.nlu.faults_left, rig.nlu.breaks_at = "stall", 1, 16
    async with running(rig.worker(caches=(Cache.INTENTS,))):
        said = []
        for call in ("broken off", "whole"):
            await rig.say(call)
            said.append(await rig.outcome(call))
    assert [one.reply for one in said if isinstance(one, TurnDone)] == ["Yes, we are open.", rig.nlu.answer["reply"]]


async def test_an_answer_without_its_reply_or_in_no_encoding_is_asked_anew(volatile_server: RedisServer) -> None:
    async with caches(volatile_server, *Cache) as kept:
        await kept.keep_answer("q", Understanding("opening_hours", 0.9, {}, ""))
        assert await kept.answer("q") is None
        await kept._set(Cache.INTENTS, "q", msgspec.msgpack.encode(SURE).replace(b"We are", b"\xff\xfe are"), 60)
        assert await kept.answer("q") is None
