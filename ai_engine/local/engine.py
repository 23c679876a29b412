"""The local engine as a whole: recogniser pool, WebSocket and HTTP servers, and the fault that may close them.

Owns the order of starting and stopping and the listening sockets. Nothing listens before the decoders are warm.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import structlog
from hypercorn.asyncio import serve as serve_http
from hypercorn.config import Config as HttpConfig
from hypercorn.typing import ASGIFramework
from websockets.asyncio.server import serve as serve_websocket

from ai_engine.engines.config import Stage
from ai_engine.local.faults import Fault, FaultWatch, Mode
from ai_engine.local.grammar import Dictionary, build_grammar, read_dictionary
from ai_engine.local.http_app import HttpApp
from ai_engine.local.recogniser_pool import MAX_CHUNK_BYTES, RecogniserPool
from ai_engine.local.stt_server import VoskServer
from callflows.definition.errors import BadSnapshot
from callflows.definition.flow import Snapshot, decode_snapshot

log = structlog.get_logger(__name__)

# A publication is heard of within a second; a look is one stat.
SNAPSHOT_POLL_S = 1.0
# Somebody else may hold the port for a moment when a refusing listener comes back.
REOPEN_S = 0.2
# Requests take milliseconds; what is still open after this is idle, or hangs on purpose.
HTTP_GRACE_S = 0.3
# What hypercorn may take to end its tasks after that.
HTTP_STOP_S = 2.0
# Longer than our clients keep an idle connection: one that is closed under a request costs a caller a retry.
HTTP_IDLE_S = 60.0
BACKLOG = 256


class PortTakenError(Exception):
    """A port cannot be listened on; the text names the setting."""


class EngineConfig(msgspec.Struct, frozen=True):
    """``fault_folder`` None: faults are not honoured."""

    host: str
    stt_port: int
    http_port: int
    snapshot_path: Path
    fault_folder: Path | None = None


class LocalEngine:
    """Run :meth:`run` once. Cancelling it stops everything, the processes included."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._faults = FaultWatch(config.fault_folder)
        self._dictionary: Dictionary = {}
        self._snapshot_mtime_ns = 0
        self.serving = asyncio.Event()
        """Set once both servers were ready for the first time."""

        self._listening: set[str] = set()

    @property
    def fault(self) -> Fault:
        return self._faults.fault

    @property
    def listening(self) -> bool:
        """Whether both listeners are open."""
        return len(self._listening) == 2

    @property
    def pids(self) -> list[int]:
        """The recogniser processes that are ready."""
        return self._pool.pids

    async def run(self) -> None:
        """Raises PortTakenError before anything else is started."""
        for name, port in (("STT", self._config.stt_port), ("HTTP", self._config.http_port)):
            bound(self._config.host, port, name).close()
        self._dictionary = read_dictionary()
        self._pool = RecogniserPool(build_grammar(self._changed_snapshot(), self._dictionary))
        self._http = HttpApp(self._faults, self._pool)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pool.run())
                tasks.create_task(self._faults.run())
                await self._http.warm()
                await self._pool.started()
                tasks.create_task(self._follow_snapshot())
                stt_open, http_open = asyncio.Event(), asyncio.Event()
                tasks.create_task(self._serve_stt(stt_open))
                tasks.create_task(self._serve_http(http_open))
                await stt_open.wait()
                await http_open.wait()
                self.serving.set()
                log.info("local_engine_ready", stt_port=self._config.stt_port, http_port=self._config.http_port)
        finally:
            self._http.close()

    def _refuses(self, *stages: Stage) -> bool:
        """Whether the listener that serves these stages must be closed."""
        return all(self._faults.mode_for(stage) is Mode.REFUSE for stage in stages)

    async def _until(self, *stages: Stage, refuses: bool) -> None:
        while self._refuses(*stages) is not refuses:
            await self._faults.changed()

    async def _serve_stt(self, opened: asyncio.Event) -> None:
        handler = VoskServer(self._pool, self._faults)
        while True:
            opened_or_refusing(opened, self._refuses(Stage.STT))
            await self._until(Stage.STT, refuses=False)
            listener = await self._listener("STT", self._config.stt_port)
            async with contextlib.AsyncExitStack() as stack:
                server = await stack.enter_async_context(
                    serve_websocket(
                        handler.handle, sock=listener, max_size=MAX_CHUNK_BYTES, compression=None, backlog=BACKLOG,
                        close_timeout=1, ping_interval=None,
                    )
                )  # fmt: skip
                opened.set()
                self._listening.add("stt")
                try:
                    await self._until(Stage.STT, refuses=True)
                finally:
                    self._listening.discard("stt")
                    for connection in server.connections:
                        connection.transport.abort()
                log.warning("listener_closed_by_fault", stage="stt")

    async def _serve_http(self, opened: asyncio.Event) -> None:
        stages = (Stage.NLU, Stage.TTS)
        while True:
            opened_or_refusing(opened, self._refuses(*stages))
            await self._until(*stages, refuses=False)
            listener = await self._listener("HTTP", self._config.http_port)
            async with _hypercorn(self._http.app, listener):
                opened.set()
                self._listening.add("http")
                await self._until(*stages, refuses=True)
                self._listening.discard("http")
                log.warning("listener_closed_by_fault", stage="nlu, tts")

    async def _listener(self, name: str, port: int) -> socket.socket:
        while True:
            try:
                return bound(self._config.host, port, name)
            except PortTakenError as error:
                if not self.serving.is_set():
                    raise
                log.error("listener_not_reopened", error=str(error))
                await asyncio.sleep(REOPEN_S)

    async def _follow_snapshot(self) -> None:
        while True:
            await asyncio.sleep(SNAPSHOT_POLL_S)
            snapshot = self._changed_snapshot()
            if snapshot is not None:
                self._pool.use_grammar(build_grammar(snapshot, self._dictionary))

    def _changed_snapshot(self) -> Snapshot | None:
        """None when the file is as it was, missing or unreadable."""
        path = self._config.snapshot_path
        try:
            mtime_ns = path.stat().st_mtime_ns
            if mtime_ns == self._snapshot_mtime_ns:
                return None
            self._snapshot_mtime_ns = mtime_ns
            return decode_snapshot(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, BadSnapshot) as error:
            log.warning("flow_snapshot_unreadable", path=str(path), error=str(error))
            return None


def opened_or_refusing(opened: asyncio.Event, refuses: bool) -> None:
    """A listener that a fault keeps closed counts as started: the engine is as ready as it was told to be."""
    if refuses:
        opened.set()


def bound(host: str, port: int, name: str) -> socket.socket:
    """A bound socket that does not listen yet. ``name`` is STT or HTTP, as in the setting."""
    setting = f"LIFELINE_ENGINE_{name}_PORT"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise PortTakenError(f"LIFELINE_ENGINE_HOST is {host!r}: {error.strerror}.") from error
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise PortTakenError(f"Cannot listen on {host}:{port} ({error.strerror}): set {setting} to another port.") from error
    return listener


@contextlib.asynccontextmanager
async def _hypercorn(app: object, listener: socket.socket) -> AsyncIterator[None]:
    """HTTP/1.1 and HTTP/2 without TLS (prior knowledge and upgrade) on this socket."""
    config = HttpConfig()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = HTTP_GRACE_S
    config.keep_alive_timeout = HTTP_IDLE_S
    config.keep_alive_max_requests = sys.maxsize  # by itself it closes after 1,000, and whoever asks just then is refused
    config.backlog = BACKLOG
    config.loglevel = "WARNING"
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_serve_until(stopping, app, config))
        try:
            yield
        finally:
            stopping.set()


async def _serve_until(stopping: asyncio.Event, app: object, config: HttpConfig) -> None:
    """Shielded, because a cancelled hypercorn would leave its connections open; it ends by itself once told to."""
    serving = asyncio.ensure_future(serve_http(_asgi(app), config, shutdown_trigger=stopping.wait))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        stopping.set()
        await asyncio.wait((serving,), timeout=HTTP_STOP_S)
        serving.cancel()
        raise


def _asgi(app: object) -> ASGIFramework:
    return app  # type: ignore[return-value]  # Starlette's types of scope and message are wider than hypercorn's
