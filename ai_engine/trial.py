"""Trying one engine: a real request with canned words, and everything that came of it, for a person to look at.

Owns what is asked of each stage and how long it may take. Counts for no circuit and no limit, and keeps nothing. Judging
and wording are ``trial_words.py``'s; the web is ``pages.py``'s.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field, replace

import structlog

import espeak.voice
from ai_engine.engines.addresses import host_and_port, host_problem, resolved
from ai_engine.engines.config import EngineConfig, Stage, check
from ai_engine.engines.roles import Context, LanguageUnderstanding, SpeechToText, Understanding
from ai_engine.engines.trace import Trace
from ai_engine.errors import BadEngineConfigError, EmptyAnswerError, EngineError, Kind
from ai_engine.messages import AUDIO_RATE_HZ, CHUNK_MS, Usage
from callflows.definition.flow import FlowVersion
from espeak.errors import SpeechError

# A person waits before a page; every engine's own limits are far below.
TRIAL_S = 10.0
# The thread's end after that: a name server that is away holds a thread which nothing can end.
GRACE_S = 1.0
UTTERANCE = "what are your opening hours"
SENTENCE = "Thank you for calling. How can I help you?"
# What a caller says in one breath; more would take longer to speak than the trial may last.
MOST_WORDS_CHARS = 120
_CHUNK_BYTES = AUDIO_RATE_HZ * CHUNK_MS // 1000 * 2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Partial:
    at_ms: float
    words: str


@dataclass(slots=True)
class Trial:
    """What was asked and what came of it. Times in milliseconds since the request began; audio is PCM at 8000 Hz.

    ``after_speech_ms``: from the end of the speech, which takes its own time, to the final transcript.
    """

    config: EngineConfig
    words: str
    spoken: bytes = b""
    partials: list[Partial] = field(default_factory=list)
    transcript: str | None = None
    understanding: Understanding | None = None
    audio: bytes = b""
    connect_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None
    after_speech_ms: float | None = None
    usage: Usage = field(default_factory=Usage)
    kind: str = ""
    problem: str = ""
    retry_after_s: float | None = None

    @property
    def ok(self) -> bool:
        return not self.kind

    @property
    def is_metered(self) -> bool:
        return self.usage != Usage()

    @property
    def cost(self) -> float:
        return self.config.price.of(self.usage)


def canned_words(stage: Stage, flow: FlowVersion | None) -> str:
    if stage is Stage.TTS:
        return SENTENCE
    return next((words for intent in flow.intents for words in intent.utterances), UTTERANCE) if flow else UTTERANCE


def try_engine(config: EngineConfig, words: str, flow: FlowVersion | None, allowed_hosts: tuple[str, ...] = ()) -> Trial:
    """Blocks for at most :data:`TRIAL_S` and a moment, on a loop and in a thread of its own; never raises for what the
    engine does, nor for what is wrong with its configuration.
    """
    trial = Trial(config, words)
    try:
        check([config], "this row")
        config.secret_value()
        if problem := host_problem(config.url, allowed_hosts):
            raise BadEngineConfigError(problem)
    except BadEngineConfigError as error:
        trial.kind, trial.problem = "config", str(error)
        return trial
    thread = threading.Thread(target=_run, args=(trial, flow), name="engine-trial", daemon=True)
    thread.start()
    thread.join(TRIAL_S + GRACE_S)
    if thread.is_alive():
        # What the thread still writes is no longer of interest.
        return replace(trial, kind=Kind.TIMEOUT.value, problem="it did not end", partials=list(trial.partials))
    return trial


def _run(trial: Trial, flow: FlowVersion | None) -> None:
    try:
        asyncio.run(_try(trial, flow))
    except EngineError as error:
        trial.kind, trial.problem, trial.retry_after_s = error.kind.value, error.detail, error.retry_after_s
    except TimeoutError:
        trial.kind, trial.problem = Kind.TIMEOUT.value, f"nothing usable within {TRIAL_S:g} s"
    except BadEngineConfigError as error:
        trial.kind, trial.problem = "config", str(error)
    except SpeechError as error:
        trial.kind, trial.problem = "voice", str(error)
    except Exception as error:  # The boundary of a trial: the person who waits is told.
        log.exception("trial_broken", engine=trial.config.name)
        trial.kind, trial.problem = Kind.INTERNAL.value, type(error).__name__


async def _try(trial: Trial, flow: FlowVersion | None) -> None:
    # Here, because the clients of all providers take a second to import and every process loads the admin.
    from ai_engine.engines.build import Engines

    engines = Engines([trial.config])
    trace = Trace()
    try:
        async with asyncio.timeout(TRIAL_S):
            await resolved(*host_and_port(trial.config.url))
            if trial.config.stage is Stage.STT:
                trial.spoken = await asyncio.to_thread(espeak.voice.render, trial.words)
            trace.restart()
            began = time.perf_counter()
            for stt in engines.stt:
                await _hear(trial, stt, flow, trace, began)
            for nlu in engines.nlu:
                await _understand(trial, nlu, flow, trace)
            for tts in engines.tts:
                trial.audio = await tts.speak(trial.words, *_tongue(flow), trace)
            trial.total_ms = _since_ms(began)
    finally:
        trial.connect_ms, trial.first_byte_ms, trial.usage = trace.connect_ms, trace.first_byte_ms, trace.usage
        await engines.close()


async def _hear(trial: Trial, engine: SpeechToText, flow: FlowVersion | None, trace: Trace, began: float) -> None:
    """As fast as a caller speaks: an engine that gets it all at once has other times."""

    def on_partial(words: str) -> None:
        trace.first_byte()
        if not trial.partials or trial.partials[-1].words != words:
            trial.partials.append(Partial(_since_ms(began), words))

    async with engine.open(_tongue(flow)[0], on_partial, trace) as stream:
        due = time.perf_counter()
        for start in range(0, len(trial.spoken), _CHUNK_BYTES):
            await stream.send(trial.spoken[start : start + _CHUNK_BYTES])
            due += CHUNK_MS / 1000
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        ended = time.perf_counter()
        async with asyncio.timeout(engine.config.total_s):
            heard = await stream.finish()
    trial.transcript, trial.after_speech_ms = heard.transcript, _since_ms(ended)
    if not heard.transcript and not heard.engine_heard and not trial.partials:
        raise EmptyAnswerError(Kind.EMPTY, "no words for a clear utterance")


async def _understand(trial: Trial, engine: LanguageUnderstanding, flow: FlowVersion | None, trace: Trace) -> None:
    if flow is None:
        raise EngineError(Kind.NO_FLOW, "there is no published flow here")
    trial.understanding = await engine.understand(trial.words, Context(flow, flow.language, "intent"), trace)


def _tongue(flow: FlowVersion | None) -> tuple[str, str]:
    return ("en", "en-us") if flow is None else (flow.language, flow.voice)


def _since_ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
