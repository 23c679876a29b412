"""What the fake engines have in common: a port that can be closed and opened again, and the names of their faults."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Self

from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as WireRequest
from websockets.http11 import Response as WireResponse

from tests.free_ports import free_port

FAULTS = (
    "none", "refuse", "reset", "delay", "hang", "silent", "drip", "401", "429", "500", "garbage", "wrong_schema", "empty",
)  # fmt: skip
# Longer than any limit that a test gives an engine, shorter than a test may take.
DELAY_S = 5.0
DRIP_S = 0.1
RETRY_AFTER_S = 2
STATUSES = {"401": 401, "429": 429, "500": 500}


class FakeServer(abc.ABC):
    """``fault`` may be set at any time; a closed port (``refuse``) needs :meth:`break_with`."""

    def __init__(self) -> None:
        self.fault = "none"
        self.port = 0
        self._open = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        if not self.port:
            self.port = free_port()
        await self.break_with(self.fault)
        try:
            yield self
        finally:
            if self._open:
                await self.close()
                self._open = False

    async def break_with(self, fault: str) -> None:
        self.fault = fault
        if self._open is (fault == "refuse"):
            await (self.close() if self._open else self.open())
            self._open = not self._open

    @abc.abstractmethod
    async def open(self) -> None: ...

    @abc.abstractmethod
    async def close(self) -> None: ...


class FakeSocketServer(FakeServer):
    """Over WebSocket. Statuses come instead of a handshake; ``frozen`` shakes hands and never reads again."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0
        self.heard = bytearray()
        self.paths: list[str] = []
        self.authorization: list[str] = []
        self._server: Server | None = None
        self._talking: set[asyncio.Task[object]] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @abc.abstractmethod
    async def listen(self, connection: ServerConnection) -> None: ...

    async def open(self) -> None:
        self._server = await serve_websocket(
            self._talk, "127.0.0.1", self.port, process_request=self._greet, close_timeout=0.1
        )

    async def close(self) -> None:
        assert self._server is not None
        for connection in list(self._server.connections):
            connection.transport.abort()
        for task in list(self._talking):
            task.cancel()  # It may be in the middle of a delay.
        self._server.close()
        await self._server.wait_closed()

    def _greet(self, connection: ServerConnection, request: WireRequest) -> WireResponse | None:
        self.opened += 1
        self.paths.append(request.path)
        self.authorization.append(request.headers.get("Authorization", ""))
        if self.fault not in STATUSES:
            return None
        response = connection.respond(STATUSES[self.fault], "no\n")
        if self.fault == "429":
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response

    async def _talk(self, connection: ServerConnection) -> None:
        if self.fault == "frozen":
            connection.transport.pause_reading()
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        try:
            with contextlib.suppress(ConnectionClosed):
                await self.listen(connection)
        finally:
            self._talking.discard(task)


class FakeHttpServer(FakeServer):
    """Over HTTP/1.1 and HTTP/2 without TLS. A relay in front of it counts connections, and can cut them."""

    def __init__(self) -> None:
        super().__init__()
        self.connections = 0
        self._links: set[asyncio.StreamWriter] = set()
        self._relay: asyncio.Server | None = None

    @abc.abstractmethod
    def app(self) -> Starlette: ...

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        async with serving(self.app()) as self._behind, super().running():
            yield self

    def cut(self) -> None:
        """Every connection ends where it is."""
        for writer in self._links:
            writer.transport.abort()

    async def open(self) -> None:
        self._relay = await asyncio.start_server(self._link, "127.0.0.1", self.port)

    async def close(self) -> None:
        assert self._relay is not None
        self._relay.close()
        self.cut()
        await self._relay.wait_closed()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        self._links |= {writer, back_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(_copy(reader, back_writer), _copy(back_reader, writer))
        self._links -= {writer, back_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[int]:
    """The application's port."""
    with socket.create_server(("127.0.0.1", free_port())) as probe:
        port = int(probe.getsockname()[1])
    config = Config()
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0.1
    config.bind = [f"127.0.0.1:{port}"]
    stop = asyncio.Event()
    task = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            break
        await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        stop.set()
        await task


async def drip(data: bytes) -> AsyncIterator[bytes]:
    for byte in data:
        yield bytes([byte])
        await asyncio.sleep(DRIP_S)
