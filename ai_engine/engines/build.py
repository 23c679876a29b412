"""From configuration to engines: the one place that knows every adapter."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Protocol, TypeVar

from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.deepgram import DeepgramRecogniser
from ai_engine.engines.openai_compatible import OpenAISpeech, OpenAITranscription, OpenAIUnderstanding
from ai_engine.engines.roles import LanguageUnderstanding, SpeechToText, TextToSpeech
from ai_engine.engines.vosk import VoskRecogniser
from ai_engine.errors import BadEngineConfigError


class Closable(Protocol):
    async def close(self) -> None: ...


E = TypeVar("E", bound=Closable)


def load_adapters(configs: Iterable[EngineConfig]) -> None:
    """Imports what these engines need. Anthropic's client takes two seconds, which only who uses it should pay, and no
    event loop: called from a thread before such engines are built on one.
    """
    if any(config.kind is EngineKind.ANTHROPIC for config in configs):
        import ai_engine.engines.anthropic_messages  # noqa: F401


class Engines:
    """The engines of each stage, in the order in which they are tried."""

    def __init__(self, configs: Iterable[EngineConfig]) -> None:
        """Raises BadEngineConfigError, also for a secret that is named but not set: at the start, not in a call."""
        self.configs = tuple(configs)
        self.stt: list[SpeechToText] = []
        self.nlu: list[LanguageUnderstanding] = []
        self.tts: list[TextToSpeech] = []
        self._closing: list[Closable] = []
        self._users = 0
        self._retired = False
        for config in self.configs:
            config.secret_value()
            self._add(config)

    def _add(self, config: EngineConfig) -> None:
        match config.kind, config.stage:
            case EngineKind.VOSK, Stage.STT:
                self.stt.append(VoskRecogniser(config))
            case EngineKind.DEEPGRAM, Stage.STT:
                self.stt.append(DeepgramRecogniser(config))
            case EngineKind.OPENAI, Stage.STT:
                self.stt.append(self._closed_later(OpenAITranscription(config)))
            case EngineKind.OPENAI, Stage.NLU:
                self.nlu.append(self._closed_later(OpenAIUnderstanding(config)))
            case EngineKind.OPENAI, Stage.TTS:
                self.tts.append(self._closed_later(OpenAISpeech(config)))
            case EngineKind.ANTHROPIC, Stage.NLU:
                # See load_adapters.
                from ai_engine.engines.anthropic_messages import AnthropicUnderstanding

                self.nlu.append(self._closed_later(AnthropicUnderstanding(config)))
            case _:
                raise BadEngineConfigError(f"engine {config.name}: {config.kind} cannot serve {config.stage}")

    def _closed_later(self, engine: E) -> E:
        self._closing.append(engine)
        return engine

    @contextlib.asynccontextmanager
    async def in_use(self) -> AsyncIterator[Engines]:
        """For as long as a turn may speak to them: :meth:`retire` closes nothing meanwhile."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            if self._retired and not self._users:
                await self.close()

    async def retire(self) -> None:
        """No turn begins with them any more: closed now, or by the last turn that has them."""
        self._retired = True
        if not self._users:
            await self.close()

    async def close(self) -> None:
        for engine in self._closing:
            await engine.close()
