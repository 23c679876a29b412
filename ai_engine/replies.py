"""A turn's reply on its way to the caller: its sentences are rendered in order, and each is handed out as soon as it is there.

Owns the rendering and the telling. The first sentence is heard while the model still writes the next. One engine's part in
it is one outcome for its circuit, however many sentences; an engine that fails leaves the sentence it failed at to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ai_engine.caches import rules
from ai_engine.caches.store import Cache, Caches
from ai_engine.circuits.guard import Guard
from ai_engine.engines.answer_stream import sentences
from ai_engine.engines.config import Stage
from ai_engine.engines.roles import StageEngines, TextToSpeech, Understanding
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError
from ai_engine.limits import Limits
from ai_engine.messages import AUDIO_RATE_HZ, SpeakReply, StageTiming, TurnReplying, TurnRequest
from ai_engine.recording import Outlet, TurnClock
from ai_engine.retries import LEAST_ATTEMPT_S, another_after, attempt_limit_s, overdue, run_stage
from callflows.definition.flow import FlowVersion


class Reply:
    """An async context manager: what is under way when the block is left is given up."""

    def __init__(
        self,
        request: TurnRequest,
        flow: FlowVersion,
        engines: StageEngines,
        guard_of: Callable[[str], Guard],
        outlet: Outlet,
        caches: Caches,
        limits: Limits,
        clock: TurnClock,
    ) -> None:
        self._request, self._flow = request, flow
        self._engines, self._guard_of = engines, guard_of
        self._outlet, self._caches, self._limits = outlet, caches, limits
        self._clock = clock
        self._transcript = ""
        self._waiting: asyncio.Queue[Understanding | None] = asyncio.Queue()
        self._pending: Understanding | None = None
        self._given = ""
        self._task: asyncio.Task[None] | None = None
        self.so_far: Understanding | None = None
        """What was understood when the first sentence was there; nothing before that."""
        self.words: list[str] = []
        """The sentences that were handed out."""
        self.length_ms = 0
        self.timings: list[StageTiming] = []
        self.error: EngineError | None = None

    async def __aenter__(self) -> Reply:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))

    def begin(self, transcript: str) -> None:
        """The caller's words, to which it is the reply."""
        self._transcript = transcript

    def add(self, part: Understanding) -> None:
        """One more sentence, as ``part.reply``."""
        if self._task is None:
            self.so_far = Understanding(part.intent, part.confidence, part.slots, "")
            self._task = asyncio.create_task(self._render())
        self._given = f"{self._given} {part.reply}".strip()
        self._waiting.put_nowait(part)

    async def finish(self, understood: Understanding) -> None:
        """All of the reply is known; returns when it is handed out, or an engine has failed at it (``error``)."""
        whole = understood.reply
        rest = whole.removeprefix(self._given) if whole.startswith(self._given) else ""
        for sentence in sentences(rest):
            self.add(Understanding(understood.intent, understood.confidence, understood.slots, sentence))
        if self._task is not None:
            self._waiting.put_nowait(None)
            await self._task

    # --- inside -------------------------------------------------------------------------------------------------------
    async def _render(self) -> None:
        looking = Trace()
        while (part := await self._next(looking)) is not None:
            pcm = await self._caches.speech(self._name(part))
            if pcm is None:
                break
            await self._hand_out(part, pcm)
        else:
            took_ms = looking.total_ms
            self.timings.append(StageTiming(Stage.TTS.value, "", 0, took_ms, first_byte_ms=took_ms, cache=Cache.SPEECH.value))
            return
        spoken = await run_stage(
            Stage.TTS, self._engines.tts, self._guard_of, self._clock.left_s, self._speak_the_rest, self._limits,
            open_ended=True,
        )  # fmt: skip
        self.timings += spoken.timings
        self.error = spoken.error

    async def _next(self, trace: Trace) -> Understanding | None:
        """The sentence that stands to be said, once the model has written it; None after the last."""
        if self._pending is None:
            with trace.idle():
                self._pending = await self._waiting.get()
        return self._pending

    async def _speak_the_rest(self, engine: TextToSpeech, trace: Trace) -> bool:
        """From the sentence that stands to be said; another attempt goes on where this one ends."""
        while (part := await self._next(trace)) is not None:
            name = self._name(part)
            pcm = await self._caches.speech(name)
            if pcm is None:
                if self.words and self._clock.left_s() < LEAST_ATTEMPT_S:
                    return True  # The model was too late for more; what was said stands.
                pcm = await self._speak(engine, part.reply, trace)
                if rules.may_keep(self._request, part):
                    await self._caches.keep_speech(name, pcm)
            await self._hand_out(part, pcm)
        return True

    async def _speak(self, engine: TextToSpeech, words: str, trace: Trace) -> bytes:
        """Each sentence has an attempt's time: how long the model takes to write the next is not the engine's doing."""
        another = another_after(engine, self._engines.tts, self._guard_of)
        limit_s = attempt_limit_s(self._clock.left_s(), engine.config.total_s, another=another)
        try:
            async with asyncio.timeout(limit_s):
                return await engine.speak(words, self._request.language, self._flow.voice, trace)
        except TimeoutError:
            raise overdue(limit_s, engine.config) from None

    async def _hand_out(self, part: Understanding, pcm: bytes) -> None:
        self._pending = None
        call_uuid, turn = self._request.call_uuid, self._request.turn
        length_ms = len(pcm) * 500 // AUDIO_RATE_HZ
        self.words.append(part.reply)
        self.length_ms += length_ms
        replying = TurnReplying(
            call_uuid, turn, len(self.words), self._transcript, part.intent, part.confidence, part.slots, part.reply, length_ms
        )
        await self._outlet.tell(replying)
        await self._outlet.speak(SpeakReply(call_uuid, turn, pcm))

    def _name(self, part: Understanding) -> str:
        return rules.rendering(part.reply, self._flow.voice, (engine.config for engine in self._engines.tts))
