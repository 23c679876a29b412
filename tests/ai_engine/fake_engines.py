"""Servers of the Vosk and OpenAI-compatible wire formats over real sockets, that can be told to fail in every way.

They say what they are told to, so that a test knows the answer; the real local engine is tested beside them.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.asyncio.server import ServerConnection

from tests.ai_engine.fake_server import DELAY_S, DRIP_S, RETRY_AFTER_S, STATUSES, FakeHttpServer, FakeSocketServer
from tests.ai_engine.fake_server import drip as _drip

TONE = b"".join(struct.pack("<h", int(9000 * math.sin(n * 0.3))) for n in range(4000))


class FakeVosk(FakeSocketServer):
    """``fault``: one of FAULTS, unknown (words outside the grammar) or frozen.

    ``endpoint_after`` so many chunks it says by itself that the caller has stopped. ``confidences`` are those of the last words.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transcript = "what are your opening hours"
        self.endpoint_after = 0
        self.partial_unknown = False
        self.confidences: list[float] = []

    async def listen(self, socket: ServerConnection) -> None:
        chunks = 0
        async for message in socket:
            fault = self.fault
            if fault == "hang":
                continue
            if isinstance(message, str):
                if "eof" in message:
                    await self._finish(socket)
                    return
                continue
            chunks += 1
            self.heard += message
            if fault == "reset":
                socket.transport.abort()
                return
            if fault == "garbage":
                await socket.send("\x00not json")
                return
            if fault == "wrong_schema":
                await socket.send('{"words": 3}')
                return
            if self.endpoint_after and chunks == self.endpoint_after:
                await socket.send(json.dumps({"text": self.transcript}))
                continue
            silent = fault in ("empty", "silent", "unknown")
            words = "[unk]" if self.partial_unknown else self.transcript[: 5 * chunks]
            await socket.send(json.dumps({"partial": "" if silent else words}))

    async def _finish(self, socket: ServerConnection) -> None:
        if self.fault == "delay":
            await asyncio.sleep(DELAY_S)
        if self.fault == "drip":
            for _ in range(40):
                await socket.send('{"partial": ""}')
                await asyncio.sleep(DRIP_S)
        said = {"empty": "", "silent": "", "unknown": "[unk]"}.get(self.fault, "" if self.endpoint_after else self.transcript)
        result = {"result": [{"word": "w", "conf": one} for one in self.confidences]} if self.confidences else {}
        await socket.send(json.dumps({"text": said} | result))


class FakeOpenAI(FakeHttpServer):
    """``fault``: one of FAULTS, foreign_intent, mute or mute_audio (headers and no more) or stall (the beginning and no more).

    ``streams`` False: a server that answers in one piece whatever it was asked for. ``faults_left`` requests fail.
    ``breaks_at``: the piece of the answer at which ``reset`` and ``stall`` do. ``counts_always``: what was used so far comes
    with every chunk, as from Google's compatible endpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.faults_left = -1
        self.breaks_at = 3
        self.streams = True
        self.counts_always = False
        self.answer: dict[str, object] = {
            "intent": "opening_hours", "confidence": 0.9, "slots": {}, "reply": "We are open from nine to five.",
        }  # fmt: skip
        self.transcript = "what are your opening hours"
        self.cached_tokens = 0
        self.requests: list[dict[str, object]] = []
        self.uploads: list[bytes] = []
        self.http_versions: set[str] = set()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/audio/speech", self._speech, methods=["POST"]),
                Route("/v1/audio/transcriptions", self._transcription, methods=["POST"]),
            ]
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _now(self) -> str:
        """The fault of this request."""
        if self.faults_left == 0:
            return "none"
        self.faults_left -= 1
        return self.fault

    async def _failure(self, fault: str) -> Response | None:
        match fault:
            case "hang":
                await asyncio.sleep(30)
            case "delay":
                await asyncio.sleep(DELAY_S)
            case "401" | "429" | "500":
                headers = {"Retry-After": str(RETRY_AFTER_S)} if fault == "429" else None
                return JSONResponse({"error": {"message": "no"}}, STATUSES[fault], headers)
            case "garbage":
                return Response(b"\x01\x02<html>", media_type="text/html")
            case "mute":
                return StreamingResponse(self._pieces([], fault), media_type="text/event-stream")
            case "mute_audio":
                return StreamingResponse(self._pieces([], fault), media_type="audio/pcm")
        return None

    async def _chat(self, request: Request) -> Response:
        self.requests.append(await request.json())
        self.http_versions.add(request.scope["http_version"])
        fault = self._now()
        failure = await self._failure(fault)
        if failure is not None:
            return failure
        content = {
            "wrong_schema": '{"intent": 3}', "empty": "", "silent": json.dumps({**self.answer, "reply": " "}),
            "foreign_intent": json.dumps({**self.answer, "intent": "rm_rf"}),
        }.get(fault, json.dumps(self.answer))  # fmt: skip
        usage = {
            "prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }  # fmt: skip
        if self.streams and self.requests[-1].get("stream"):
            chunks = _chunks(content, usage, self.counts_always)
            return StreamingResponse(self._pieces(chunks, fault), media_type="text/event-stream")
        choice = {"index": 0, "message": {"content": content}, "finish_reason": "stop"}
        body = {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}
        if fault == "drip":
            return StreamingResponse(_drip(json.dumps(body).encode()), media_type="application/json")
        return JSONResponse(body)

    async def _speech(self, request: Request) -> Response:
        self.requests.append(await request.json())
        fault = self._now()
        failure = await self._failure(fault)
        if failure is not None:
            return failure
        if fault in ("drip", "stall", "reset"):
            parts = [TONE[at : at + 160] for at in range(0, len(TONE), 160)]
            return StreamingResponse(self._pieces(parts, fault), media_type="audio/pcm")
        audio = {"empty": b"", "silent": bytes(8000)}.get(fault, TONE)
        kind = "application/json" if fault == "wrong_schema" else "audio/pcm"
        return Response(b'{"audio": 3}' if fault == "wrong_schema" else audio, media_type=kind)

    async def _transcription(self, request: Request) -> Response:
        async with request.form() as form:
            self.requests.append({name: value for name, value in form.items() if isinstance(value, str)})
            upload = form["file"]
            assert not isinstance(upload, str)
            self.uploads.append(await upload.read())
        fault = self._now()
        failure = await self._failure(fault)
        if failure is not None:
            return failure
        said = "" if fault in ("empty", "silent") else self.transcript
        seconds = (len(self.uploads[-1]) - 44) / 16_000
        body = {"text": 3 if fault == "wrong_schema" else said, "usage": {"type": "duration", "seconds": seconds}}
        data = json.dumps(body).encode()
        if fault in ("drip", "stall", "reset"):
            parts = [data[at : at + 1] for at in range(len(data))]
            return StreamingResponse(self._pieces(parts, fault), media_type="application/json")
        return Response(data, media_type="application/json")

    async def _pieces(self, parts: list[bytes], fault: str) -> AsyncIterator[bytes]:
        """As they are, or what the fault makes of them."""
        if fault == "mute":
            yield b": there soon\n\n"
            await asyncio.sleep(30)
        if fault == "mute_audio":
            await asyncio.sleep(30)
        for position, part in enumerate(parts):
            if position == self.breaks_at and fault == "reset":
                self.cut()
                await asyncio.sleep(30)
            if position == self.breaks_at and fault == "stall":
                await asyncio.sleep(30)
            yield part
            if fault == "drip":
                await asyncio.sleep(DRIP_S)


def _chunks(content: str, usage: dict[str, object], counts_always: bool) -> list[bytes]:
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": content[at : at + 7]} for at in range(0, len(content), 7)]
    chunks: list[dict[str, object]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if counts_always:
        chunks = [{**chunk, "usage": {**usage, "completion_tokens": written}} for written, chunk in enumerate(chunks)]
    chunks.append({"choices": [], "usage": usage})
    return [*(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks), b"data: [DONE]\n\n"]
