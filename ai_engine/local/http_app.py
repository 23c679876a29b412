"""OpenAI's chat, speech and transcription interface, as far as Lifeline's own clients use it, and how it breaks in
demonstration mode.

Owns the requests, their answers and the cache of rendered speech.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

import espeak.voice
from ai_engine.engines.config import Stage
from ai_engine.engines.vosk import UNKNOWN_WORDS
from ai_engine.local.chat import MODEL, Answer, ChatRequest
from ai_engine.local.faults import DELAY_S, FaultWatch, Mode
from ai_engine.local.meaning import the_meaning
from ai_engine.local.recogniser_pool import RecogniserDiedError, RecogniserPool
from ai_engine.local.sounds import the_sounds
from ai_engine.local.transcription import NoDecoderError, NotSpeechError, read_wav, transcribe
from ai_engine.local.understanding import SILENT, understand
from ai_engine.messages import AUDIO_RATE_HZ
from callflows.definition.errors import UNREADABLE
from espeak.errors import SpeechError, UnknownVoiceError

log = structlog.get_logger(__name__)

OPENAI_PCM_RATE_HZ = 24_000
NORMAL_WPM = 160
# About 15 MB of sentences at 8 kHz: replies repeat, and rendering has one thread.
CACHED_SPEECHES = 256
# A sentence takes some 10 ms: the last of so many waits for a good half second, and clients wait for 1.2 s.
MAX_SPEECHES_WAITING = 64
# Longer than every client's patience; a hung request must not stay for ever.
HANG_S = 60.0
# The largest request is a flow's description with its history, some tens of kilobytes.
MAX_BODY_BYTES = 1024 * 1024
GARBAGE = "<html><body>\x07 502 Bad Gateway, or something like it</body></html>"


class SpeechRequest(msgspec.Struct):
    input: str
    model: str = MODEL
    voice: str = "en-us"
    response_format: str = "wav"
    speed: float = 1.0
    sample_rate: int = OPENAI_PCM_RATE_HZ


class BadRequestError(Exception):
    """What the client asked for is not possible; the text says why."""


class BusyError(Exception):
    """More work waits already than can be done in time."""


BAD_REQUEST = (BadRequestError, NotSpeechError, HTTPException, SpeechError, *UNREADABLE)


class HttpApp:
    """``app`` is the ASGI application. :meth:`close` ends the rendering thread."""

    def __init__(self, faults: FaultWatch, pool: RecogniserPool) -> None:
        self._faults = faults
        self._pool = pool
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="espeak")
        self._speeches: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._waiting = 0
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._broken(Stage.NLU, self._chat), methods=["POST"]),
                Route("/v1/audio/transcriptions", self._broken(Stage.STT, self._transcription), methods=["POST"]),
                Route("/v1/audio/speech", self._broken(Stage.TTS, self._speech), methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
            ]
        )

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    async def warm(self) -> None:
        """Load the libraries before the first caller waits for them."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, espeak.voice.render, "ready")
        await loop.run_in_executor(self._executor, the_meaning)
        await loop.run_in_executor(self._executor, the_sounds)

    def _broken(
        self, stage: Stage, answer: Callable[[Request, bool], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The answer, or what the fault in force makes of it."""

        async def handle(request: Request) -> Response:
            body = await request.body()
            if len(body) > MAX_BODY_BYTES:
                return _error(413, "the request is larger than a megabyte")
            mode = self._faults.mode_for(stage)
            if mode is Mode.DELAY:
                await asyncio.sleep(DELAY_S)
            elif mode is Mode.HANG:
                await self._hang(stage)
            elif mode is Mode.REFUSE:
                return _error(503, "told to refuse")  # the stages share a port and, with HTTP/2, a connection
            elif mode is Mode.ERROR:
                return _error(500, "told to break")
            elif mode is Mode.GARBAGE:
                return HTMLResponse(GARBAGE)
            try:
                return await answer(request, mode is Mode.SILENT)
            except BAD_REQUEST as error:
                return _error(400, str(error))
            except (BusyError, NoDecoderError, RecogniserDiedError) as error:
                return _error(503, str(error))

        return handle

    async def _hang(self, stage: Stage) -> None:
        """As long as the fault lasts."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG_S):
                while self._faults.mode_for(stage) is Mode.HANG:
                    await self._faults.changed()

    async def _chat(self, request: Request, silent: bool) -> Response:
        asked = msgspec.json.decode(await request.body(), type=ChatRequest)
        understood = SILENT if silent else understand(asked.messages)
        log.info("utterance_understood", intent=understood.intent, confidence=understood.confidence)
        answer = Answer(asked, msgspec.json.encode(understood).decode())
        if asked.stream:
            return StreamingResponse(answer.events(), media_type="text/event-stream")
        return Response(answer.whole(), media_type="application/json")

    async def _transcription(self, request: Request, silent: bool) -> Response:
        async with request.form(max_files=1, max_fields=10) as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                raise BadRequestError("there is no file")
            pcm = read_wav(await upload.read())
        words = "" if silent else await transcribe(self._pool, pcm)
        log.info("recording_transcribed", audio_ms=len(pcm) * 500 // AUDIO_RATE_HZ, pii_transcript=words)
        usage = {"type": "duration", "seconds": len(pcm) / 2 / AUDIO_RATE_HZ}
        return _json({"text": " ".join(word for word in words.split() if word not in UNKNOWN_WORDS), "usage": usage})

    async def _speech(self, request: Request, silent: bool) -> Response:
        asked = msgspec.json.decode(await request.body(), type=SpeechRequest)
        if asked.response_format not in ("pcm", "wav"):
            raise BadRequestError(f"response_format is {asked.response_format!r}, use pcm or wav")
        pcm = b"" if silent else await self._rendered(asked)
        if asked.response_format == "wav":
            return Response(espeak.voice.wav(pcm, asked.sample_rate), media_type="audio/wav")
        return Response(pcm, media_type="audio/pcm")

    async def _rendered(self, asked: SpeechRequest) -> bytes:
        key = (asked.input, asked.voice, asked.speed, asked.sample_rate)
        if key not in self._speeches:
            if self._waiting >= MAX_SPEECHES_WAITING:
                raise BusyError(f"{self._waiting} renderings wait already")
            self._waiting += 1
            try:
                job = functools.partial(_render, asked)
                self._speeches[key] = await asyncio.get_running_loop().run_in_executor(self._executor, job)
            finally:
                self._waiting -= 1
        self._speeches.move_to_end(key)
        while len(self._speeches) > CACHED_SPEECHES:
            self._speeches.popitem(last=False)
        return self._speeches[key]

    async def _models(self, _request: Request) -> Response:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "lifeline"}
        return _json({"object": "list", "data": [model]})


def _render(asked: SpeechRequest) -> bytes:
    low, high = espeak.voice.RATE_WPM_RANGE
    rate_wpm = min(high, max(low, round(NORMAL_WPM * asked.speed)))

    def render(voice: str) -> bytes:
        return espeak.voice.render(asked.input, voice=voice, rate_wpm=rate_wpm, sample_rate_hz=asked.sample_rate)

    try:
        return render(asked.voice)
    except UnknownVoiceError:
        return render("en-us")  # clients of the cloud's interface name its voices ("alloy")


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _error(status: int, message: str) -> Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")
