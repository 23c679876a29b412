"""A proxy in front of one server, on TCP or a Unix socket, that spoils what passes: late, cut off, one-sided, or in drops.

Owns its connections and the thread they live on. It knows no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path

import uvloop

Address = tuple[str, int] | Path
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Send = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]

PIECE_BYTES = 65_536
# Longer than a first byte may take (1.2 s) and than Redis' answers may (1 s).
LATENCY_S = 1.5
# A line of a few hundred bytes takes seconds: every gap is short, the whole is far too long.
DRIP_BYTES, DRIP_GAP_S = 8, 0.2
START_LIMIT_S = 10.0


class Toxic(StrEnum):
    NONE = "none"
    LATENCY = "latency"
    RESET = "reset"
    """Every connection is reset, and every new one."""
    HALF_OPEN = "half_open"
    """Connections stand and are accepted, and nothing passes."""
    DRIP = "drip"
    """Answers come a few bytes at a time."""


class Proxy:
    """``upstream`` is asked for each connection, since the server's own port may not be known before it starts."""

    def __init__(self, upstream: Callable[[], Address], listen: Path | None = None) -> None:
        self._upstream = upstream
        self._listen = listen
        self._toxic = Toxic.NONE
        self._mended = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = uvloop.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._started.wait(START_LIMIT_S), "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_LIMIT_S)

    def spoil(self, toxic: Toxic) -> None:
        """From now on, for the connections that stand as well. ``Toxic.NONE`` mends, and drops what a half-open one held."""
        self._loop.call_soon_threadsafe(self._spoil, toxic)

    # --- On the proxy's own thread ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        if self._listen is None:
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self.port = int(server.sockets[0].getsockname()[1])
        else:
            server = await asyncio.start_unix_server(self._accept, self._listen)
        self._mended.set()
        self._started.set()
        await self._stop.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # A transport is closed in a later round of the loop than the one that asks for it.
        for _ in range(5):
            await asyncio.sleep(0)

    def _spoil(self, toxic: Toxic) -> None:
        was, self._toxic = self._toxic, toxic
        if was is Toxic.HALF_OPEN and toxic is not was:
            # What was swallowed will never be answered: such connections end when the network is back.
            self._reset_all()
        if toxic is Toxic.RESET:
            self._reset_all()
        if toxic is Toxic.HALF_OPEN:
            self._mended.clear()
        else:
            self._mended.set()

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        other: asyncio.StreamWriter | None = None
        try:
            if self._toxic is Toxic.RESET:
                _reset(writer)
                return
            await self._mended.wait()
            up_reader, other = await _open(self._upstream())
            self._writers.add(other)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, other, self._as_it_is))
                tasks.create_task(self._pass(up_reader, writer, self._spoilt))
        except (OSError, ExceptionGroup):
            pass
        finally:
            for one in (writer, other):
                if one is not None:
                    self._writers.discard(one)
                    one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, send: Send) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self._mended.wait()
            await send(writer, piece)
        # The end of one direction ends both: no protocol here half-closes.
        writer.close()

    async def _as_it_is(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        writer.write(piece)
        await writer.drain()

    async def _spoilt(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        if self._toxic is Toxic.LATENCY:
            await asyncio.sleep(LATENCY_S)
        while self._toxic is Toxic.DRIP and piece:
            writer.write(piece[:DRIP_BYTES])
            piece = piece[DRIP_BYTES:]
            await writer.drain()
            await asyncio.sleep(DRIP_GAP_S)
        await self._as_it_is(writer, piece)


async def _open(address: Address) -> Streams:
    if isinstance(address, Path):
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection(*address)


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN, where the socket knows the difference."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
