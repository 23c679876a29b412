"""One budget for a whole turn: engines hang, drip and break in the middle of a word, and a caller never waits longer.

Two engines a stage on real sockets, the caller's audio in real time. The silence is from the last chunk of speech until the
reply's audio is on its way to the gateway, or the bridge hears that there will be none.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from starlette.requests import Request
from starlette.responses import Response

from ai_engine.circuits.board import CircuitBoard
from ai_engine.engines.build import Engines
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.messages import TurnDone, TurnFailed
from ai_engine.turn_queue import publish_chunks, publish_turn
from ai_engine.worker import Worker
from tests.ai_engine.fake_engines import TONE, FakeOpenAI, FakeVosk
from tests.ai_engine.fake_server import RETRY_AFTER_S
from tests.ai_engine.flows import demo_snapshot
from tests.ai_engine.rig import SPEECH, Rig
from tests.ai_engine.test_turn_queue import request
from tests.ai_engine.waiting import eventually
from tests.redis_server import RedisServer

BUDGET_S = request().budget_ms / 1000
CHUNK_S = 0.1
WORDS = "what are your opening hours"


@dataclass
class Pairs:
    """Two engines for each stage, and what a caller's turn came to."""

    rig: Rig
    stt: tuple[FakeVosk, FakeVosk]
    nlu: tuple[FakeOpenAI, FakeOpenAI]
    tts: tuple[FakeOpenAI, FakeOpenAI]
    limits: dict[str, float] = field(default_factory=lambda: {"first_byte_s": 0.8, "total_s": 2.0})

    def worker(self) -> Worker:
        stages: tuple[tuple[Stage, EngineKind, Sequence[FakeVosk | FakeOpenAI]], ...] = (
            (Stage.STT, EngineKind.VOSK, self.stt), (Stage.NLU, EngineKind.OPENAI, self.nlu),
            (Stage.TTS, EngineKind.OPENAI, self.tts),
        )  # fmt: skip
        configs = [
            EngineConfig(f"{stage}-{n}", stage, kind, fake.url, http2_cleartext=kind is EngineKind.OPENAI, **self.limits)  # type: ignore[arg-type]
            for stage, kind, fakes in stages
            for n, fake in enumerate(fakes, 1)
        ]
        board = CircuitBoard(self.rig.durable.url, configs, "w1")
        return Worker("w1", self.rig.volatile.url, board, Engines(configs), demo_snapshot, capacity=4, caches=())

    async def speak(self, broken_at: int = -1) -> float:
        """Says the utterance in real time; the first recogniser breaks at one chunk. When the last chunk was sent."""
        await publish_turn(self.rig.client, request())
        for number, chunk in enumerate(self.rig.chunks(SPEECH)):
            if number == broken_at:
                self.stt[0].fault = "reset"
            await publish_chunks(self.rig.client, "call-1", [chunk])
            if not chunk.end:
                await asyncio.sleep(CHUNK_S)
        return time.monotonic()

    async def turn(self, **how: int) -> tuple[TurnDone | TurnFailed, float]:
        worker = self.worker()
        running = asyncio.create_task(worker.run())
        try:
            await eventually(self.rig.alive)
            ended_at = await self.speak(**how)
            outcome = await self.rig.outcome(within_s=BUDGET_S + 2)
            silence_s = time.monotonic() - ended_at
            if isinstance(outcome, TurnDone):
                assert [reply.pcm for reply in await self.rig.spoken()] == [TONE]
            return outcome, silence_s
        finally:
            worker.stop()
            async with asyncio.timeout(10):
                await running


@pytest.fixture
async def pairs(durable_server: RedisServer, volatile_server: RedisServer) -> AsyncIterator[Pairs]:
    async with contextlib.AsyncExitStack() as stack:
        stt = FakeVosk(), FakeVosk()
        nlu, tts = (FakeOpenAI(), FakeOpenAI()), (FakeOpenAI(), FakeOpenAI())
        for fake in (*stt, *nlu, *tts):
            await stack.enter_async_context(fake.running())
        rig = Rig(durable_server, volatile_server, stt[0], nlu[0], tts[0])
        yield Pairs(rig, stt, nlu, tts)
        await rig.client.aclose()


def tried(outcome: TurnDone | TurnFailed) -> list[tuple[str, str]]:
    return [(stage.engine, stage.kind) for stage in outcome.stages]


WELL = {"stt": [("stt-1", "")], "nlu": [("nlu-1", "")], "tts": [("tts-1", "")]}


@pytest.mark.parametrize(
    ("stage", "fault", "kinds"),
    [
        ("stt", "hang", {"hang", "no_partial"}),
        ("stt", "drip", {"timeout", "stalled"}),
        ("nlu", "hang", {"hang", "no_token"}),
        ("tts", "drip", {"timeout", "stalled"}),
    ],
)
async def test_one_engine_takes_its_time_and_the_next_one_answers(pairs: Pairs, stage: str, fault: str, kinds: set[str]) -> None:
    {"stt": pairs.stt, "nlu": pairs.nlu, "tts": pairs.tts}[stage][0].fault = fault
    outcome, silence_s = await pairs.turn()
    assert isinstance(outcome, TurnDone)
    assert (outcome.transcript, outcome.intent, outcome.reply_audio) == (WORDS, "opening_hours", True)
    expected = {**WELL, stage: [(f"{stage}-1", "?"), (f"{stage}-2", "")]}
    assert [(engine, "?" if kind else "") for engine, kind in tried(outcome)] == [one for part in expected.values() for one in part]
    assert next(kind for _engine, kind in tried(outcome) if kind) in kinds
    assert silence_s < BUDGET_S + 0.5


async def test_the_first_engine_of_every_stage_takes_its_time_and_the_caller_is_answered_all_the_same(pairs: Pairs) -> None:
    pairs.stt[0].fault = pairs.nlu[0].fault = "hang"
    pairs.tts[0].fault = "drip"
    outcome, silence_s = await pairs.turn()
    assert isinstance(outcome, TurnDone), tried(outcome)
    assert outcome.reply_audio
    assert [engine for engine, _kind in tried(outcome)] == ["stt-1", "stt-2", "nlu-1", "nlu-2", "tts-1", "tts-2"]
    assert silence_s < BUDGET_S + 0.5


@pytest.mark.parametrize(("stage", "fault"), [("nlu", "hang"), ("tts", "drip")])
async def test_where_no_engine_answers_the_bridge_is_told_within_the_budget(pairs: Pairs, stage: str, fault: str) -> None:
    for fake in {"stt": pairs.stt, "nlu": pairs.nlu, "tts": pairs.tts}[stage]:
        fake.fault = fault
    outcome, silence_s = await pairs.turn()
    assert isinstance(outcome, TurnFailed)
    assert outcome.stage == stage
    assert [engine for engine, kind in tried(outcome) if kind] == [f"{stage}-1", f"{stage}-2"], "each got its time"
    assert silence_s < BUDGET_S + 0.5


async def test_an_engine_that_breaks_in_the_middle_of_the_words_hands_all_of_them_to_the_next(pairs: Pairs) -> None:
    middle = len(pairs.rig.chunks(SPEECH)) // 2
    outcome, silence_s = await pairs.turn(broken_at=middle)
    assert isinstance(outcome, TurnDone)
    assert outcome.transcript == WORDS
    assert tried(outcome)[:2] == [("stt-1", "reset"), ("stt-2", "")]
    assert outcome.stages[0].attempts > 1, "first it is asked again, as long as that fits"
    assert bytes(pairs.stt[1].heard) == SPEECH, "from the beginning"
    caught_up_s = outcome.stages[1].total_ms / 1000
    assert caught_up_s < len(SPEECH) / 16_000 / 2, "faster than the caller spoke"
    assert silence_s < BUDGET_S + 0.5


async def test_an_engine_that_names_a_moment_is_asked_again_at_it(pairs: Pairs) -> None:
    pairs.nlu[0].fault, pairs.nlu[0].faults_left = "429", 1
    outcome, silence_s = await pairs.turn()
    assert isinstance(outcome, TurnDone)
    nlu = next(stage for stage in outcome.stages if stage.stage == "nlu")
    assert nlu.engine == "nlu-1"
    assert nlu.attempts == 2
    assert nlu.total_ms >= RETRY_AFTER_S * 1000
    assert silence_s < BUDGET_S + 0.5


class CountingOpenAI(FakeOpenAI):
    """Understanding takes 100 ms; how many requests were in it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0

    async def _chat(self, request: Request) -> Response:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.1)
            return await super()._chat(request)
        finally:
            self.now -= 1


async def test_turns_wait_for_a_place_at_a_limited_engine_and_it_never_sees_more_at_once(
    durable_server: RedisServer, volatile_server: RedisServer
) -> None:
    async with FakeVosk().running() as stt, CountingOpenAI().running() as nlu, FakeOpenAI().running() as tts:
        assert isinstance(nlu, CountingOpenAI)
        rig = Rig(durable_server, volatile_server, stt, nlu, tts)
        configs = (
            EngineConfig("stt-1", Stage.STT, EngineKind.VOSK, stt.url),
            EngineConfig("nlu-1", Stage.NLU, EngineKind.OPENAI, nlu.url, http2_cleartext=True, concurrency=2),
            EngineConfig("tts-1", Stage.TTS, EngineKind.OPENAI, tts.url, http2_cleartext=True),
        )
        board = CircuitBoard(durable_server.url, configs, "w1")
        worker = Worker("w1", volatile_server.url, board, Engines(configs), demo_snapshot, capacity=8, caches=())
        running = asyncio.create_task(worker.run())
        names = [f"call-{n}" for n in range(6)]
        try:
            for name in names:
                await rig.say(name)
            outcomes = [await rig.outcome(name) for name in names]
        finally:
            worker.stop()
            async with asyncio.timeout(10):
                await running
            await rig.client.aclose()
    assert all(isinstance(outcome, TurnDone) for outcome in outcomes)
    assert nlu.most == 2
    waited = sorted(next(stage.queue_ms for stage in outcome.stages if stage.stage == "nlu") for outcome in outcomes)
    assert waited[0] < 50
    assert waited[-1] >= 150, "the last two waited for two before them"
