"""Understanding and speech over the OpenAI-compatible HTTP interface, whoever serves it: our own engine, vLLM, a cloud.

Owns the two requests and reading their answers; the connection pool and its errors are the neighbour's.
"""

from __future__ import annotations

from typing import cast

import msgspec
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params.response_format_json_schema import JSONSchema, ResponseFormatJSONSchema

from ai_engine.engines import prompt
from ai_engine.engines.audio import rendered
from ai_engine.engines.config import EngineConfig
from ai_engine.engines.http_pool import HttpPool
from ai_engine.engines.roles import Context, OnSentence, Understanding
from ai_engine.engines.trace import Trace
from ai_engine.errors import EmptyAnswerError, Kind, TransientEngineError

# An answer is a short JSON object, before which a reasoning model may think a little; more would be too late anyway.
MAX_ANSWER_TOKENS = 1000
# A minute of 24 kHz speech: a reply is one sentence, and memory must not be a stranger's to fill.
MAX_AUDIO_BYTES = 60 * 24_000 * 2


class _ChatMessage(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _ChatMessage


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class OpenAIUnderstanding:
    """Chat with structured output. A :class:`LanguageUnderstanding`."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._http = HttpPool(config)

    async def understand(
        self, transcript: str, context: Context, trace: Trace, on_sentence: OnSentence | None = None
    ) -> Understanding:
        schema = JSONSchema(name="answer", strict=True, schema=prompt.answer_schema(context.flow))
        async with self._http.client() as client:
            raw = await client.chat.completions.with_raw_response.create(
                model=self.config.model,
                messages=cast("list[ChatCompletionMessageParam]", prompt.messages(transcript, context)),
                response_format=ResponseFormatJSONSchema(type="json_schema", json_schema=schema),
                max_completion_tokens=MAX_ANSWER_TOKENS,
            )
        return prompt.read_answer(_content(raw.http_response.content), context.flow)

    async def close(self) -> None:
        await self._http.close()


class OpenAISpeech:
    """Speech as raw PCM, read as it comes. A :class:`TextToSpeech`."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._http = HttpPool(config)

    async def speak(self, text: str, language: str, voice: str, trace: Trace) -> bytes:
        audio = bytearray()
        async with (
            self._http.client() as client,
            client.audio.speech.with_streaming_response.create(
                model=self.config.model,
                input=text,
                voice=self.config.voice or voice,
                response_format="pcm",
                extra_body={"sample_rate": self.config.rate_hz},
            ) as response,
        ):
            content_type = response.headers.get("content-type", "")
            if content_type.startswith(("text/", "application/json")):
                raise TransientEngineError(Kind.GARBAGE, "not audio")
            async for piece in response.iter_bytes():
                if not audio:
                    trace.first_byte()
                audio += piece
                if len(audio) > MAX_AUDIO_BYTES:
                    raise TransientEngineError(Kind.GARBAGE, "more than a minute of audio")
        return rendered(bytes(audio), self.config.rate_hz)

    async def close(self) -> None:
        await self._http.close()


def _content(body: bytes) -> str:
    """The model's text in a completion."""
    if not body.strip():
        raise EmptyAnswerError(Kind.EMPTY, "no body")
    try:
        completion = msgspec.json.decode(body, type=_Completion)
    except msgspec.ValidationError as error:
        raise TransientEngineError(Kind.WRONG_SCHEMA, str(error)) from error
    except msgspec.DecodeError as error:
        raise TransientEngineError(Kind.GARBAGE, "not JSON") from error
    if not completion.choices:
        raise EmptyAnswerError(Kind.EMPTY, "no choices")
    return completion.choices[0].message.content or ""
