"""A worker between a real Redis and engines on real sockets: whole turns, failures, silence, probes, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from ai_engine import retries
from ai_engine.circuits import operators
from ai_engine.circuits.states import CircuitState, Verdict
from ai_engine.engines.config import Stage
from ai_engine.messages import (
    AudioChunk,
    Heartbeat,
    SpeechEnded,
    TurnDone,
    TurnFailed,
    TurnPartial,
    TurnTaken,
)
from ai_engine.turn_queue import CLAIM_BLOCK_MS, publish_chunks, publish_turn
from ai_engine.worker import Worker, heartbeat_key
from tests.ai_engine.fake_engines import TONE, FakeOpenAI, FakeVosk
from tests.ai_engine.rig import SPEECH, Rig
from tests.ai_engine.test_turn_queue import request
from tests.ai_engine.waiting import eventually, until
from tests.redis_server import RedisServer


@contextlib.asynccontextmanager
async def running(*workers: Worker) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)


@pytest.fixture
async def rig(durable_server: RedisServer, volatile_server: RedisServer) -> AsyncIterator[Rig]:
    async with FakeVosk().running() as vosk, FakeOpenAI().running() as nlu, FakeOpenAI().running() as tts:
        rig = Rig(durable_server, volatile_server, vosk, nlu, tts)
        yield rig
        await rig.client.aclose()


async def test_a_whole_turn(rig: Rig) -> None:
    async with running(rig.worker()):
        await rig.say()
        done = await rig.outcome()
        assert isinstance(done, TurnDone)
        assert (done.transcript, done.intent, done.confidence) == ("what are your opening hours", "opening_hours", 0.9)
        assert done.reply_audio
        assert done.worker_id == "w1"
        assert [(s.stage, s.engine, s.attempts, s.kind) for s in done.stages] == [
            ("stt", "stt-1", 1, ""), ("nlu", "nlu-1", 1, ""), ("tts", "tts-1", 1, ""),
        ]  # fmt: skip
        assert all(stage.first_byte_ms is not None for stage in done.stages)
        assert isinstance(rig.told[0], TurnTaken)
        assert any(isinstance(message, TurnPartial) for message in rig.told)
        assert bytes(rig.vosk.heard) == SPEECH
        assert (await rig.spoken())[0].pcm == TONE
        await eventually(rig.queue_is_empty)
        beat = await rig.client.get(heartbeat_key("w1"))
        assert beat is not None
        assert b'"capacity":16' in beat
    assert await rig.client.get(heartbeat_key("w1")) is None, "a worker that has ended still counts as ready"


async def test_two_workers_of_one_name_both_say_so_until_one_of_them_ends(rig: Rig) -> None:
    async def says(namesake: bool) -> bool:
        beat = await rig.client.get(heartbeat_key("w1"))
        return beat is not None and msgspec.json.decode(beat, type=Heartbeat).has_namesake is namesake

    async with running(rig.worker()):
        async with running(rig.worker()):
            await eventually(lambda: says(True))
        await eventually(lambda: says(False))


async def test_no_intent_is_surer_than_the_words_that_it_was_read_from(rig: Rig) -> None:
    """The model itself says 0.9; by 0.7 the bridge asks the caller back."""
    rig.vosk.confidences = [0.8, 0.6]
    async with running(rig.worker()):
        await rig.say()
        done = await rig.outcome()
    assert isinstance(done, TurnDone)
    assert done.intent == "opening_hours"
    assert done.confidence == pytest.approx(0.7)


async def test_a_probe_of_the_way_is_answered_without_engines(rig: Rig) -> None:
    async with running(rig.worker()):
        await publish_turn(rig.client, request("probe-1", expect="probe"))
        done = await rig.outcome("probe-1")
        assert isinstance(done, TurnDone)
        assert rig.vosk.opened == 0


async def test_the_engine_may_end_the_speech_first(rig: Rig) -> None:
    rig.vosk.endpoint_after = 4
    async with running(rig.worker()):
        await publish_turn(rig.client, request())
        await publish_chunks(rig.client, "call-1", rig.chunks(SPEECH)[:5])
        done = await rig.outcome()
        assert isinstance(done, TurnDone)
        assert done.intent == "opening_hours"
        assert SpeechEnded("call-1", 1, "engine") in rig.told


async def test_not_understanding_and_saying_nothing_are_no_failures(rig: Rig) -> None:
    async with running(worker := rig.worker()):
        rig.nlu.answer["confidence"] = 0.3
        await rig.say("doubtful")
        doubtful = await rig.outcome("doubtful")
        rig.nlu.answer.update(confidence=0.9, intent=None)
        await rig.say("foreign")
        foreign = await rig.outcome("foreign")
        rig.vosk.fault = "unknown"
        await rig.say("mumbled")
        mumbled = await rig.outcome("mumbled")
        rig.vosk.fault = "empty"
        await rig.say("silent", pcm=bytes(16_000))
        silent = await rig.outcome("silent")
        outcomes = [doubtful, foreign, mumbled, silent]
        assert all(isinstance(one, TurnDone) and not one.intent and not one.reply_audio for one in outcomes)
        assert [one.transcript != "" for one in outcomes] == [True, True, False, False]
        assert all(view.failures == 0 for view in worker._board.views())


@pytest.mark.parametrize(
    ("stage", "fault", "kind"),
    [
        ("stt", "hang", "hang"),
        ("stt", "empty", "empty"),
        ("stt", "401", "http_401"),
        ("stt", "drip", "timeout"),
        ("nlu", "500", "http_500"),
        ("nlu", "hang", "hang"),
        ("nlu", "silent", "empty"),
        ("tts", "silent", "silent"),
        ("tts", "drip", "timeout"),
        ("tts", "garbage", "garbage"),
    ],
)
async def test_each_failure_is_told_with_what_was_understood(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, stage: str, fault: str, kind: str
) -> None:
    monkeypatch.setattr(retries, "RETRY_DELAYS_S", (0.02, 0.03))
    rig.break_stage(stage, fault)
    rig.nlu.answer["slots"] = {"account_number": "12345"}
    async with running(worker := rig.worker()):
        await rig.say()
        failed = await rig.outcome()
        assert isinstance(failed, TurnFailed)
        assert (failed.stage, failed.kind) == (stage, kind)
        assert failed.attempts >= 1
        assert failed.stages[-1].kind == kind
        assert bool(failed.transcript) == (stage != "stt")
        assert (failed.slots == {"account_number": "12345"}) == (stage == "tts")
        assert {view.stage: view.failures for view in worker._board.views()}[stage] == 1


async def test_an_outage_opens_the_circuit_and_a_probe_closes_it_without_a_caller(rig: Rig) -> None:
    rig.nlu.fault = "hang"
    async with running(worker := rig.worker(open_s=0.5)):
        for n in range(3):
            await rig.say(f"call-{n}")
        for n in range(3):
            assert isinstance(await rig.outcome(f"call-{n}"), TurnFailed)
        assert not worker._board.usable("nlu").usable
        asked = len(rig.nlu.requests)
        await rig.say("later")
        later = await rig.outcome("later", within_s=1)
        assert isinstance(later, TurnFailed)
        assert (later.stage, later.kind) == ("nlu", "no_engine")
        assert rig.vosk.opened == 3
        await until(lambda: len(rig.nlu.requests) > asked, what="a probe while it still hangs")
        rig.nlu.fault = "none"
        await until(lambda: worker._board.usable("nlu").usable, what="a probe closes it")
        await rig.say("after")
        assert isinstance(await rig.outcome("after"), TurnDone)


async def test_every_stage_is_probed(rig: Rig) -> None:
    for stage in Stage:
        rig.break_stage(stage, "500")
    async with running(worker := rig.worker()):
        for name in ("stt-1", "nlu-1", "tts-1"):
            guard = worker._board.guard(name)
            for _ in range(3):
                permit = guard.permit()
                assert permit is not None
                guard.record(permit, Verdict.FAIL, "timeout")
        await until(lambda: all(view.why == "http_500" for view in worker._board.views()), what="probes fail")
        for stage in Stage:
            rig.break_stage(stage, "none")
        await until(lambda: all(view.state is CircuitState.CLOSED for view in worker._board.views()))


async def test_a_forced_open_stage_is_not_asked(rig: Rig) -> None:
    async with running(worker := rig.worker()):
        await eventually(rig.alive)
        operators.force("tts", CircuitState.FORCED_OPEN, "ann", "drill", redis_url=rig.durable.url)
        await until(lambda: worker._board.usable("tts").forced)
        await rig.say()
        failed = await rig.outcome()
        assert isinstance(failed, TurnFailed)
        assert failed.kind == "no_engine"


async def test_a_worker_takes_no_more_than_it_can_hold(rig: Rig) -> None:
    async with running(rig.worker(capacity=2)):
        for n in range(6):
            await publish_turn(rig.client, request(f"call-{n}"))
        await eventually(lambda: rig.pending_is(2))
        for _ in range(20):
            await rig.listen()
            await asyncio.sleep(0.01)
        assert len([m for m in rig.told if isinstance(m, TurnTaken)]) == 2
        for n in range(6):
            await publish_chunks(rig.client, f"call-{n}", [AudioChunk(1, 0, SPEECH), AudioChunk(1, 1, b"", end=True)])
        for n in range(6):
            assert isinstance(await rig.outcome(f"call-{n}"), TurnDone)


async def test_a_stopping_worker_finishes_what_it_holds_and_takes_nothing_new(rig: Rig) -> None:
    worker = rig.worker()
    running_worker = asyncio.create_task(worker.run())
    await publish_turn(rig.client, request())
    await eventually(lambda: rig.pending_is(1))
    worker.stop()
    await asyncio.sleep(CLAIM_BLOCK_MS / 1000 + 0.4)  # A claim that was under way may still take one.
    await publish_turn(rig.client, request("too-late"))
    await publish_chunks(rig.client, "call-1", [AudioChunk(1, 0, SPEECH), AudioChunk(1, 1, b"", end=True)])
    assert isinstance(await rig.outcome(), TurnDone)
    async with asyncio.timeout(5):
        await running_worker
    assert await rig.client.xlen("turns") == 1
    assert not await rig.client.xinfo_consumers("turns", "workers")


async def test_a_cancelled_worker_leaves_its_turn_to_another(rig: Rig) -> None:
    first = asyncio.create_task(rig.worker("first").run())
    await publish_turn(rig.client, request())
    await publish_chunks(rig.client, "call-1", [AudioChunk(1, 0, SPEECH[:3200])])
    await eventually(lambda: rig.pending_is(1))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    async with running(rig.worker("second")):
        await publish_chunks(rig.client, "call-1", [AudioChunk(1, 1, SPEECH[3200:]), AudioChunk(1, 2, b"", end=True)])
        rig.vosk.heard.clear()
        done = await rig.outcome()
        assert isinstance(done, TurnDone)
        assert done.worker_id == "second"
        assert bytes(rig.vosk.heard) == SPEECH


async def test_redis_dies_and_comes_back(rig: Rig) -> None:
    async with running(rig.worker()):
        await rig.say("before")
        assert isinstance(await rig.outcome("before"), TurnDone)
        rig.volatile.kill()
        await asyncio.sleep(0.5)
        rig.volatile.start()
        rig.position = "0"
        await rig.say("after")
        assert isinstance(await rig.outcome("after"), TurnDone)


async def test_a_flow_that_the_worker_does_not_know_is_said(rig: Rig) -> None:
    async with running(rig.worker()):
        await publish_turn(rig.client, msgspec.structs.replace(request(), flow_version=99))
        failed = await rig.outcome()
        assert isinstance(failed, TurnFailed)
        assert failed.kind == "no_flow"
