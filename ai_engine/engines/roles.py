"""What each stage needs of an engine, whoever makes it. Owns the protocols and the values that pass through them.

Every method raises :class:`ai_engine.errors.EngineError` and nothing else of its own. Cancelling gives up the work and
closes what it opened. Audio is int16 little-endian mono at 8000 Hz everywhere on this side.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from ai_engine.engines.config import EngineConfig
from ai_engine.engines.trace import Trace
from ai_engine.messages import INTENT, Exchange
from callflows.definition.flow import FlowVersion


class Context(msgspec.Struct, frozen=True):
    """What a model is told beside the caller's words. ``expect`` is ``intent`` or the slot that was asked for."""

    flow: FlowVersion
    language: str
    expect: str
    history: tuple[Exchange, ...] = ()


class Understanding(msgspec.Struct, frozen=True):
    """What a caller meant: ``intent`` is the flow's or empty, ``slots`` hold only the flow's own, in their form."""

    intent: str
    confidence: float
    slots: dict[str, str]
    reply: str


OnSentence = Callable[[Understanding], None]
"""What is understood so far; its ``reply`` is the one new sentence."""


class Heard(msgspec.Struct, frozen=True):
    """A final transcript; empty with ``engine_heard`` set: the engine heard speech but knows no words for it.

    ``confidence`` is the engine's own opinion of its words, from 0 to 1; 1 when it has none.
    """

    transcript: str
    engine_heard: bool = False
    confidence: float = 1.0


class SpeechStream(Protocol):
    """One utterance on its way to an engine."""

    async def send(self, pcm: bytes) -> None: ...

    async def heard_end(self) -> None:
        """Returns when the engine itself says that the caller has stopped; raises when the engine failed meanwhile."""

    async def finish(self) -> Heard:
        """Says that no more audio comes and waits for the final transcript. Once only."""


class SpeechToText(Protocol):
    config: EngineConfig

    def open(
        self, language: str, on_partial: Callable[[str], None], trace: Trace, *, expect: str = INTENT
    ) -> AbstractAsyncContextManager[SpeechStream]:
        """``expect`` is ``intent``, a slot's name or what else the caller was asked for; few engines can make use of it.

        ``on_partial`` is called with everything heard so far, whenever that changes; never by an engine that hears
        whole recordings, whose silence begins with :meth:`SpeechStream.finish`. Others fail by themselves
        (``no_partial``) when they were sent a second of voice and had their time without a word.
        """


class LanguageUnderstanding(Protocol):
    config: EngineConfig

    async def understand(
        self, transcript: str, context: Context, trace: Trace, on_sentence: OnSentence | None = None
    ) -> Understanding:
        """``on_sentence`` is called for each sentence of the reply as soon as it is there, before the rest is. The result's
        ``reply`` is the whole reply all the same: those sentences with spaces between. An attempt that has told sentences
        may still fail, and the next one tells its own from the beginning.
        """


class TextToSpeech(Protocol):
    config: EngineConfig

    async def speak(self, text: str, language: str, voice: str, trace: Trace) -> bytes:
        """PCM at 8000 Hz, never empty and never silent."""


class StageEngines(Protocol):
    """The engines of each stage, in the order in which they are tried."""

    @property
    def stt(self) -> list[SpeechToText]: ...

    @property
    def nlu(self) -> list[LanguageUnderstanding]: ...

    @property
    def tts(self) -> list[TextToSpeech]: ...
