"""Servers of the two wire formats over real sockets, that can be told to fail in every way an engine fails.

They say what they are told to, so that a test knows the answer; the real local engine is tested beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import struct
from collections.abc import AsyncIterator

from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as WireRequest
from websockets.http11 import Response as WireResponse

TONE = b"".join(struct.pack("<h", int(9000 * math.sin(n * 0.3))) for n in range(4000))


class FakeVosk:
    """``fault``: none, hang, reset, garbage, wrong_schema, empty, unknown, drip, 401, 429, 500.

    ``endpoint_after`` so many chunks it says by itself that the caller has stopped.
    """

    def __init__(self) -> None:
        self.fault = "none"
        self.transcript = "what are your opening hours"
        self.endpoint_after = 0
        self.opened = 0
        self.heard = bytearray()
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeVosk]:
        async with serve_websocket(self._talk, "127.0.0.1", self.port, process_request=self._greet) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            try:
                yield self
            finally:
                for connection in list(server.connections):
                    connection.transport.abort()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def _greet(self, connection: ServerConnection, _request: WireRequest) -> WireResponse | None:
        self.opened += 1
        statuses = {"401": 401, "429": 429, "500": 500}
        return connection.respond(statuses[self.fault], "no\n") if self.fault in statuses else None

    async def _talk(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._listen(socket)

    async def _listen(self, socket: ServerConnection) -> None:
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
            silent = fault in ("empty", "unknown")
            await socket.send(json.dumps({"partial": "" if silent else self.transcript[: 5 * chunks]}))

    async def _finish(self, socket: ServerConnection) -> None:
        if self.fault == "drip":
            for _ in range(40):
                await socket.send('{"partial": ""}')
                await asyncio.sleep(0.1)
        said = {"empty": "", "unknown": "[unk]"}.get(self.fault, "" if self.endpoint_after else self.transcript)
        await socket.send(json.dumps({"text": said}))


class FakeOpenAI:
    """``fault``: none, hang, 401, 429, 500, garbage, wrong_schema, empty, silent, drip, foreign_intent."""

    def __init__(self) -> None:
        self.fault = "none"
        self.faults_left = -1
        self.answer: dict[str, object] = {
            "intent": "opening_hours", "confidence": 0.9, "slots": {}, "reply": "We are open from nine to five.",
        }  # fmt: skip
        self.requests: list[dict[str, object]] = []
        self.http_versions: set[str] = set()
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeOpenAI]:
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/audio/speech", self._speech, methods=["POST"]),
            ]
        )
        config = Config()
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 0.1
        if not self.port:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.port = probe.getsockname()[1]
        config.bind = [f"127.0.0.1:{self.port}"]
        stop = asyncio.Event()
        serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                await writer.wait_closed()
                break
            await asyncio.sleep(0.01)
        try:
            yield self
        finally:
            stop.set()
            await serving

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _failure(self, request: Request) -> Response | None:
        self.requests.append(await request.json())
        self.http_versions.add(request.scope["http_version"])
        if self.faults_left == 0:
            return None
        self.faults_left -= 1
        if self.fault == "hang":
            await asyncio.sleep(30)
        if self.fault in ("401", "429", "500"):
            return JSONResponse({"error": {"message": "no"}}, int(self.fault))
        if self.fault == "garbage":
            return Response(b"\x01\x02<html>", media_type="text/html")
        return None

    async def _chat(self, request: Request) -> Response:
        failure = await self._failure(request)
        if failure is not None:
            return failure
        content = json.dumps(self.answer)
        if self.faults_left != 0:
            content = {
                "wrong_schema": '{"intent": 3}', "empty": "", "silent": json.dumps({**self.answer, "reply": " "}),
                "foreign_intent": json.dumps({**self.answer, "intent": "rm_rf"}),
            }.get(self.fault, content)  # fmt: skip
        body = {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": {"content": content}}]}
        if self.fault == "drip":
            return StreamingResponse(_drip(json.dumps(body).encode()), media_type="application/json")
        return JSONResponse(body)

    async def _speech(self, request: Request) -> Response:
        failure = await self._failure(request)
        if failure is not None:
            return failure
        audio = {"empty": b"", "silent": bytes(8000)}.get(self.fault, TONE)
        if self.fault == "drip":
            return StreamingResponse(_drip(audio), media_type="audio/pcm")
        return Response(audio, media_type="audio/pcm")


async def _drip(data: bytes) -> AsyncIterator[bytes]:
    for byte in data:
        yield bytes([byte])
        await asyncio.sleep(0.1)
