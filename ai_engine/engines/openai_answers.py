"""The answers of OpenAI-compatible servers: completions, their chunks, transcripts, and the usage that comes with them.

Pure. Every function raises an EngineError for an answer that cannot be read.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ai_engine.engines.transcripts import plain_words
from ai_engine.errors import EmptyAnswerError, Kind, TransientEngineError
from ai_engine.messages import Usage
from callflows.definition.errors import UNREADABLE

T = TypeVar("T")


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Tokens(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    delta: _Message | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Tokens | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Tokens | None = None
    error: msgspec.Raw | None = None


class _Heard(msgspec.Struct):
    """By tokens or by duration, as the model is billed."""

    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


class _Transcription(msgspec.Struct):
    text: str
    usage: _Heard | None = None


class Delta(msgspec.Struct, frozen=True):
    """One chunk. ``alive``: the model wrote something, if only a thought."""

    content: str
    alive: bool
    usage: Usage


def read_chunk(data: str) -> Delta:
    chunk = _decode(data, _Chunk)
    if chunk.error is not None and bytes(chunk.error) != b"null":
        raise TransientEngineError(Kind.HTTP_500, "an error within the answer")
    delta = (chunk.choices[0].delta if chunk.choices else None) or _Message()
    content = delta.content or ""
    return Delta(content, bool(content or delta.reasoning or delta.reasoning_content), _usage(chunk.usage))


def read_completion(body: bytes) -> tuple[str, Usage]:
    """The model's text, and what it used."""
    if not body.strip():
        raise EmptyAnswerError(Kind.EMPTY, "no body")
    completion = _decode(body, _Completion)
    if not completion.choices:
        raise EmptyAnswerError(Kind.EMPTY, "no choices")
    message = completion.choices[0].message
    if message is None:
        raise TransientEngineError(Kind.WRONG_SCHEMA, "a choice without a message")
    return message.content or "", _usage(completion.usage)


def read_transcription(body: bytes, sent_s: float) -> tuple[str, Usage]:
    """The words as every engine of ours gives them (lower case, no punctuation at a word's end), and what was heard:
    by the server's figure, or else, also where that cannot be, what was sent.
    """
    if not body.strip():
        raise EmptyAnswerError(Kind.EMPTY, "no body")
    answer = _decode(body, _Transcription)
    heard = answer.usage or _Heard()
    usage = Usage(heard.input_tokens, 0, heard.output_tokens, 0, heard.seconds or sent_s)
    return plain_words(answer.text), usage if usage.is_credible else Usage(heard_s=sent_s)


def _usage(tokens: _Tokens | None) -> Usage:
    if tokens is None:
        return Usage()
    details = tokens.prompt_tokens_details or _Details()
    usage = Usage(tokens.prompt_tokens, details.cached_tokens or 0, tokens.completion_tokens)
    return usage if usage.is_credible else Usage()


def _decode(data: str | bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.ValidationError as error:
        raise TransientEngineError(Kind.WRONG_SCHEMA, str(error)) from error
    except UNREADABLE as error:
        raise TransientEngineError(Kind.GARBAGE, "not JSON") from error
