"""The real processes of one measurement: Redis servers, workers, the local engine or one that always takes 400 ms.

Owns starting them with their settings and ending them; and the bridge's and gateway's ends of the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import psutil
import redis.asyncio

from ai_engine.messages import (
    FIELD,
    BridgeMessage,
    SpeakReply,
    TurnRequest,
    decode_media_message,
    media_stream,
)
from ai_engine.redis_clients import BLOCK_MS, connect_async
from callflows.definition.flow import encode_snapshot
from esl_bridge.turn_link import TurnLink
from tests.ai_engine.flows import demo_snapshot
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
BRIDGE, GATEWAY = "bridge-bench", "gateway-bench"
START_LIMIT_S = 60.0
POLL_S = 0.05


class Stage:
    """Redis, a folder with the flow, and whatever is started; leaving it kills everything."""

    def __init__(self, folder: Path, durable: RedisServer, volatile: RedisServer) -> None:
        self.folder = folder
        self.durable_url, self.volatile_url = durable.url, volatile.url
        self.stt_port, self.http_port = free_port(), free_port()
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str, **settings: str) -> subprocess.Popen[bytes]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LIFELINE_", "DJANGO_"))}
        environment = kept | {
            "DJANGO_SETTINGS_MODULE": "console.settings", "LIFELINE_DEMO": "1", "LIFELINE_DATA_DIR": str(self.folder),
            "LIFELINE_REDIS_DURABLE_URL": self.durable_url, "LIFELINE_REDIS_VOLATILE_URL": self.volatile_url,
            "LIFELINE_ENGINE_STT_PORT": str(self.stt_port), "LIFELINE_ENGINE_HTTP_PORT": str(self.http_port),
        } | settings  # fmt: skip
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=log)
        self._started.append(process)
        return process

    def start_worker(self, name: str, *, caches: str = "none", turns: int = 16, **more: str) -> subprocess.Popen[bytes]:
        settings = {"LIFELINE_WORKER_ID": name, "LIFELINE_CACHES": caches, "LIFELINE_WORKER_TURNS": str(turns), **more}
        return self.start(name, "manage.py", "run_ai_worker", **settings)

    async def said(self, name: str) -> str:
        """The first line that a process wrote."""
        deadline = time.monotonic() + START_LIMIT_S
        while "\n" not in (text := (self.folder / f"{name}.log").read_text(encoding="utf-8")):
            self._still_alive(deadline)
            await asyncio.sleep(POLL_S)
        return text.partition("\n")[0]

    def listening(self, port: int) -> None:
        """Returns when somebody listens there."""
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            self._still_alive(deadline)
            time.sleep(POLL_S)

    async def workers_ready(self, client: redis.asyncio.Redis, count: int) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while len(await client.keys("worker:*")) < count:
            self._still_alive(deadline)
            await asyncio.sleep(POLL_S)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self._started.remove(process)

    def stop_all(self) -> None:
        for process in list(self._started):
            self.stop(process)

    def _still_alive(self, deadline: float) -> None:
        if time.monotonic() > deadline or any(process.poll() is not None for process in self._started):
            logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in sorted(self.folder.glob("*.log")))
            raise RuntimeError(f"a process did not start:\n{logs}")


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    with (
        tempfile.TemporaryDirectory(prefix="ll-bench-") as name,
        RedisServer(durable=True) as durable,
        RedisServer(durable=False) as volatile,
    ):
        folder = Path(name)
        (folder / "flows.json").write_bytes(encode_snapshot(demo_snapshot()))
        made = Stage(folder, durable, volatile)
        try:
            yield made
        finally:
            made.stop_all()


@contextlib.asynccontextmanager
async def bridge(made: Stage, on_message: Callable[[BridgeMessage], None]) -> AsyncIterator[TurnLink]:
    """The bridge's own link to the queue."""
    link = TurnLink(made.volatile_url, BRIDGE, on_message, on_lost=_lost)
    running = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await link.close()


@contextlib.asynccontextmanager
async def gateway(made: Stage, on_reply: Callable[[SpeakReply], None]) -> AsyncIterator[redis.asyncio.Redis]:
    """The gateway's end: replies as it reads them, and a client for the audio that it publishes."""
    client = connect_async(made.volatile_url)
    running = asyncio.create_task(_read_replies(client, on_reply))
    try:
        yield client
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.aclose()


def turn(call_uuid: str, *, expect: str = "intent", times: Mapping[str, int] | None = None) -> TurnRequest:
    """``times``: other than a flow's usual ones."""
    given = {"listen_ms": 8000, "budget_ms": 4000, "remaining_ms": 12_000, **(times or {})}
    return TurnRequest(
        turn_id=f"{call_uuid}:1", call_uuid=call_uuid, turn=1, epoch=1, bridge_id=BRIDGE, gateway_id=GATEWAY,
        flow_slug="demo", flow_version=3, language="en", expect=expect, slots={}, history=(), **given,
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _lost(_kind: str) -> None:
    """The link goes on by itself; what it missed shows as turns that never came back."""


def cpu_s(*processes: subprocess.Popen[bytes]) -> float:
    """What they have used so far: no other program on the machine changes it much."""
    return float(sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process in processes))


async def _read_replies(client: redis.asyncio.Redis, on_reply: Callable[[SpeakReply], None]) -> None:
    stream, position = media_stream(GATEWAY), "0-0"
    while True:
        found = await client.xread({stream: position}, count=100, block=BLOCK_MS)
        for _stream, entries in cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", found):
            for entry_id, fields in entries:
                position = entry_id.decode()
                on_reply(decode_media_message(fields[FIELD]))
