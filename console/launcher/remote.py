"""The launcher's ear: one JSON request a connection over a Unix socket in the runtime folder, which is private.

Owns both ends: the server inside the launcher, and ``ask()`` for ``manage.py stack`` and the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from console.launcher.errors import StackAwayError
from console.launcher.supervisor import Supervised

REQUEST_BYTES_MOST = 4096
# A local peer sends its one line at once.
REQUEST_LIMIT_S = 2.0
ACTIONS = ("status", "hold", "release", "restart", "ready")
# Beyond what the action itself may take.
ANSWER_LIMIT_S = 30.0


class RemoteServer:
    """Serves while entered. Every action is done when its answer arrives."""

    def __init__(
        self, path: Path, parts: Mapping[str, Supervised], is_ready: Callable[[], bool], say: Callable[[str], None]
    ) -> None:
        self._path = path
        self._parts = parts
        self._is_ready = is_ready
        self._say = say

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=REQUEST_BYTES_MOST)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), REQUEST_LIMIT_S)
            request = json.loads(line)
            answer = await self._answer(str(request.get("action")), str(request.get("name", "")))
        except (TimeoutError, ValueError, AttributeError):
            answer = {"error": "not a request"}
        with contextlib.suppress(OSError):
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, action: str, name: str) -> dict[str, Any]:
        if action == "status":
            processes = [asdict(part.status()) for part in self._parts.values()]
            return {"ready": self._is_ready(), "launcher_pid": os.getpid(), "processes": processes}
        part = self._parts.get(name)
        if part is None:
            return {"error": f"there is no process {name!r}; there are {', '.join(self._parts)}"}
        if action == "hold":
            await part.hold()
        elif action == "release":
            part.release()
        elif action == "ready":
            ready = await part.is_ready()
            # Asked afterwards: what ended meanwhile is not ready.
            has_sign = part.part.ready is not None
            return {"ready": ready and part.running, "has_sign": has_sign, "process": asdict(part.status())}
        elif action == "restart":
            self._say(f"{name} is restarted")
            await part.restart()
        else:
            return {"error": f"there is no action {action!r}; there are {', '.join(ACTIONS)}"}
        return {"done": True}


def ask(path: str, action: str, name: str = "", *, timeout_s: float = ANSWER_LIMIT_S) -> dict[str, Any]:
    """Blocks until the launcher has done it. Raises StackAwayError, and ValueError with the reason of a refusal."""
    if not path:
        raise StackAwayError("No Lifeline runs in this data folder (LIFELINE_DATA_DIR): start it with `make run`.")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(path)
            connection.sendall(json.dumps({"action": action, "name": name}).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline() or b"{}")
    except OSError as error:
        raise StackAwayError(f"The launcher does not answer ({error}).") from error
    if "error" in answer:
        raise ValueError(answer["error"])
    if not answer:
        raise StackAwayError("The launcher ended before it answered.")
    return dict(answer)


def restart(path: str, name: str) -> None:
    """In good order: returns when it has ended, which takes as long as its calls do, up to its own limit. Raises as ``ask``."""
    grace_s = float(ask(path, "ready", name)["process"]["grace_s"])
    ask(path, "restart", name, timeout_s=grace_s + ANSWER_LIMIT_S)
