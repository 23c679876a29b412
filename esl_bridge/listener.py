"""The bridge's port, which is open only while its loop runs: nobody waits at a door that is not answered.

Owns the listening sockets. FreeSWITCH's ``connect()`` has no limit of its own, and the kernel goes on accepting for a process
that stands still; a refusal is what sends a call on to the next bridge at once. So a thread watches the loop. Of what it
cannot see (a whole process stopped, a machine cut off, C code that keeps the interpreter to itself) docs/freeswitch.md tells.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

BACKLOG = 512
# libuv takes one connection of a listening socket in each turn of the loop. When a bridge dies, hundreds come at once, and the last
# of them waited five seconds in the queue, by which time the dialplan had given their calls to the next.
ACCEPTS_A_TURN = 32
# A busy loop is late by tenths of a second. A call that arrives meanwhile waits that long; the next bridge has it in milliseconds.
STALL_S = 1.5
BEAT_S = 0.1


class Listener:
    """``open``, then ``run`` for as long as calls are taken, then ``close``. All but the watching thread belongs to one loop."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol], host: str, port: int, *, stall_s: float = STALL_S) -> None:
        self._protocol = protocol
        self._host = host
        self._port = port
        self._stall_s = stall_s
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._stand_in: socket.socket | None = None
        self._lock = threading.Lock()  # around the four below and every change of the sockets
        self._beaten_at = 0.0
        self._is_shut = False
        self._is_closed = False
        self._over = threading.Event()

    async def open(self) -> None:
        """Raises OSError when the port cannot be had."""
        self._stand_in = _deaf_socket()
        try:
            await self._listen()
        except BaseException:
            self.close()
            raise
        self._beaten_at = time.monotonic()
        threading.Thread(target=self._watch, name="listener-watch", daemon=True).start()

    async def run(self) -> None:
        """The loop's sign of life, and the way back after a stall. Raises OSError when the port is another's by then."""
        while True:
            with self._lock:
                self._beaten_at = time.monotonic()
                was_shut = self._is_shut and not self._is_closed
            if was_shut:
                await self._reopen()
            await asyncio.sleep(BEAT_S)

    def close(self) -> None:
        """No connection is taken any more, whatever the loop does. Twice does nothing."""
        with self._lock:
            self._is_closed = True
        self._over.set()
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._stand_in is not None:
            self._stand_in.close()
            self._stand_in = None

    # --- Inside ---

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host or None, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        sockets: list[socket.socket] = []
        try:
            for family, address in dict.fromkeys((one[0], one[4]) for one in found):
                # An IPv6 socket takes IPv6 alone: for IPv4 there is one of its own, as asyncio makes them.
                sockets.append(socket.create_server((str(address[0]), int(address[1])), family=family, backlog=BACKLOG))
        except OSError:
            for opened in sockets:
                opened.close()
            raise
        sockets += [opened.dup() for opened in list(sockets) for _ in range(ACCEPTS_A_TURN - 1)]
        for opened in sockets:
            opened.setblocking(False)
        servers: list[asyncio.Server] = []
        try:
            for opened in sockets:
                servers.append(await loop.create_server(self._protocol, sock=opened, backlog=BACKLOG))  # noqa: PERF401
        except BaseException:  # the bridge ends meanwhile: what has been made by then is closed
            for server in servers:
                server.close()
            for opened in sockets:
                opened.close()
            raise
        self._servers = servers
        with self._lock:
            self._sockets, self._is_shut = sockets, False
            is_closed = self._is_closed
        if is_closed:  # meanwhile
            self.close()

    async def _reopen(self) -> None:
        for server in self._servers:
            server.close()
        await self._listen()
        log.warning("the loop runs again, and the port is open again", port=self._port)

    def _watch(self) -> None:
        while not self._over.wait(BEAT_S):
            with self._lock:
                late_s = time.monotonic() - self._beaten_at
                if self._is_shut or self._is_closed or late_s < self._stall_s:
                    continue
                self._is_shut = True
                self._shut()
            log.error("the loop stands still: the port is closed, new calls go to the next bridge", late_s=round(late_s, 1))

    def _shut(self) -> None:
        """Whatever waits in the queue is reset, and what comes is refused. The descriptors stay the loop's: something deaf takes
        the place of the sockets, so that the loop, when it runs again, finds nothing to accept and nothing of anybody else's."""
        assert self._stand_in is not None
        for listening in self._sockets:
            os.dup2(self._stand_in.fileno(), listening.fileno(), inheritable=False)


def _deaf_socket() -> socket.socket:
    """It listens where nobody can find it: accepting from it would block, which is what a loop expects of a listener."""
    with tempfile.TemporaryDirectory() as folder:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.setblocking(False)
        made.bind(str(Path(folder) / "s"))
        made.listen(1)
        return made
