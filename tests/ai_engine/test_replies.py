"""A worker hands a reply out sentence by sentence, and what was said stands although the rest never comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from ai_engine.caches.store import Cache
from ai_engine.messages import TurnDone, TurnFailed, TurnReplying
from callflows.definition.flow import Phrase, Snapshot
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.flows import demo_flow
from tests.ai_engine.rig import Rig
from tests.ai_engine.test_worker import running
from tests.ai_engine.waiting import eventually
from tests.redis_server import RedisServer

REPLY = "Yes, we are open. Come whenever you like. We are glad to see you."
FIRST, SECOND, THIRD = "Yes, we are open.", "Come whenever you like.", "We are glad to see you."


@pytest.fixture
async def rig(durable_server: RedisServer, volatile_server: RedisServer) -> AsyncIterator[Rig]:
    async with FakeVosk().running() as vosk, FakeOpenAI().running() as nlu, FakeOpenAI().running() as tts:
        nlu.answer["reply"] = REPLY
        rig = Rig(durable_server, volatile_server, vosk, nlu, tts)
        yield rig
        await rig.client.aclose()


def parts(rig: Rig) -> list[tuple[int, str]]:
    return [(told.part, told.words) for told in rig.told if isinstance(told, TurnReplying)]


async def test_each_sentence_is_rendered_told_and_handed_out_in_order_before_the_turn_is_done(rig: Rig) -> None:
    async with running(rig.worker()):
        await rig.say()
        done = await rig.outcome()
    assert isinstance(done, TurnDone)
    assert done.reply == REPLY
    assert parts(rig) == [(1, FIRST), (2, SECOND), (3, THIRD)]
    assert [request["input"] for request in rig.tts.requests] == [FIRST, SECOND, THIRD]
    assert len(await rig.spoken()) == 3
    kinds = [type(told) for told in rig.told]
    assert max(n for n, kind in enumerate(kinds) if kind is TurnReplying) < kinds.index(TurnDone)
    assert [(stage.stage, stage.attempts) for stage in done.stages] == [("stt", 1), ("nlu", 1), ("tts", 1)]


async def test_the_first_sentence_is_heard_while_the_model_still_writes_and_stands_when_it_never_ends(rig: Rig) -> None:
    rig.nlu.fault, rig.nlu.breaks_at = "stall", 16
    async with running(worker := rig.worker()):
        await rig.say()

        async def first() -> bool:
            await rig.listen()
            return bool(parts(rig))

        await eventually(first, what="the first sentence")
        assert not [told for told in rig.told if isinstance(told, TurnDone | TurnFailed)]
        done = await rig.outcome()
        assert isinstance(done, TurnDone), done
        assert (done.intent, done.reply) == ("opening_hours", FIRST)
        # The model has failed all the same, and nobody was asked to write the reply again.
        assert worker._board.guard("nlu-1").failures == 1
        assert len(rig.nlu.requests) == 1


async def test_a_voice_that_fails_at_the_second_sentence_leaves_the_first(rig: Rig) -> None:
    rig.tts.fault, rig.tts.faults_left = "none", 1
    async with running(worker := rig.worker()):
        await rig.say()

        async def first() -> bool:
            await rig.listen()
            return bool(parts(rig))

        await eventually(first, what="the first sentence")
        done = await rig.outcome()
        assert isinstance(done, TurnDone)
        assert worker._board.guard("tts-1").failures == 0


async def test_a_voice_that_never_speaks_fails_the_turn_with_what_was_understood(rig: Rig) -> None:
    rig.tts.fault = "401"
    async with running(worker := rig.worker()):
        await rig.say()
        failed = await rig.outcome()
        assert isinstance(failed, TurnFailed)
        assert (failed.stage, failed.kind, failed.intent) == ("tts", "http_401", "opening_hours")
        assert worker._board.guard("tts-1").failures == 1
        assert parts(rig) == []


async def test_sentences_that_are_known_are_not_rendered_again(rig: Rig) -> None:
    async with running(rig.worker(caches=(Cache.SPEECH,))):
        await rig.say("first")
        await rig.outcome("first")
        rig.nlu.answer["reply"] = f"{FIRST} And on Sundays as well."
        await rig.say("second")
        done = await rig.outcome("second")
    assert isinstance(done, TurnDone)
    assert [request["input"] for request in rig.tts.requests] == [FIRST, SECOND, THIRD, "And on Sundays as well."]
    assert done.reply == f"{FIRST} And on Sundays as well."


async def test_nothing_is_rendered_of_a_reply_to_what_will_be_asked_back(rig: Rig) -> None:
    flow = demo_flow()
    asks = msgspec.structs.replace(flow.system, yes_or_no=Phrase("yes or no", "y.wav", 500))
    confirmed = tuple(msgspec.structs.replace(one, confirm=Phrase("Did you?", "d.wav", 500)) for one in flow.intents)
    version = msgspec.structs.replace(flow, system=asks, intents=confirmed)
    rig.nlu.answer["confidence"] = 0.7
    worker = rig.worker()
    worker._snapshot = lambda: Snapshot((version,))
    async with running(worker):
        await rig.say()
        done = await rig.outcome()
    assert isinstance(done, TurnDone)
    assert (done.intent, done.confidence, done.reply) == ("opening_hours", 0.7, "")
    assert rig.tts.requests == []
