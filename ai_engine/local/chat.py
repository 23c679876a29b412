"""The form of a chat answer: one JSON object, or the same in server-sent events. Pure; what it says is decided elsewhere."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import msgspec

from ai_engine.local.understanding import Message

MODEL = "local"
# Some words a piece: a client reads a sentence's end while the rest is still to come.
PIECE_CHARS = 24


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    messages: list[Message]
    model: str = MODEL
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class Answer:
    """One answer with its figures. A token is a word here, and nothing is kept from one request to the next."""

    def __init__(self, asked: ChatRequest, content: str) -> None:
        self._asked = asked
        self._content = content
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())

    def whole(self) -> bytes:
        message = {"role": "assistant", "content": self._content, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return msgspec.json.encode(self._object("chat.completion", [choice]) | {"usage": self._usage()})

    def events(self) -> Iterator[bytes]:
        content = self._content
        pieces = [content[at : at + PIECE_CHARS] for at in range(0, len(content), PIECE_CHARS)]
        yield self._event([_choice({"role": "assistant", "content": ""})])
        for piece in pieces:
            yield self._event([_choice({"content": piece})])
        yield self._event([_choice({}, "stop")])
        if self._asked.stream_options is not None and self._asked.stream_options.include_usage:
            yield self._event([], usage=self._usage())
        yield b"data: [DONE]\n\n"

    def _event(self, choices: list[dict[str, object]], **more: object) -> bytes:
        return b"data: " + msgspec.json.encode(self._object("chat.completion.chunk", choices) | more) + b"\n\n"

    def _object(self, name: str, choices: list[dict[str, object]]) -> dict[str, object]:
        return {
            "id": self._id, "object": name, "created": self._created, "model": self._asked.model, "choices": choices,
        }  # fmt: skip

    def _usage(self) -> dict[str, object]:
        read = sum(len(message.text().split()) for message in self._asked.messages)
        written = len(self._content.split())
        return {
            "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": 0},
        }  # fmt: skip


def _choice(delta: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
