"""Engines as a drill makes them fail: in front of the real ones, with the errors and the real waiting that those would cost.

Owns the failures by role. Deadlines, retries, the next engine and circuits are the real ones: nothing here decides what
follows. While the drill does not fail (any more) every call goes through to the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from ai_engine.drills.drill import Failure
from ai_engine.engines.audio import VoiceMeter
from ai_engine.engines.config import EngineConfig, Stage
from ai_engine.engines.roles import (
    Context,
    Heard,
    LanguageUnderstanding,
    OnSentence,
    SpeechStream,
    SpeechToText,
    StageEngines,
    TextToSpeech,
    Understanding,
)
from ai_engine.engines.speech_socket import NO_PARTIAL_VOICE_MS
from ai_engine.engines.trace import Trace
from ai_engine.errors import EmptyAnswerError, Kind, SlowEngineError, TransientEngineError
from ai_engine.messages import INTENT

DETAIL = "a drill"
# Beyond an engine's whole time, so that its limit ends the wait and not we.
SLOWER_S = 1.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What the stage's engines do while ``is_on()``."""

    failure: Failure
    stage: Stage
    is_on: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class DrilledEngines:
    """A worker's engines with those of one stage failing. Fulfils :class:`StageEngines`."""

    stt: list[SpeechToText]
    nlu: list[LanguageUnderstanding]
    tts: list[TextToSpeech]


def drilled(engines: StageEngines, fault: Fault, rename: Callable[[str], str] | None = None) -> DrilledEngines:
    """``rename``: only the failing stage's engines, under other names: for the prober, which asks for circuits by name."""
    if rename is None:
        found = DrilledEngines(list(engines.stt), list(engines.nlu), list(engines.tts))
    else:
        found = DrilledEngines([], [], [])
    match fault.stage:
        case Stage.STT:
            found.stt[:] = [_Recogniser(engine, fault, rename) for engine in engines.stt]
        case Stage.NLU:
            found.nlu[:] = [_Model(engine, fault, rename) for engine in engines.nlu]
        case Stage.TTS:
            found.tts[:] = [_Voice(engine, fault, rename) for engine in engines.tts]
    return found


class _Drilled:
    def __init__(self, config: EngineConfig, fault: Fault, rename: Callable[[str], str] | None) -> None:
        self.config = config if rename is None else _renamed(config, rename)
        self._fault = fault

    async def _fail_early(self) -> None:
        """The failures that are the same for every role: before anything is answered."""
        match self._fault.failure:
            case Failure.REFUSE:
                raise TransientEngineError(Kind.REFUSED, DETAIL)
            case Failure.ERROR:
                raise TransientEngineError(Kind.HTTP_500, DETAIL)
            case Failure.HANG:
                await _silence(self.config, Kind.HANG)
            case _:
                return


    async def _fail_or_wait(self, nothing: Kind) -> None:
        """For a role with one answer: no answer, or (slow) one that comes too late. ``nothing``: what an empty one is called."""
        await self._fail_early()
        match self._fault.failure:
            case Failure.GARBAGE:
                raise TransientEngineError(Kind.GARBAGE, DETAIL)
            case Failure.SILENT:
                raise EmptyAnswerError(nothing, DETAIL)
            case _:
                await _slow(self.config)


class _Recogniser(_Drilled):
    def __init__(self, engine: SpeechToText, fault: Fault, rename: Callable[[str], str] | None) -> None:
        super().__init__(engine.config, fault, rename)
        self._engine = engine

    @contextlib.asynccontextmanager
    async def open(
        self, language: str, on_partial: Callable[[str], None], trace: Trace, *, expect: str = INTENT
    ) -> AsyncIterator[SpeechStream]:
        if not self._fault.is_on():
            async with self._engine.open(language, on_partial, trace, expect=expect) as stream:
                yield stream
            return
        await self._fail_early()
        if self._fault.failure is Failure.SLOW:
            async with self._engine.open(language, on_partial, trace, expect=expect) as stream:
                yield _SlowStream(stream, self.config)
            return
        yield _DeafStream(self.config, garbage=self._fault.failure is Failure.GARBAGE)


class _DeafStream:
    """Takes all audio and has no word for it, or something unreadable."""

    def __init__(self, config: EngineConfig, *, garbage: bool) -> None:
        self._config = config
        self._garbage = garbage
        self._voice = VoiceMeter()
        self._voiced_at: float | None = None

    async def send(self, pcm: bytes) -> None:
        if self._garbage:
            raise TransientEngineError(Kind.GARBAGE, DETAIL)
        now = asyncio.get_running_loop().time()
        if self._voiced_at is None:
            if self._voice.hear(pcm) >= NO_PARTIAL_VOICE_MS:
                self._voiced_at = now
        elif now - self._voiced_at > self._config.first_byte_s:
            raise SlowEngineError(Kind.NO_PARTIAL, DETAIL)

    async def heard_end(self) -> None:
        await asyncio.Event().wait()

    async def finish(self) -> Heard:
        await _silence(self._config, Kind.HANG)


class _SlowStream:
    """Hears as well as ever, and keeps the transcript for longer than anybody waits."""

    def __init__(self, stream: SpeechStream, config: EngineConfig) -> None:
        self._stream = stream
        self._config = config

    async def send(self, pcm: bytes) -> None:
        await self._stream.send(pcm)

    async def heard_end(self) -> None:
        await self._stream.heard_end()

    async def finish(self) -> Heard:
        await asyncio.sleep(self._config.total_s + SLOWER_S)
        return await self._stream.finish()


class _Model(_Drilled):
    def __init__(self, engine: LanguageUnderstanding, fault: Fault, rename: Callable[[str], str] | None) -> None:
        super().__init__(engine.config, fault, rename)
        self._engine = engine

    async def understand(
        self, transcript: str, context: Context, trace: Trace, on_sentence: OnSentence | None = None
    ) -> Understanding:
        if self._fault.is_on():
            await self._fail_or_wait(Kind.EMPTY)
        return await self._engine.understand(transcript, context, trace, on_sentence)


class _Voice(_Drilled):
    def __init__(self, engine: TextToSpeech, fault: Fault, rename: Callable[[str], str] | None) -> None:
        super().__init__(engine.config, fault, rename)
        self._engine = engine

    async def speak(self, text: str, language: str, voice: str, trace: Trace) -> bytes:
        if self._fault.is_on():
            await self._fail_or_wait(Kind.SILENT)
        return await self._engine.speak(text, language, voice, trace)


async def _silence(config: EngineConfig, kind: Kind) -> NoReturn:
    await asyncio.sleep(config.first_byte_s)
    raise SlowEngineError(kind, DETAIL)


async def _slow(config: EngineConfig) -> None:
    """The attempt's own limit comes first; it may be less than the engine's time."""
    await asyncio.sleep(config.total_s)
    raise SlowEngineError(Kind.TIMEOUT, DETAIL)


def _renamed(config: EngineConfig, rename: Callable[[str], str]) -> EngineConfig:
    return msgspec.structs.replace(config, name=rename(config.name))
