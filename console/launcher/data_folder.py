"""The stack's data folder: who may use it, the secrets made once, the state file, and the short-lived runtime folder.

Owns files only. The database, the spool and the prompts in the same folder belong to the processes that write them.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from console.environment import STATE_FILE, started_at
from console.launcher.errors import StartError

LOCK_FILE = "launcher.lock"
SECRETS_FILE = "secrets.json"
ADMIN_PASSWORD = "admin_password"
# sun_path holds 108 bytes on Linux and 104 elsewhere; the longest name in the folder, and a margin, come off that.
SOCKET_PATH_MOST = 100
RUNTIME_PREFIX = "lifeline-run-"
LONGEST_SOCKET_NAME = "redis-volatile.sock"
# A launcher that was told to stop may hold the lock for the moment in which it removes its last files.
LOCK_WAIT_S = 0.5


class DataFolder:
    """Locked from ``open()`` to ``close()`` (the kernel lets go of the lock too, when the launcher is killed)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runtime: Path | None = None
        self._lock_fd: int | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Makes the folder (for its owner alone) and locks it. Raises StartError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
            self._lock_fd = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = error.strerror
            text = f"The data folder {self.path} cannot be used ({reason}): set LIFELINE_DATA_DIR."
            raise StartError(text) from error
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                holder = os.pread(self._lock_fd, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(self._lock_fd)
                self._lock_fd = None
                raise StartError(
                    f"Lifeline runs already in {self.path} (pid {holder}): stop it first, or start this one in a "
                    "folder of its own with LIFELINE_DATA_DIR and LIFELINE_RUN_PORTS_FROM."
                ) from None
        self._remove_stale_runtime()
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)

    def _remove_stale_runtime(self) -> None:
        """The runtime folder of a run that was killed together with its keeper. The lock says that nobody uses it."""
        try:
            state = json.loads((self.path / STATE_FILE).read_text())
            runtime = Path(state["env"]["LIFELINE_RUN_SOCKET"]).parent
        except (OSError, ValueError, KeyError, TypeError):
            return
        if runtime.name.startswith(RUNTIME_PREFIX):
            shutil.rmtree(runtime, ignore_errors=True)
        (self.path / STATE_FILE).unlink(missing_ok=True)

    def close(self) -> None:
        """Removes what belongs to this run, then lets the lock go."""
        if self._lock_fd is None:
            return
        (self.path / STATE_FILE).unlink(missing_ok=True)
        if self.runtime is not None:
            shutil.rmtree(self.runtime, ignore_errors=True)
            self.runtime = None
        os.close(self._lock_fd)
        self._lock_fd = None

    def make_runtime(self) -> Path:
        """A new private folder for Unix sockets, with a path short enough for them."""
        places = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]
        for place in places:
            longest = len(os.fsencode(place)) + len(f"/{RUNTIME_PREFIX}12345678/") + len(LONGEST_SOCKET_NAME)
            if place and longest < SOCKET_PATH_MOST and os.access(place, os.W_OK | os.X_OK):
                self.runtime = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX, dir=place))
                return self.runtime
        tried = ", ".join(filter(None, places))
        raise StartError(f"No folder for Unix sockets can be made (tried {tried}): set TMPDIR.")

    def secrets(self) -> dict[str, str]:
        """The secrets of this installation, made at the first start and kept, readable by their owner alone."""
        path = self.path / SECRETS_FILE
        try:
            kept = json.loads(path.read_text())
            if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
                raise ValueError("not an object of texts")
        except FileNotFoundError:
            kept = {}
        except ValueError as error:
            raise StartError(f"{path} is damaged ({error}): restore it, or remove it for new secrets.") from error
        makers = {
            "LIFELINE_SECRET_KEY": lambda: secrets.token_urlsafe(48),
            "LIFELINE_MEDIA_SECRET": lambda: secrets.token_urlsafe(32),
            "LIFELINE_SECRET_SWITCH_PASSWORD": lambda: secrets.token_urlsafe(18),
            ADMIN_PASSWORD: lambda: secrets.token_urlsafe(9),
        }
        if missing := [name for name in makers if name not in kept]:
            kept |= {name: makers[name]() for name in missing}
            write_private(path, json.dumps(kept, indent=1))
        return kept

    def write_state(self, env: Mapping[str, str]) -> None:
        """From now on every management command beside this stack finds it."""
        state = {"pid": os.getpid(), "started": started_at(os.getpid()), "env": dict(env)}
        write_private(self.path / STATE_FILE, json.dumps(state, indent=1, sort_keys=True))


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    fd, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    Path(name).replace(path)
