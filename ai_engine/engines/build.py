"""From configuration to engines: the one place that knows every adapter."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.deepgram import DeepgramRecogniser
from ai_engine.engines.openai_compatible import OpenAISpeech, OpenAIUnderstanding
from ai_engine.engines.roles import LanguageUnderstanding, SpeechToText, TextToSpeech
from ai_engine.engines.vosk import VoskRecogniser
from ai_engine.errors import BadEngineConfigError


class Engines:
    """The engines of each stage, in the order in which they are tried."""

    def __init__(self, configs: Iterable[EngineConfig]) -> None:
        """Raises BadEngineConfigError, also for a secret that is named but not set: at the start, not in a call."""
        self.configs = tuple(configs)
        self.stt: list[SpeechToText] = []
        self.nlu: list[LanguageUnderstanding] = []
        self.tts: list[TextToSpeech] = []
        self._closing: list[OpenAIUnderstanding | OpenAISpeech] = []
        for config in self.configs:
            config.secret_value()
            match config.kind, config.stage:
                case EngineKind.VOSK, Stage.STT:
                    self.stt.append(VoskRecogniser(config))
                case EngineKind.DEEPGRAM, Stage.STT:
                    self.stt.append(DeepgramRecogniser(config))
                case EngineKind.OPENAI, Stage.NLU:
                    nlu = OpenAIUnderstanding(config)
                    self.nlu.append(nlu)
                    self._closing.append(nlu)
                case EngineKind.OPENAI, Stage.TTS:
                    tts = OpenAISpeech(config)
                    self.tts.append(tts)
                    self._closing.append(tts)
                case _:
                    raise BadEngineConfigError(f"engine {config.name}: {config.kind} cannot serve {config.stage}")

        self._users = 0
        self._retired = False

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
