"""What a recogniser's times are made of: never of a caller who thinks, speaks, or waited in the queue. By a clock that jumps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from ai_engine import retries
from ai_engine import turn as turns
from ai_engine.caches.store import Caches
from ai_engine.circuits.guard import Guard
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.roles import Heard, LanguageUnderstanding, SpeechToText, TextToSpeech
from ai_engine.engines.trace import Trace
from ai_engine.errors import Kind, TransientEngineError
from ai_engine.limits import Limits
from ai_engine.messages import INTENT, AudioChunk, BridgeMessage, SpeakReply, TurnDone, TurnFailed
from ai_engine.recording import Arrival, TurnClock
from ai_engine.turn import Turn
from tests.ai_engine.flows import demo_flow
from tests.ai_engine.test_turn_queue import request
from tests.ai_engine.virtual_clock import run

THINKS_S, CHUNKS, FIRST_WORDS_S, FINAL_S = 3.0, 20, 0.3, 0.2


class Recogniser:
    """Says its first words 0.3 s after the first voice and the last 0.2 s after the end. ``breaks``: so many attempts fail."""

    def __init__(self, name: str = "stt-1", *, breaks: int = 0) -> None:
        self.config = EngineConfig(name, Stage.STT, EngineKind.VOSK, "ws://x")
        self.breaks = breaks

    @contextlib.asynccontextmanager
    async def open(
        self, language: str, on_partial: Callable[[str], None], trace: Trace, *, expect: str = INTENT
    ) -> AsyncIterator[Recogniser]:
        self._trace, self._on_partial = trace, on_partial
        yield self

    async def send(self, pcm: bytes) -> None:
        if any(pcm):
            self._trace.asked()
            asyncio.get_running_loop().call_later(FIRST_WORDS_S, self._on_partial, "words")

    async def heard_end(self) -> None:
        await asyncio.Event().wait()

    async def finish(self) -> Heard:
        await asyncio.sleep(FINAL_S)
        if self.breaks:
            self.breaks -= 1
            raise TransientEngineError(Kind.RESET)
        return Heard("")


class Scene:
    def __init__(self, *recognisers: SpeechToText) -> None:
        self.stt: list[SpeechToText] = list(recognisers)
        self.nlu: list[LanguageUnderstanding] = []
        self.tts: list[TextToSpeech] = []
        self.guards = {engine.config.name: Guard(engine.config.name, "stt") for engine in recognisers}

    async def tell(self, message: BridgeMessage) -> None: ...

    async def speak(self, reply: SpeakReply) -> None: ...

    async def turn(self) -> TurnDone | TurnFailed:
        turn = Turn(
            request(), demo_flow(), self, self.guards.__getitem__, self, Caches("redis://127.0.0.1:1", ()), Limits(),
            left_s=20, worker_id="w1",
        )  # fmt: skip
        return await turn.result(caller())


async def caller() -> AsyncIterator[Arrival]:
    seq = 0
    for byte, count in ((b"\0", int(THINKS_S * 10)), (b"\1", CHUNKS)):
        for _ in range(count):
            await asyncio.sleep(0.1)
            yield Arrival(AudioChunk(1, seq, byte * 1600), 0.0)
            seq += 1
    yield Arrival(AudioChunk(1, seq, b"", end=True), 0.0)


@pytest.fixture(autouse=True)
def _jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    def now() -> float:
        return asyncio.get_running_loop().time()

    monkeypatch.setattr(retries, "Trace", lambda: Trace(now))
    monkeypatch.setattr(turns, "TurnClock", lambda left_s, budget_s: TurnClock(left_s, budget_s, now))


def test_the_answer_is_timed_from_the_end_of_speech_and_its_first_sign_from_the_first_voice() -> None:
    (heard,) = run(Scene(Recogniser()).turn()).stages
    assert heard.total_ms == pytest.approx(FINAL_S * 1000, abs=1)
    assert heard.first_byte_ms == pytest.approx(FIRST_WORDS_S * 1000, abs=1)


def test_of_an_engine_that_is_asked_again_both_attempts_and_the_pause_count() -> None:
    (heard,) = run(Scene(Recogniser(breaks=1)).turn()).stages
    assert heard.attempts == 2
    pause_s = retries.RETRY_DELAYS_S[0]
    assert heard.total_ms == pytest.approx((2 * FINAL_S + pause_s) * 1000, abs=pause_s * retries.JITTER * 1000 + 1)


def test_the_next_engine_is_timed_from_its_own_beginning() -> None:
    first, second = run(Scene(Recogniser(breaks=9), Recogniser("stt-2")).turn()).stages
    assert (first.kind, second.kind) == ("reset", "")
    assert second.total_ms == pytest.approx(FINAL_S * 1000, abs=1)
