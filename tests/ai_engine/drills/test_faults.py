"""Every failure of every role: its error, the real wait it costs, and the engine untouched when the drill does not fail."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

import espeak.voice
from ai_engine.drills.drill import Failure
from ai_engine.drills.faults import DrilledEngines, Fault, drilled
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.roles import Context, Heard, OnSentence, SpeechStream, Understanding
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind
from tests.ai_engine.flows import demo_snapshot

SPEECH = espeak.voice.render("what are your opening hours today please")
FIRST_BYTE_S, TOTAL_S = 0.05, 0.15
CONFIG = EngineConfig("one", Stage.STT, EngineKind.OPENAI, "http://x", first_byte_s=FIRST_BYTE_S, total_s=TOTAL_S)
FLOW = demo_snapshot().flows[0]
NO_WORD = Understanding("", 0.0, {}, "")


class Everything:
    """All three roles in one, that always answer."""

    config = CONFIG

    async def send(self, pcm: bytes) -> None: ...

    async def heard_end(self) -> None: ...

    async def finish(self) -> Heard:
        return Heard("words")

    @contextlib.asynccontextmanager
    async def open(
        self, language: str, on_partial: Callable[[str], None], trace: Trace, *, expect: str = "intent"
    ) -> AsyncIterator[SpeechStream]:
        yield self

    async def understand(
        self, transcript: str, context: Context, trace: Trace, on_sentence: OnSentence | None = None
    ) -> Understanding:
        return NO_WORD

    async def speak(self, text: str, language: str, voice: str, trace: Trace) -> bytes:
        return b"sound"


def engines_with(failure: Failure, stage: Stage, *, on: bool = True) -> DrilledEngines:
    engine = Everything()
    return drilled(DrilledEngines([engine], [engine], [engine]), Fault(failure, stage, lambda: on))


async def use(engines: DrilledEngines, stage: Stage) -> object:
    match stage:
        case Stage.NLU:
            return await engines.nlu[0].understand("words", Context(FLOW, "en", "intent"), Trace())
        case Stage.TTS:
            return await engines.tts[0].speak("words", "en", "en-us", Trace())
    async with engines.stt[0].open("en", lambda _words: None, Trace()) as stream:
        for start in range(0, len(SPEECH), 1600):
            await stream.send(SPEECH[start : start + 1600])
            await asyncio.sleep(0.005)
        return await stream.finish()


@pytest.mark.parametrize(
    ("failure", "stage", "kind", "least_s"),
    [
        *((Failure.REFUSE, stage, Kind.REFUSED, 0.0) for stage in Stage),
        *((Failure.ERROR, stage, Kind.HTTP_500, 0.0) for stage in Stage),
        *((Failure.GARBAGE, stage, Kind.GARBAGE, 0.0) for stage in Stage),
        *((Failure.HANG, stage, Kind.HANG, FIRST_BYTE_S) for stage in Stage),
        (Failure.SILENT, Stage.STT, Kind.NO_PARTIAL, FIRST_BYTE_S),
        (Failure.SILENT, Stage.NLU, Kind.EMPTY, 0.0),
        (Failure.SILENT, Stage.TTS, Kind.SILENT, 0.0),
        (Failure.SLOW, Stage.NLU, Kind.TIMEOUT, TOTAL_S),
        (Failure.SLOW, Stage.TTS, Kind.TIMEOUT, TOTAL_S),
    ],
)
async def test_each_failure_has_its_kind_and_its_wait(failure: Failure, stage: Stage, kind: Kind, least_s: float) -> None:
    began = time.monotonic()
    with pytest.raises(EngineError) as caught:
        await use(engines_with(failure, stage), stage)
    assert caught.value.kind is kind
    assert time.monotonic() - began >= least_s * 0.95


async def test_a_slow_recogniser_hears_and_keeps_what_it_heard_for_too_long() -> None:
    began = time.monotonic()
    assert await use(engines_with(Failure.SLOW, Stage.STT), Stage.STT) == Heard("words")
    assert time.monotonic() - began > TOTAL_S


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("failure", list(Failure))
async def test_the_engine_answers_once_the_failure_is_over_and_other_stages_all_along(failure: Failure, stage: Stage) -> None:
    for engines in (engines_with(failure, stage, on=False), engines_with(failure, Stage.STT if stage is Stage.TTS else Stage.TTS)):
        assert await use(engines, stage) in (Heard("words"), NO_WORD, b"sound")


def test_the_prober_gets_only_the_stage_by_the_names_of_its_circuits() -> None:
    engine = Everything()
    fault = Fault(Failure.HANG, Stage.NLU, lambda: True)
    found = drilled(DrilledEngines([engine], [engine], [engine]), fault, lambda name: f"drill:d1:{name}")
    assert (found.stt, found.tts) == ([], [])
    assert [one.config.name for one in found.nlu] == ["drill:d1:one"]
