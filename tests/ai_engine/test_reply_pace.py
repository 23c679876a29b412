"""A model that writes slowly costs its turn time, and no voice its good name: by a clock that jumps."""

from __future__ import annotations

import asyncio

import pytest

from ai_engine import retries
from ai_engine.caches.store import Caches
from ai_engine.circuits.guard import Guard
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.roles import LanguageUnderstanding, SpeechToText, TextToSpeech, Understanding
from ai_engine.engines.trace import Trace
from ai_engine.limits import Limits
from ai_engine.messages import BridgeMessage, SpeakReply, StageTiming, TurnReplying
from ai_engine.recording import TurnClock
from ai_engine.replies import Reply
from tests.ai_engine.flows import demo_flow
from tests.ai_engine.test_turn_queue import request
from tests.ai_engine.virtual_clock import run

FIRST, SECOND = "Yes, we are open.", "Come whenever you like."
SPEAKS_S = 0.1


class Voice:
    def __init__(self, name: str, *, hangs_at: str = "") -> None:
        self.config = EngineConfig(name, Stage.TTS, EngineKind.OPENAI, "http://x", total_s=2.0)
        self.hangs_at = hangs_at

    async def speak(self, text: str, language: str, voice: str, trace: Trace) -> bytes:
        await asyncio.sleep(30 if text == self.hangs_at else SPEAKS_S)
        return b"\1\1" * 4000


class Scene:
    """Two voices, and what a bridge hears of a reply by them."""

    def __init__(self, *, hangs_at: str = "") -> None:
        self.stt: list[SpeechToText] = []
        self.nlu: list[LanguageUnderstanding] = []
        self.tts: list[TextToSpeech] = [Voice("tts-1", hangs_at=hangs_at), Voice("tts-2")]
        self.guards = {voice.config.name: Guard(voice.config.name, "tts") for voice in self.tts}
        self.told: list[str] = []
        self.timings: list[StageTiming] = []

    async def tell(self, message: BridgeMessage) -> None:
        assert isinstance(message, TurnReplying)
        self.told.append(message.words)

    async def speak(self, reply: SpeakReply) -> None: ...

    async def reply(self, first_s: float, second_s: float, budget_s: float = 4.0) -> None:
        """The model's first sentence, and its second so long after that."""
        clock = TurnClock(20, budget_s, asyncio.get_running_loop().time)
        clock.speech_ended()
        caches = Caches("redis://127.0.0.1:1", ())
        async with Reply(request(), demo_flow(), self, self.guards.__getitem__, self, caches, Limits(), clock) as reply:
            reply.begin("are you open")
            await asyncio.sleep(first_s)
            reply.add(Understanding("opening_hours", 0.9, {}, FIRST))
            await asyncio.sleep(second_s)
            await reply.finish(Understanding("opening_hours", 0.9, {}, f"{FIRST} {SECOND}"))
            self.timings = reply.timings

    def tried(self) -> list[tuple[str, str]]:
        return [(timing.engine, timing.kind) for timing in self.timings]


@pytest.mark.parametrize(("first_s", "second_s", "budget_s"), [(1.1, 0.7, 3.0), (1.4, 1.3, 4.0), (0.5, 2.5, 4.0)])
def test_a_voice_that_waits_for_the_model_is_not_blamed_and_says_each_sentence_once(
    first_s: float, second_s: float, budget_s: float
) -> None:
    scene = Scene()
    run(scene.reply(first_s, second_s, budget_s))
    assert scene.told == [FIRST, SECOND]
    assert scene.tried() == [("tts-1", "")]
    assert [guard.failures for guard in scene.guards.values()] == [0, 0]


def test_the_wait_for_the_model_is_no_time_of_the_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "Trace", lambda: Trace(asyncio.get_running_loop().time))
    scene = Scene()
    run(scene.reply(0.5, 1.5))
    assert scene.timings[0].total_ms == pytest.approx(2 * SPEAKS_S * 1000, abs=1)


def test_a_voice_that_hangs_at_the_second_sentence_leaves_the_next_one_its_time() -> None:
    scene = Scene(hangs_at=SECOND)
    run(scene.reply(0.5, 0.5))
    assert scene.told == [FIRST, SECOND]
    assert scene.tried() == [("tts-1", "timeout"), ("tts-2", "")]


def test_a_sentence_for_which_there_is_no_time_is_not_said_and_nobody_is_blamed() -> None:
    scene = Scene()
    run(scene.reply(0.5, 3.2))
    assert scene.told == [FIRST]
    assert scene.tried() == [("tts-1", "")]
    assert [guard.failures for guard in scene.guards.values()] == [0, 0]
