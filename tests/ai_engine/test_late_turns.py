"""A turn that waited, in the queue or in a dead worker's hands, has what is left of its budget: not all of it once more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ai_engine.audio_hub import AudioHub
from ai_engine.messages import FIELD, AudioChunk, TurnFailed, audio_stream, encode
from ai_engine.recording import MARGIN_S, TurnClock
from ai_engine.turn_queue import publish_chunks, publish_turn
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.rig import SPEECH, Rig
from tests.ai_engine.test_turn_queue import request
from tests.ai_engine.test_worker import running
from tests.redis_server import RedisServer


@pytest.fixture
async def rig(durable_server: RedisServer, volatile_server: RedisServer) -> AsyncIterator[Rig]:
    async with FakeVosk().running() as vosk, FakeOpenAI().running() as nlu, FakeOpenAI().running() as tts:
        rig = Rig(durable_server, volatile_server, vosk, nlu, tts)
        yield rig
        await rig.client.aclose()


async def ended(rig: Rig, ago_ms: int, *chunks: AudioChunk) -> None:
    """What a call said until so long ago, as it lies in its stream."""
    seconds, micros = await rig.client.time()
    at_ms = seconds * 1000 + micros // 1000 - ago_ms
    for number, chunk in enumerate(chunks):
        await rig.client.xadd(audio_stream("call-1"), {FIELD: encode(chunk)}, id=f"{at_ms}-{number + 1}")


def test_the_budget_runs_from_the_earliest_end_that_is_told() -> None:
    now = [100.0]
    clock = TurnClock(12.0, 4.0, lambda: now[0])
    assert clock.left_s() == 12
    clock.speech_ended()
    assert clock.left_s() == pytest.approx(4 - MARGIN_S)
    now[0] = 100.5
    clock.speech_ended(2.0)
    assert clock.ended_at == 98.5
    assert clock.left_s() == pytest.approx(2 - MARGIN_S)
    clock.speech_ended()
    assert clock.left_s() == pytest.approx(2 - MARGIN_S)


async def test_the_age_of_a_turn_s_end_is_the_server_s(rig: Rig) -> None:
    await ended(rig, 2000, AudioChunk(1, 0, b"a"), AudioChunk(1, 1, b"", end=True))
    hub = AudioHub(rig.volatile.url)
    reading = asyncio.create_task(hub.run())
    with hub.listen("call-1", 1) as feed:
        async with asyncio.timeout(5):
            arrivals = [arrival async for arrival in feed.chunks()]
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert [arrival.chunk.pcm for arrival in arrivals] == [b"a", b""]
    assert 2.0 <= arrivals[-1].ago_s < 7.0


@pytest.mark.parametrize("left_ms", [0, 600])
async def test_a_turn_with_too_little_time_fails_and_no_engine_is_blamed(rig: Rig, left_ms: int) -> None:
    asked = request()
    rig.vosk.fault = "hang"
    await publish_turn(rig.client, asked)
    await ended(rig, asked.budget_ms - left_ms, *rig.chunks(SPEECH))
    async with running(worker := rig.worker()):
        failed = await rig.outcome()
        assert isinstance(failed, TurnFailed)
        assert (failed.stage, failed.kind) == ("stt", "timeout")
        assert worker._board.guard("stt-1").failures == 0
        rig.vosk.fault = "none"
        await publish_turn(rig.client, request("call-2"))
        await publish_chunks(rig.client, "call-2", rig.chunks(SPEECH))
        assert not isinstance(await rig.outcome("call-2"), TurnFailed)
