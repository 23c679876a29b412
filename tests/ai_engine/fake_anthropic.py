"""Anthropic's Messages interface as documented, over a real socket, that can be told to fail in every way.

It caches like the real one, as far as a client can see: by the bytes before each mark, in the order tools, system,
messages; its usage figures say what was read from there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.ai_engine.fake_server import DELAY_S, DRIP_S, RETRY_AFTER_S, STATUSES, FakeHttpServer

_ERRORS = {"401": "authentication_error", "429": "rate_limit_error", "500": "api_error"}


class FakeAnthropic(FakeHttpServer):
    """``fault``: one of FAULTS, mute (pings and no token), stall (the beginning and no more), overloaded (an error event
    in the middle) or foreign_intent. ``streams`` False: it answers in one piece.
    """

    def __init__(self) -> None:
        super().__init__()
        self.streams = True
        self.answer: dict[str, object] = {
            "intent": "opening_hours", "confidence": 0.9, "slots": {},
            "reply": "We are open from nine to five. On Sundays we are closed!",
        }  # fmt: skip
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._cached: set[str] = set()

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/messages", self._messages, methods=["POST"])])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _messages(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        match self.fault:
            case "hang":
                await asyncio.sleep(30)
            case "delay":
                await asyncio.sleep(DELAY_S)
            case "401" | "429" | "500" as status:
                error = {"type": "error", "error": {"type": _ERRORS[status], "message": "no"}}
                headers = {"Retry-After": str(RETRY_AFTER_S)} if status == "429" else None
                return JSONResponse(error, STATUSES[status], headers)
            case "garbage":
                return Response(b"\x01\x02<html>", media_type="text/html")
        usage = self._usage(body)
        answer = {
            "wrong_schema": {"intent": 3}, "silent": {**self.answer, "reply": " "},
            "foreign_intent": {**self.answer, "intent": "rm_rf"},
        }.get(self.fault, self.answer)  # fmt: skip
        if not (self.streams and body.get("stream")):
            block = {"type": "tool_use", "id": "t", "name": "answer", "input": answer}
            return JSONResponse({"type": "message", "content": [block], "usage": usage})
        text = "" if self.fault == "empty" else json.dumps(answer)
        return StreamingResponse(self._events(text, usage), media_type="text/event-stream")

    def _usage(self, body: dict[str, Any]) -> dict[str, int]:
        blocks = [*body["tools"], *body["system"]]
        blocks += [{"role": one["role"], **block} for one in body["messages"] for block in one["content"]]
        prefix, read, written, total = "", 0, 0, 0
        for block in blocks:
            marked = "cache_control" in block
            prefix += json.dumps({name: value for name, value in block.items() if name != "cache_control"})
            total = len(prefix) // 4
            if prefix in self._cached:  # It looks back from a mark for an earlier request's, block by block.
                read = total
            if marked:
                written = total - read
                self._cached.add(prefix)
        return {
            "input_tokens": total - read - written, "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written, "output_tokens": 1,
        }  # fmt: skip

    async def _events(self, text: str, usage: dict[str, int]) -> AsyncIterator[bytes]:
        yield _event("message_start", {"message": {"id": "m", "role": "assistant", "content": [], "usage": usage}})
        block = {"type": "tool_use", "id": "t", "name": "answer", "input": {}}
        yield _event("content_block_start", {"index": 0, "content_block": block})
        yield _event("ping", {})
        while self.fault == "mute":
            await asyncio.sleep(DRIP_S)
            yield _event("ping", {})
        for at in range(0, len(text), 7):
            if at == 21 and self.fault == "reset":
                self.cut()
                await asyncio.sleep(30)
            if at == 21 and self.fault == "stall":
                await asyncio.sleep(30)
            if at == 21 and self.fault == "overloaded":
                yield _event("error", {"error": {"type": "overloaded_error", "message": "Overloaded"}})
                return
            delta = {"type": "input_json_delta", "partial_json": text[at : at + 7]}
            yield _event("content_block_delta", {"index": 0, "delta": delta})
            if self.fault == "drip":
                await asyncio.sleep(DRIP_S)
        yield _event("content_block_stop", {"index": 0})
        yield _event("message_delta", {"delta": {}, "usage": {"output_tokens": 20}})
        yield _event("message_delta", {"delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 42}})
        yield _event("message_stop", {})


def _event(name: str, value: dict[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **value})}\n\n".encode()
