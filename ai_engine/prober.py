"""Tests half-open circuits with canned utterances, so that they close without traffic and no caller pays for it.

Owns what is asked of each stage and how the answer is judged. Which process may probe is the board's matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

import espeak.voice
from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.states import CircuitState, Verdict
from ai_engine.engines.roles import Context, LanguageUnderstanding, SpeechToText, StageEngines, TextToSpeech
from ai_engine.engines.trace import Trace
from ai_engine.errors import EmptyAnswerError, EngineError, Kind
from ai_engine.limits import Limits
from ai_engine.messages import AUDIO_RATE_HZ, CHUNK_MS
from callflows.definition.flow import FlowVersion, Snapshot

# Often enough that a circuit closes within a quarter of a second of its time; looking costs a comparison.
LOOK_S = 0.25
# Below guard.PROBE_LIMIT_S, after which the fleet would let another process probe.
PROBE_S = 5.0
UTTERANCE = "what are your opening hours"
SENTENCE = "Thank you for calling."
_CHUNK_BYTES = AUDIO_RATE_HZ * CHUNK_MS // 1000 * 2

log = structlog.get_logger(__name__)


class Prober:
    def __init__(
        self, board: CircuitBoard, engines: StageEngines, snapshot: Callable[[], Snapshot], limits: Limits | None = None
    ) -> None:
        """``limits``: an engine that asked this process to be left alone is not probed by it either."""
        self._board = board
        self._limits = limits or Limits()
        self._snapshot = snapshot
        self._audio: dict[str, bytes] = {}
        self._probes: dict[str, Callable[[], Awaitable[None]]] = {}
        self.set_engines(engines)

    def set_engines(self, engines: StageEngines) -> None:
        """Probes these from now on; call after the board's. A probe under way ends with the engine it began with."""
        self._probes = {}
        for stt in engines.stt:
            self._probes[stt.config.name] = lambda engine=stt: self._probe_stt(engine)  # type: ignore[misc]
        for nlu in engines.nlu:
            self._probes[nlu.config.name] = lambda engine=nlu: self._probe_nlu(engine)  # type: ignore[misc]
        for tts in engines.tts:
            self._probes[tts.config.name] = lambda engine=tts: self._probe_tts(engine)  # type: ignore[misc]

    async def run(self) -> None:
        """Until cancelled; a probe under way counts as nothing then."""
        running: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                running = {name: task for name, task in running.items() if name in self._probes or not task.done()}
                for name in self._probes:
                    guard = self._board.guard(name)
                    if (name in running and not running[name].done()) or self._limits.peace_s(name):
                        continue
                    if guard.automatic is CircuitState.HALF_OPEN and guard.state is not CircuitState.FORCED_OPEN:
                        running[name] = asyncio.create_task(self._probe(name, self._probes[name]))
                await asyncio.sleep(LOOK_S)
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def _probe(self, name: str, probe: Callable[[], Awaitable[None]]) -> None:
        guard = self._board.guard(name)
        permit = await self._board.claim_probe(name)
        if permit is None:
            return
        verdict, kind = Verdict.ABANDONED, ""
        try:
            verdict, kind = await self._try(name, probe)
        finally:
            log.info("engine_probed", engine=name, verdict=verdict, kind=kind)
            guard.record(permit, verdict, kind)

    async def _try(self, name: str, probe: Callable[[], Awaitable[None]]) -> tuple[Verdict, str]:
        try:
            async with asyncio.timeout(PROBE_S):
                await probe()
        except TimeoutError:
            return Verdict.FAIL, Kind.TIMEOUT
        except EngineError as error:
            return Verdict.FAIL, error.kind
        except Exception:  # A fault of ours must neither close the circuit nor end the prober.
            log.exception("probe_broken", engine=name)
            return Verdict.ABANDONED, ""
        return Verdict.OK, ""

    async def _probe_stt(self, engine: SpeechToText) -> None:
        flow = self._flow()
        words = UTTERANCE if flow is None or not flow.intents else (*flow.intents[0].utterances, UTTERANCE)[0]
        pcm = await self._rendered(words)
        async with engine.open("en" if flow is None else flow.language, lambda _words: None, Trace()) as stream:
            for start in range(0, len(pcm), _CHUNK_BYTES):
                await stream.send(pcm[start : start + _CHUNK_BYTES])
            heard = await stream.finish()
        if not heard.transcript and not heard.engine_heard:
            raise EmptyAnswerError(Kind.EMPTY, "no words for a clear utterance")

    async def _probe_nlu(self, engine: LanguageUnderstanding) -> None:
        flow = self._flow()
        if flow is None or not flow.intents:
            return  # Without a flow no turn asks this engine either; the first one will.
        words = (*flow.intents[0].utterances, UTTERANCE)[0]
        await engine.understand(words, Context(flow, flow.language, "intent"), Trace())

    async def _probe_tts(self, engine: TextToSpeech) -> None:
        flow = self._flow()
        language, voice = ("en", "en-us") if flow is None else (flow.language, flow.voice)
        await engine.speak(SENTENCE, language, voice, Trace())

    def _flow(self) -> FlowVersion | None:
        return next(iter(self._snapshot().flows), None)

    async def _rendered(self, words: str) -> bytes:
        """Speech made here, kept: the library takes some milliseconds and one caller at a time."""
        if words not in self._audio:
            self._audio[words] = await asyncio.to_thread(espeak.voice.render, words)
        return self._audio[words]
