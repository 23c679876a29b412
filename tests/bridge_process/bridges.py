"""Bridges as processes of their own, with nothing but what is on their disk, and a switch whose callers they serve.

Owns starting, freezing and killing them, the tap on what they send, and the reading of what they journalled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from esl_bridge.journal.events import Entry
from esl_bridge.journal.spool import Spool
from simulator.callers import Patience
from simulator.config import AgentsConfig, SwitchConfig
from simulator.records import CallRecord
from simulator.switch import Switch
from simulator.traffic import Traffic, TrafficConfig
from tests.free_ports import free_port
from tests.published import Flows

ROOT = Path(__file__).resolve().parents[2]
CHAIN = ROOT / "deploy/freeswitch/dialplan/lifeline.xml"
# A process on a busy machine of two cores takes seconds to start.
DEADLINE_S = 60.0
# Nobody listens there: Redis and the database of bridges that have neither.
NOWHERE = {
    "LIFELINE_REDIS_DURABLE_URL": "unix:///nonexistent/durable?db=0",
    "LIFELINE_REDIS_VOLATILE_URL": "redis://127.0.0.1:1/0",
    "DATABASE_URL": "postgres://nobody:nothing@127.0.0.1:1/none",
}


class BridgeProcess:
    """``manage.py run_bridge``, whose settings are its own and no state file's."""

    def __init__(self, name: str, folder: Path, flows: Flows, port: int | None = None, **more: str) -> None:
        self.name = name
        self.port = port or free_port()
        self._spools = folder / f"spool-{name}"
        self._log = folder / f"{name}.log"
        own = {
            "LIFELINE_DEMO": "true",
            "LIFELINE_DATA_DIR": str(folder / name),
            "LIFELINE_BRIDGE_ID": name,
            "LIFELINE_ESL_PORT": str(self.port),
            "LIFELINE_SPOOL_DIR": str(self._spools),
            "LIFELINE_FLOW_SNAPSHOT": str(flows.snapshot_path),
            "LIFELINE_PROMPT_DIR": str(flows.prompt_dir),
            "LIFELINE_MEDIA_SECRET": "s" * 32,
        }
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("LIFELINE_", "DJANGO_", "DATABASE_"))}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run_bridge"], cwd=ROOT, env={**clean, **NOWHERE, **own, **more},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    async def listening(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not await asyncio.to_thread(says_connect, self.port):
                assert self.process.poll() is None, self.log
                await asyncio.sleep(0.05)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def journalled(self) -> list[Entry]:
        """Nothing is taken from a spool while there is no Redis."""
        found: list[Entry] = []
        for folder in self._spools.iterdir() if self._spools.exists() else ():
            if folder.is_dir():
                spool = Spool(folder, os.open(os.devnull, os.O_RDONLY))
                try:
                    found += spool.read_after(0, 10_000)
                finally:
                    spool.close()
        return found


def says_connect(port: int, limit_s: float = 2.0) -> bool:
    """Whether a bridge speaks there at once, as it does to a switch."""
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), limit_s) as caller:
            caller.settimeout(limit_s)
            return caller.recv(100).startswith(b"connect")
    except OSError:
        return False


class Tap:
    """Between a switch and a bridge: passes everything on, and keeps what the bridge sends. ``at_first_word`` is called once,
    before that has reached the switch."""

    def __init__(self, bridge_port: int, at_first_word: Callable[[], None] | None = None) -> None:
        self.port = 0
        self.sent = b""
        self._at_first_word = at_first_word
        self._bridge_port = bridge_port
        self._carried: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Tap]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            server.close()
            for task in self._carried:
                task.cancel()
            await asyncio.gather(*self._carried, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carried.add(task)
        async with contextlib.AsyncExitStack() as closing:
            closing.callback(writer.close)
            try:
                from_bridge, to_bridge = await asyncio.open_connection("127.0.0.1", self._bridge_port)
            except OSError:
                return
            closing.callback(to_bridge.close)
            await asyncio.gather(self._pass(reader, to_bridge, keep=False), self._pass(from_bridge, writer, keep=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if keep:
                    self.sent += data
                    at_first_word, self._at_first_word = self._at_first_word, None
                    if at_first_word is not None:
                        at_first_word()
                writer.write(data)
                await writer.drain()
        writer.close()


class Calls:
    """Callers on a switch in this loop. ``lists``: the dialplan's two lists of bridges."""

    def __init__(self, flows: Flows, folder: Path, lists: Sequence[str], *, scenario: str, limit: int = 1) -> None:
        self.switch = Switch(
            SwitchConfig(
                dialplan=CHAIN, inbound_port=None, temp_dir=folder, bridges=lists[0], sound_dir=flows.prompt_dir,
                agents=AgentsConfig(ring_s=(0.1, 0.2), talk_s=(0.3, 0.4)),
                variables=(
                    ("lifeline_bridges_next", lists[-1]), ("lifeline_last_resort_dialplan", str(flows.last_resort)),
                ),
            )
        )  # fmt: skip
        wishes = TrafficConfig(
            rate=20, limit=limit, scenario=scenario, prompt_dir=flows.prompt_dir, flow_snapshot=flows.snapshot_path,
            patience=Patience(leave_s=0.3, think_s=(0.3, 0.3)), seed=1,
        )  # fmt: skip
        self._traffic = Traffic(self.switch, wishes)

    async def place(self) -> list[CallRecord]:
        """Until the last caller has gone."""
        await self.switch.start()
        try:
            await self._traffic.prepare()
            async with asyncio.timeout(120):
                totals = await self._traffic.run()
            return list(totals.records)
        finally:
            await self.switch.stop()
