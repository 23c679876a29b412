"""Understanding, speech and transcription over the OpenAI-compatible HTTP interface, whoever serves it: our own engine,
vLLM, Ollama, a cloud.

Owns the requests and reading their answers; the connection pool and its errors are the neighbour's.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import wave
from collections.abc import AsyncIterator, Callable, Mapping
from typing import cast

import httpx2
import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params.response_format_json_schema import JSONSchema, ResponseFormatJSONSchema

from ai_engine.engines import openai_answers, prompt
from ai_engine.engines.audio import rendered
from ai_engine.engines.config import EngineConfig
from ai_engine.engines.http_pool import HttpPool, Sdk
from ai_engine.engines.roles import Context, Heard, OnSentence, Understanding
from ai_engine.engines.server_events import EventReader, drain, is_event_stream
from ai_engine.engines.silence import Silence
from ai_engine.engines.trace import Trace
from ai_engine.errors import Kind, TransientEngineError
from ai_engine.messages import AUDIO_RATE_HZ, INTENT, Usage

# An answer is a short JSON object, before which a reasoning model may think a little; more would be too late anyway.
MAX_ANSWER_TOKENS = 1000
# A minute of 24 kHz speech: a reply is a few sentences, and memory must not be a stranger's to fill.
MAX_AUDIO_BYTES = 60 * 24_000 * 2
# A plain answer or a transcript; the longest are some kilobytes.
MAX_BODY_BYTES = 256 * 1024


def _client(config: EngineConfig, key: str, http: httpx2.AsyncClient) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=key, base_url=config.url, http_client=http, max_retries=0)


def _status_of(error: Exception) -> tuple[int, Mapping[str, str]] | None:
    return (error.status_code, error.response.headers) if isinstance(error, openai.APIStatusError) else None


_SDK = Sdk(_client, openai.OpenAIError, _status_of)


class OpenAIUnderstanding:
    """Chat with structured output, streamed where the server streams. A :class:`LanguageUnderstanding`."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._http = HttpPool(config, _SDK)

    async def understand(
        self, transcript: str, context: Context, trace: Trace, on_sentence: OnSentence | None = None
    ) -> Understanding:
        answer = prompt.StreamedAnswer(context.flow, on_sentence)
        schema = JSONSchema(name="answer", strict=True, schema=prompt.answer_schema(context.flow))
        async with (
            self._http.client(trace) as client,
            Silence(self.config, trace, Kind.NO_TOKEN) as silence,
            client.chat.completions.with_streaming_response.create(
                model=self.config.model,
                messages=cast("list[ChatCompletionMessageParam]", prompt.messages(transcript, context)),
                response_format=ResponseFormatJSONSchema(type="json_schema", json_schema=schema),
                max_completion_tokens=MAX_ANSWER_TOKENS,
                stream=True,
                stream_options={"include_usage": True},
            ) as response,
        ):
            silence.answered()
            if is_event_stream(response.headers):
                await _read_stream(response.iter_lines(), answer, silence, trace)
            else:
                body = await _read_body(response.iter_bytes(), silence)
                content, usage = openai_answers.read_completion(body)
                trace.used(usage)
                answer.feed(content)
        return answer.result()

    async def close(self) -> None:
        await self._http.close()


class OpenAISpeech:
    """Speech as raw PCM, read as it comes. A :class:`TextToSpeech`."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._http = HttpPool(config, _SDK)

    async def speak(self, text: str, language: str, voice: str, trace: Trace) -> bytes:
        audio = bytearray()
        async with (
            self._http.client(trace) as client,
            Silence(self.config, trace, Kind.NO_AUDIO) as silence,
            client.audio.speech.with_streaming_response.create(
                model=self.config.model,
                input=text,
                voice=self.config.voice or voice,
                response_format="pcm",
                extra_body={"sample_rate": self.config.rate_hz},
            ) as response,
        ):
            silence.answered()
            content_type = response.headers.get("content-type", "")
            if content_type.startswith(("text/", "application/json")):
                raise TransientEngineError(Kind.GARBAGE, "not audio")
            trace.used(Usage(characters=len(text)))
            async for piece in response.iter_bytes():
                silence.piece()
                audio += piece
                if len(audio) > MAX_AUDIO_BYTES:
                    raise TransientEngineError(Kind.GARBAGE, "more than a minute of audio")
        return rendered(bytes(audio), self.config.rate_hz)

    async def close(self) -> None:
        await self._http.close()


class OpenAITranscription:
    """An upload after the end of speech. A :class:`SpeechToText` that has no partials."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._http = HttpPool(config, _SDK)

    @contextlib.asynccontextmanager
    async def open(
        self, language: str, on_partial: Callable[[str], None], trace: Trace, *, expect: str = INTENT
    ) -> AsyncIterator[Upload]:
        yield Upload(self.config, self._http, language, trace)

    async def close(self) -> None:
        await self._http.close()


class Upload:
    """A :class:`SpeechStream` that keeps the audio until it is whole: silence is limited from then on."""

    def __init__(self, config: EngineConfig, http: HttpPool[AsyncOpenAI], language: str, trace: Trace) -> None:
        self._config = config
        self._http = http
        self._language = language
        self._trace = trace
        self._pcm = bytearray()

    async def send(self, pcm: bytes) -> None:
        self._pcm += pcm

    async def heard_end(self) -> None:
        """Never: nobody listens yet."""
        await asyncio.Event().wait()

    async def finish(self) -> Heard:
        async with (
            self._http.client(self._trace) as client,
            Silence(self._config, self._trace, Kind.NO_TOKEN) as silence,
            client.audio.transcriptions.with_streaming_response.create(
                model=self._config.model,
                file=("speech.wav", _wav(bytes(self._pcm)), "audio/wav"),
                language=self._language.partition("-")[0],
                response_format="json",
            ) as response,
        ):
            silence.answered()
            body = await _read_body(response.iter_bytes(), silence)
        transcript, usage = openai_answers.read_transcription(body, len(self._pcm) / 2 / AUDIO_RATE_HZ)
        self._trace.used(usage)
        return Heard(transcript)


async def _read_stream(
    lines: AsyncIterator[str], answer: prompt.StreamedAnswer, silence: Silence, trace: Trace
) -> None:
    """Some servers tell what was used once at the end, some with every chunk, each time of all so far: the last counts."""
    events, used = EventReader(), Usage()
    try:
        async for line in lines:
            data = events.feed(line)
            if data is None:
                continue
            if data == "[DONE]":
                await drain(lines)
                return
            delta = openai_answers.read_chunk(data)
            if delta.alive:
                silence.piece()
            used = used if delta.usage == Usage() else delta.usage
            if delta.content:
                answer.feed(delta.content)
    finally:
        trace.used(used)


async def _read_body(pieces: AsyncIterator[bytes], silence: Silence) -> bytes:
    body = bytearray()
    async for piece in pieces:
        silence.piece()
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise TransientEngineError(Kind.GARBAGE, "an answer without an end")
    return bytes(body)


def _wav(pcm: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(AUDIO_RATE_HZ)
        file.writeframes(pcm)
    return buffer.getvalue()
