"""Understanding over Anthropic's Messages interface, at whatever address serves it.

Owns the request (the answer is a tool's input, the prefix carries cache marks) and reading the stream of its answer.
Caching goes tools, system, messages: what comes first must stay the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TypeVar, cast

import anthropic
import httpx2
import msgspec
from anthropic import AsyncAnthropic
from anthropic.types import MessageParam, TextBlockParam, ToolParam

from ai_engine.engines import prompt
from ai_engine.engines.config import EngineConfig
from ai_engine.engines.http_pool import HttpPool, Sdk
from ai_engine.engines.roles import Context, OnSentence, Understanding
from ai_engine.engines.server_events import EventReader, drain, is_event_stream
from ai_engine.engines.silence import Silence
from ai_engine.engines.trace import Trace
from ai_engine.errors import EmptyAnswerError, Kind, TransientEngineError, http_error
from ai_engine.messages import Usage
from callflows.definition.errors import UNREADABLE

# An answer is a short JSON object; more would be too late anyway.
MAX_ANSWER_TOKENS = 1000
# A plain answer; the longest are some kilobytes.
MAX_BODY_BYTES = 256 * 1024
TOOL = "answer"
# A conversation begins with the user; ours begins with our own greeting.
CALL_BEGINS = "(The call begins.)"
# Errors within a stream come after a status of 200; these are the statuses that they have elsewhere.
_STATUS_OF = {
    "invalid_request_error": 400, "authentication_error": 401, "permission_error": 403, "not_found_error": 404,
    "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip

T = TypeVar("T")


class _Tokens(msgspec.Struct):
    input_tokens: int = 0
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int = 0

    def usage(self) -> Usage:
        """The three kinds of input are apart on the wire; here what was cached is a part of what was read. Figures that cannot be
        are none."""
        cached = self.cache_read_input_tokens or 0
        read = self.input_tokens + (self.cache_creation_input_tokens or 0) + cached
        usage = Usage(read, cached, self.output_tokens)
        return usage if usage.is_credible else Usage()


class _Block(msgspec.Struct):
    type: str = ""
    input: msgspec.Raw = msgspec.Raw(b"")


class _Message(msgspec.Struct):
    usage: _Tokens
    content: list[_Block] = []


class _Delta(msgspec.Struct):
    partial_json: str | None = None
    text: str | None = None
    thinking: str | None = None


class _Error(msgspec.Struct):
    type: str = ""


class _OutputTokens(msgspec.Struct):
    output_tokens: int = 0


class _Event(msgspec.Struct):
    type: str
    message: _Message | None = None
    delta: _Delta | None = None
    usage: _OutputTokens | None = None
    error: _Error | None = None


def _client(config: EngineConfig, key: str, http: httpx2.AsyncClient) -> AsyncAnthropic:
    # The client adds /v1/messages itself; an address written like an OpenAI-compatible one is understood as well.
    address = config.url.rstrip("/").removesuffix("/v1")
    # The documented header, which compatible servers want, beside the bearer token that this client sends by itself.
    headers = {"x-api-key": key}
    return AsyncAnthropic(api_key=key, base_url=address, http_client=http, max_retries=0, default_headers=headers)


def _status_of(error: Exception) -> tuple[int, Mapping[str, str]] | None:
    return (error.status_code, error.response.headers) if isinstance(error, anthropic.APIStatusError) else None


_SDK = Sdk(_client, anthropic.AnthropicError, _status_of)


class AnthropicUnderstanding:
    """One tool that must be used, streamed. A :class:`LanguageUnderstanding`."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._http = HttpPool(config, _SDK)

    async def understand(
        self, transcript: str, context: Context, trace: Trace, on_sentence: OnSentence | None = None
    ) -> Understanding:
        answer = prompt.StreamedAnswer(context.flow, on_sentence)
        async with (
            self._http.client(trace) as client,
            Silence(self.config, trace, Kind.NO_TOKEN) as silence,
            client.messages.with_streaming_response.create(
                model=self.config.model,
                max_tokens=MAX_ANSWER_TOKENS,
                tools=[tool(context)],
                tool_choice={"type": "tool", "name": TOOL, "disable_parallel_tool_use": True},
                system=system(context),
                messages=messages(transcript, context),
                stream=True,
            ) as response,
        ):
            silence.answered()
            if is_event_stream(response.headers):
                await _read_stream(response.iter_lines(), answer, silence, trace)
            else:
                await _read_whole(response.iter_bytes(), answer, silence, trace)
        return answer.result()

    async def close(self) -> None:
        await self._http.close()


def tool(context: Context) -> ToolParam:
    schema = prompt.answer_schema(context.flow)
    return {"name": TOOL, "description": "What the caller wants, and the reply.", "input_schema": schema}


def system(context: Context) -> list[TextBlockParam]:
    """Instructions and flow are every call's; the mark after them keeps the tool as well. The customer is this call's."""
    return [
        {"type": "text", "text": prompt.INSTRUCTIONS},
        {"type": "text", "text": prompt.describe_flow(context.flow), "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": prompt.describe_customer(context)},
    ]


def messages(transcript: str, context: Context) -> list[MessageParam]:
    """The history with a mark at its end, for the call's next turn; then the question."""
    said = prompt.history(context)
    if said and said[0][0] != "user":
        said = [("user", CALL_BEGINS), *said]
    found: list[dict[str, object]] = [{"role": role, "content": [{"type": "text", "text": words}]} for role, words in said]
    if found:
        last: list[dict[str, object]] = [{"type": "text", "text": said[-1][1], "cache_control": {"type": "ephemeral"}}]
        found[-1]["content"] = last
    found.append({"role": "user", "content": [{"type": "text", "text": prompt.question(transcript, context)}]})
    return cast("list[MessageParam]", found)


async def _read_stream(
    lines: AsyncIterator[str], answer: prompt.StreamedAnswer, silence: Silence, trace: Trace
) -> None:
    """What was written is told at the beginning and again later, each time of all so far: the last counts."""
    events, used = EventReader(), Usage()
    try:
        async for line in lines:
            data = events.feed(line)
            if data is None:
                continue
            event = _decode(data, _Event)
            if event.type == "error":
                raise http_error(_STATUS_OF.get(event.error.type if event.error else "", 500))
            if event.message is not None:
                used = event.message.usage.usage()
            if event.type == "message_delta" and event.usage is not None:
                told = msgspec.structs.replace(used, tokens_written=event.usage.output_tokens)
                used = told if told.is_credible else used
            if event.delta is not None and (event.delta.partial_json or event.delta.text or event.delta.thinking):
                silence.piece()
                answer.feed(event.delta.partial_json or "")
            if event.type == "message_stop":
                await drain(lines)
                return
    finally:
        trace.used(used)


async def _read_whole(
    pieces: AsyncIterator[bytes], answer: prompt.StreamedAnswer, silence: Silence, trace: Trace
) -> None:
    """From a server that does not stream."""
    body = bytearray()
    async for piece in pieces:
        silence.piece()
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise TransientEngineError(Kind.GARBAGE, "an answer without an end")
    if not body.strip():
        raise EmptyAnswerError(Kind.EMPTY, "no body")
    message = _decode(bytes(body), _Message)
    trace.used(message.usage.usage())
    for block in message.content:
        if block.type == "tool_use":
            answer.feed(_text(block.input))


def _text(raw: msgspec.Raw) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeError as error:
        raise TransientEngineError(Kind.GARBAGE, "no UTF-8") from error


def _decode(data: str | bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.ValidationError as error:
        raise TransientEngineError(Kind.WRONG_SCHEMA, str(error)) from error
    except UNREADABLE as error:
        raise TransientEngineError(Kind.GARBAGE, "not JSON") from error
