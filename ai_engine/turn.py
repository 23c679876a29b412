"""One turn: the caller's audio in, what they meant and a reply's audio out, within the turn's time.

Owns the order of the stages and what each outcome is called. Knows engines by their roles, Redis not at all: messages
go out through :class:`Outlet`. Not understanding a caller is no failure; an engine that stays silent is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

import msgspec

from ai_engine.caches import rules
from ai_engine.caches.store import Cache, Caches
from ai_engine.circuits.guard import Guard
from ai_engine.engines.config import Stage
from ai_engine.engines.roles import (
    Context,
    Heard,
    LanguageUnderstanding,
    SpeechStream,
    SpeechToText,
    StageEngines,
    Understanding,
)
from ai_engine.engines.trace import Trace
from ai_engine.errors import EmptyAnswerError, Kind
from ai_engine.limits import Limits
from ai_engine.messages import INTENT, SpeechEnded, StageTiming, TurnDone, TurnFailed, TurnRequest
from ai_engine.recording import Arrival, Outlet, Partials, Recording, TurnClock
from ai_engine.replies import Reply
from ai_engine.retries import StageResult, another_after, attempt_limit_s, overdue, run_stage
from callflows.definition.certainty import acts_at_once
from callflows.definition.flow import FlowVersion

# Below this a guess is asked back by the bridge instead of acted on.
LEAST_CONFIDENCE = 0.5
# An empty transcript for less voice than this is a cough or a click, for more it is an engine that does not answer.
VOICE_MS = 300


class Turn:
    """Run :meth:`result` once. Cancelling it records every engine under way as abandoned."""

    def __init__(
        self,
        request: TurnRequest,
        flow: FlowVersion,
        engines: StageEngines,
        guard_of: Callable[[str], Guard],
        outlet: Outlet,
        caches: Caches,
        limits: Limits,
        *,
        left_s: float,
        worker_id: str,
    ) -> None:
        self._request = request
        self._flow = flow
        self._engines = engines
        self._guard_of = guard_of
        self._outlet = outlet
        self._caches = caches
        self._limits = limits
        self._worker_id = worker_id
        self._clock = TurnClock(left_s, request.budget_ms / 1000)
        self._recording = Recording(on_end=self._clock.speech_ended)
        self._partials = Partials(request, outlet)
        self._reply = Reply(request, flow, engines, guard_of, outlet, caches, limits, self._clock)
        self._timings: list[StageTiming] = []
        self._heard_confidence = 1.0

    async def result(self, chunks: AsyncIterator[Arrival]) -> TurnDone | TurnFailed:
        """Raises :class:`ai_engine.recording.NoAudioError` when the audio stops without an end."""
        heard = await self._hear(chunks)
        if heard.value is None:
            return self._failed(Stage.STT, heard)
        transcript, self._heard_confidence = heard.value.transcript, heard.value.confidence
        if not transcript:
            return self._done("", Understanding("", 0.0, {}, ""))
        async with self._reply as reply:
            reply.begin(transcript)
            meant = await self._understand(transcript)
            if meant.value is None:
                return self._failed(Stage.NLU, meant, transcript)
            understood = self._as_sure_as_heard(meant.value)
            if not self._is_answered(understood):
                if understood.confidence < LEAST_CONFIDENCE:
                    understood = Understanding("", understood.confidence, understood.slots, "")
                return self._done(transcript, understood)  # The bridge asks back in its own words.
            await reply.finish(understood)
        self._timings += reply.timings
        if not reply.words:
            return self._failed(Stage.TTS, StageResult(None, reply.error, reply.timings), transcript, understood)
        return self._done(transcript, understood, reply=" ".join(reply.words))

    def _as_sure_as_heard(self, understood: Understanding) -> Understanding:
        """A model reads words as if they had been said: what they mean can be no surer than the words are."""
        return msgspec.structs.replace(understood, confidence=min(understood.confidence, self._heard_confidence))

    def _is_answered(self, understood: Understanding) -> bool:
        """Whether this is acted on, and the caller hears the model's own reply; otherwise the bridge asks, in its own words."""
        intent = self._flow.intent(understood.intent)
        if intent is None or understood.confidence < LEAST_CONFIDENCE or self._request.expect != INTENT:
            return False
        return acts_at_once(self._flow, intent, understood.confidence)

    # --- stt --------------------------------------------------------------------------------------------------------
    async def _hear(self, chunks: AsyncIterator[Arrival]) -> StageResult[Heard]:
        async with _running(self._recording.fill(chunks)), _running(self._partials.run()):
            heard = await run_stage(
                Stage.STT, self._engines.stt, self._guard_of, self._clock.left_s, self._recognise, self._limits,
                open_ended=True,
            )  # fmt: skip
        self._timings += heard.timings
        return heard

    async def _recognise(self, engine: SpeechToText, trace: Trace) -> Heard:
        any_partial = False

        def on_partial(transcript: str) -> None:
            nonlocal any_partial
            any_partial = True
            trace.first_byte()
            self._partials.hear(transcript)

        opening = engine.open(self._request.language, on_partial, trace, expect=self._request.expect)
        trace.listens()
        async with self._limited_from_end(engine, trace), opening as stream:
            if await self._stream_to(stream):
                self._clock.speech_ended()
                await self._outlet.tell(SpeechEnded(self._request.call_uuid, self._request.turn, "engine"))
            heard = await stream.finish()
        trace.first_byte()
        knows_nothing = not heard.transcript and not heard.engine_heard and not any_partial
        if knows_nothing and self._recording.voiced_ms() >= VOICE_MS:
            raise EmptyAnswerError(Kind.EMPTY, "no words although the caller spoke")
        return heard

    @contextlib.asynccontextmanager
    async def _limited_from_end(self, engine: SpeechToText, trace: Trace) -> AsyncIterator[None]:
        """From the end of speech an engine has its total time, and leaves the next one what is kept for it; from there on
        it counts as being waited for.

        One that begins later has to catch up within that: all of the recording, as fast as it takes it.
        """
        loop = asyncio.get_running_loop()
        within_s = 0.0

        def begin() -> None:
            nonlocal within_s
            if self._clock.ended_at is not None:
                trace.awaited_since(self._clock.ended_at)
            another = another_after(engine, self._engines.stt, self._guard_of)
            within_s = attempt_limit_s(self._clock.left_s(), engine.config.total_s, another=another)
            limit.reschedule(loop.time() + within_s)

        try:
            async with asyncio.timeout(None) as limit:
                with self._clock.when_ended(begin):
                    yield
        except TimeoutError:
            raise overdue(within_s, engine.config) from None

    async def _stream_to(self, stream: SpeechStream) -> bool:
        """Until the caller has stopped speaking; True when it was the engine that noticed, before the gateway."""
        feeding = asyncio.create_task(self._feed(stream))
        ending = asyncio.create_task(stream.heard_end())
        try:
            await asyncio.wait((feeding, ending), return_when=asyncio.FIRST_COMPLETED)
            if feeding.done():
                feeding.result()
                return False
            ending.result()
            return True
        finally:
            for task in (feeding, ending):
                task.cancel()
            await asyncio.wait((feeding, ending))
            for task in (feeding, ending):
                if not task.cancelled():
                    task.exception()  # Looked at: the first failure is the one that counts.

    async def _feed(self, stream: SpeechStream) -> None:
        async for pcm in self._recording.play():
            await stream.send(pcm)

    # --- nlu --------------------------------------------------------------------------------------------------------
    async def _understand(self, transcript: str) -> StageResult[Understanding]:
        request = self._request
        question = rules.question(request, transcript, (engine.config for engine in self._engines.nlu))
        looked_at = time.perf_counter()
        known = await self._caches.answer(question)
        if known is not None:
            self._answered_by(Cache.INTENTS, Stage.NLU, looked_at)
            return StageResult(known, None, [])
        context = Context(self._flow, request.language, request.expect, request.history)

        async def attempt(engine: LanguageUnderstanding, trace: Trace) -> Understanding:
            understood = await engine.understand(transcript, context, trace, self._on_sentence)
            trace.first_byte()
            return understood

        meant = await run_stage(
            Stage.NLU, self._engines.nlu, self._guard_of, self._clock.left_s, attempt, self._limits,
            enough=lambda: self._reply.so_far,
        )  # fmt: skip
        self._timings += meant.timings
        if meant.value is not None and rules.may_keep(request, meant.value):
            await self._caches.keep_answer(question, meant.value)
        return meant

    def _on_sentence(self, part: Understanding) -> None:
        """The model is still writing. After the first sentence the rest is nice to have: no other engine is asked for it."""
        part = self._as_sure_as_heard(part)
        if self._is_answered(part):
            self._reply.add(part)

    def _answered_by(self, cache: Cache, stage: Stage, looked_at: float) -> None:
        total_ms = round((time.perf_counter() - looked_at) * 1000, 1)
        self._timings.append(StageTiming(stage.value, "", 0, total_ms, first_byte_ms=total_ms, cache=cache.value))

    # --- what it came to --------------------------------------------------------------------------------------------
    def _done(self, transcript: str, understood: Understanding, *, reply: str = "") -> TurnDone:
        return TurnDone(
            call_uuid=self._request.call_uuid,
            turn=self._request.turn,
            transcript=transcript,
            intent=understood.intent,
            confidence=understood.confidence,
            slots=understood.slots,
            reply=reply,
            reply_audio=bool(reply),
            stages=tuple(self._timings),
            worker_id=self._worker_id,
        )

    def _failed(
        self,
        stage: Stage,
        result: StageResult[Heard] | StageResult[Understanding] | StageResult[bytes],
        transcript: str = "",
        understood: Understanding | None = None,
    ) -> TurnFailed:
        kind = Kind.INTERNAL if result.error is None else result.error.kind
        return failed(
            self._request, stage, kind, self._worker_id,
            attempts=result.attempts, stages=self._timings, transcript=transcript, understood=understood,
        )  # fmt: skip


def failed(
    request: TurnRequest,
    stage: str,
    kind: Kind,
    worker_id: str,
    *,
    attempts: int = 0,
    stages: Sequence[StageTiming] = (),
    transcript: str = "",
    understood: Understanding | None = None,
) -> TurnFailed:
    return TurnFailed(
        call_uuid=request.call_uuid,
        turn=request.turn,
        stage=str(stage),
        kind=kind.value,
        attempts=attempts,
        stages=tuple(stages),
        transcript=transcript,
        intent="" if understood is None else understood.intent,
        slots={} if understood is None else understood.slots,
        worker_id=worker_id,
        confidence=0.0 if understood is None else understood.confidence,
    )


@contextlib.asynccontextmanager
async def _running(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """A task beside the block, stopped and awaited when it is left; its own failure is raised then."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
