"""Everything a run needs, started for real: the product, its servers behind proxies, and the switches with their callers.

Owns processes and what can be done to them by hand. When something is done is the schedule's, what came of it ``compare``'s.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from ai_engine.engines.config import local_engines
from ai_engine.local.faults import FILE_NAME as ENGINE_FAULT_FILE
from tests.chaos.clock import StepClock
from tests.chaos.proxy import Address, Proxy
from tests.esl_bridge.test_bridge import free_port
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer
from tests.stack import ROOT, Stack

ENGINE_PORTS = {"stt": "LIFELINE_ENGINE_STT_PORT", "http": "LIFELINE_ENGINE_HTTP_PORT"}
# Of the bridges, in an orderly restart: shorter than a call, so that some are left and have to be resumed.
DRAIN_S = 4
# The wanted number of callers is there after so long, or later: hardly more may come in a second than do afterwards, when
# each that leaves is followed by another. At each switch.
RAMP_S = 40.0
MOST_ARRIVALS_PER_S = 3.0
# A switch of ours runs all its calls in one thread, as FreeSWITCH does not: what moves there at once waits for each other.
SWITCHES_FOR_EACH_BRIDGE = 2
# The caller's own limit is 180 s.
LAST_CALL_S = 220.0
# A call whose end nobody saw is looked up 90 s after it was heard of, in rounds of ten: hundreds when every bridge was killed.
SETTLED_S = 400.0
POLL_S = 0.2
# Of lost calls, in what a run leaves to be looked at.
MOST_IN_FULL = 200


@dataclass(frozen=True, slots=True)
class Load:
    """Calls at the same time."""

    speaking: int
    keyed: int
    speaking_scenario: str = "balance,order_status,opening_hours,interrupts_by_voice:0.3,interrupts_by_key:0.3"
    keyed_scenario: str = "keys_errands:4,keys_enquiry:4,keys_opening_hours"


class World:
    """A context manager. With ``small`` there are no proxies and no PostgreSQL: what starts in a test's time.

    ``more``: settings on top.
    """

    def __init__(self, *, bridges: int = 3, small: bool = False, **more: str) -> None:
        self._more = more
        self.folder = Path(tempfile.mkdtemp(prefix="ll-chaos-"))
        self.bridges = ["bridge", *(f"bridge-{number}" for number in range(2, bridges + 1))]
        self._small = small
        self._exits = contextlib.ExitStack()
        self.proxies: dict[str, Proxy] = {}
        self.redis: dict[str, RedisServer] = {}
        self.postgres: PostgresServer | None = None
        self.clock: StepClock | None = None
        self.engine_proxies: tuple[str, ...] = () if small else tuple(ENGINE_PORTS)
        self._callers: list[subprocess.Popen[bytes]] = []
        self._logs: list[Path] = []
        self._records: list[Path] = []
        # Each bridge is the first that as many switches ask: so it has its share of the calls, and loses no more.
        self._keys_ports = [free_port() for _ in range(1 if small else SWITCHES_FOR_EACH_BRIDGE * len(self.bridges))]

    def __enter__(self) -> World:
        try:
            self._start()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _start(self) -> None:
        self._exits.callback(shutil.rmtree, self.folder, ignore_errors=True)
        settings = {
            "LIFELINE_RUN_BRIDGES": str(len(self.bridges)),
            "LIFELINE_RUN_WITHOUT": "simulator",
            "LIFELINE_RUN_WORKERS_MOST": "2",  # What is broken stays broken.
            "LIFELINE_SWITCHES": ",".join(f"keys-{n}=127.0.0.1:{port}" for n, port in enumerate(self._keys_ports, 1)),
            "LIFELINE_CIRCUIT_OPEN_S": "5",
            "LIFELINE_DRAIN_S": str(DRAIN_S),
            **self._more,
        }
        for name in ("redis-durable", "redis-volatile"):
            self.redis[name] = self._exits.enter_context(RedisServer(durable=name == "redis-durable"))
            socket = self.redis[name].socket
            if not self._small:
                socket = self.redis[name].folder / "proxy"
                self._proxy(name, self.redis[name].socket, socket)
            settings[f"LIFELINE_{name.upper().replace('-', '_')}_URL"] = f"unix://{socket}?db=0"
        durable = settings["LIFELINE_REDIS_DURABLE_URL"].removeprefix("unix://").removesuffix("?db=0")
        settings["LIFELINE_CELERY_BROKER_URL"] = f"redis+socket://{durable}?virtual_host=0"
        if not self._small:
            settings |= self._behind_proxies()
        self.stack = Stack(self.folder / "data", **settings)
        self._exits.enter_context(self.stack)

    def _behind_proxies(self) -> dict[str, str]:
        self.postgres = self._exits.enter_context(PostgresServer())
        name = ".s.PGSQL.5432"
        front = self.postgres.folder / "p"
        front.mkdir(mode=0o755)
        self._proxy("database", self.postgres.folder / name, front / name)
        for part, setting in ENGINE_PORTS.items():
            self._proxy(f"engine-{part}", setting)
        stt, http = (self.proxies[f"engine-{part}"].port for part in ENGINE_PORTS)
        self.clock = StepClock.make(self.folder)
        return {
            "DATABASE_URL": self.postgres.create("lifeline").replace(f"host={self.postgres.folder}", f"host={front}"),
            "LIFELINE_ENGINES": msgspec.json.encode(local_engines("127.0.0.1", stt, http)).decode(),
            **(self.clock.settings if self.clock is not None else {}),
        }

    def _proxy(self, name: str, server: Path | str, listen: Path | None = None) -> None:
        """``server`` is a socket, or the setting that holds the port in the running stack."""

        def upstream() -> Address:
            return server if isinstance(server, Path) else ("127.0.0.1", int(self.stack.state[server]))

        self.proxies[name] = self._exits.enter_context(Proxy(upstream, listen))

    # --- Callers ---

    def call(self, load: Load, duration_s: float, seed: int) -> None:
        """Calls begin for so long, at a rate that keeps as many going as are wanted; several switches, which ask the bridges
        in different order."""
        state = self.stack.state
        bridges = state["LIFELINE_BRIDGES"].split("|")
        speaking = (load.speaking, load.speaking_scenario, int(state["LIFELINE_SWITCH_PORT"]))
        keyed = [
            (share, load.keyed_scenario, port)
            for share, port in zip(_shared_out(load.keyed, len(self._keys_ports)), self._keys_ports, strict=True)
        ]
        for number, (at_once, scenario, port) in enumerate((speaking, *keyed)):
            if not at_once:
                continue
            turn = number % len(bridges)
            order = [*bridges[turn:], *bridges[:turn]]
            records = self.folder / f"records-{number}"
            records.touch()
            self._records.append(records)
            words = [
                "--rate", str(min(MOST_ARRIVALS_PER_S, at_once / RAMP_S)), "--at-once", str(at_once), "--duration", str(duration_s),
                "--seed", str(seed + number), "--scenario", scenario, "--port", str(port), "--bridge", "|".join(order),
                "--records", str(records),
            ]  # fmt: skip
            self._logs.append(self.folder / f"switch-{number}.log")
            with self._logs[-1].open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "manage.py", "run_simulator", *words], cwd=ROOT, env=self._beside(),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    # Of its own, as the product's processes are: Linux shares its time out among sessions.
                    start_new_session=True,
                )  # fmt: skip
            self._callers.append(process)
            self._exits.callback(_end, process)

    def _beside(self) -> dict[str, str]:
        """For what is no part of the product: its clock is not stepped."""
        stepped = {} if self.clock is None else self.clock.settings
        return {name: value for name, value in self.stack._environ().items() if name not in stepped}

    def records(self) -> list[dict[str, Any]]:
        """What the callers have said by now."""
        lines = [json.loads(line) for path in self._records for line in path.read_text().splitlines()]
        return [line for line in lines if "call_uuid" in line]

    def late_ms(self) -> dict[str, int]:
        """How late the callers' own processes were, the worst of them."""
        ends = [json.loads(path.read_text().splitlines()[-1]) for path in self._records]
        found = [end["late_ms"] for end in ends if "late_ms" in end]
        return {which: max(one[which] for one in found) for which in ("p50", "p99", "max")} if found else {}

    def wait_for_the_last_call(self) -> None:
        """AssertionError when a switch does not say that all its calls are over."""
        self.stack.until(self._callers_are_over, "the end of every call", LAST_CALL_S)

    def _callers_are_over(self) -> bool:
        for process, log in zip(self._callers, self._logs, strict=True):
            said = log.read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"a switch ended with {process.poll()}:\n{said}"
        return all('{"placed"' in path.read_text()[-200:] for path in self._records)

    def settled_figures(self) -> dict[str, Any]:
        """Once no call is live and no incident open, or after the limit as they are then."""
        deadline = time.monotonic() + SETTLED_S
        while True:
            figures = self.stack.figures()
            open_ones = figures["live_calls"] + figures["ai_failures_open"]
            if (not open_ones and not figures["recording_lag_s"]) or time.monotonic() > deadline:
                return figures
            time.sleep(1.0)

    def keep(self, folder: str, in_full: Iterable[str] = ()) -> None:
        """What the run leaves to be looked at, before it is taken away; every line that was told of calls that were lost, and of
        those ``in_full``."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for path in (*self._records, *self.folder.glob("switch-*.log")):
            shutil.copy(path, target)
        (target / "stack.log").write_text(self.stack.log)
        lost = [record["call_uuid"] for record in self.records() if record["outcome"] == "disconnected"]
        lost += in_full
        with contextlib.suppress(AssertionError):
            (target / "stored.json").write_text(json.dumps(self.stored(*lost[:MOST_IN_FULL]), indent=1))

    def stored(self, *in_full: str) -> dict[str, Any]:
        """The console's records, read by a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos.stored", *in_full], cwd=ROOT, env=self._beside(), capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return dict(json.loads(done.stdout))

    def process_ids(self) -> dict[str, int]:
        """Everything that runs for the product, the callers and this run, by name."""
        found = {one["name"]: one["pid"] for one in self.stack.statuses() if one["pid"]}
        servers: dict[str, RedisServer | PostgresServer] = dict(self.redis)
        if self.postgres is not None:
            servers["database"] = self.postgres
        for name, server in servers.items():
            with contextlib.suppress(AssertionError):
                found[name] = server.pid
        callers = {f"switch and callers {number}": process.pid for number, process in enumerate(self._callers)}
        return {**found, **callers, "launcher": self.stack.pid, "this run and its proxies": os.getpid()}

    # --- What is done by hand ---

    def signal(self, number: signal.Signals, *names: str) -> None:
        """To each of them that runs: one that is in its back-off has nothing to be frozen or woken."""
        pids = {one["name"]: one["pid"] for one in self.stack.statuses()}
        for name in names:
            if pids[name] is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pids[name], number)

    def hold(self, *names: str) -> None:
        """kill -9 of all of them in the same moment, and kept down until they are released."""
        self.signal(signal.SIGKILL, *names)
        self.stack.hold(*names)

    def restart(self, name: str) -> None:
        """Beside the run: an orderly end takes seconds."""
        threading.Thread(target=self.stack.restart, args=(name,), daemon=True).start()

    def break_engine(self, mode: str, *words: str) -> None:
        """The file that ``break_engine`` writes, without a process for it."""
        stage = words[1] if words else None
        path = self.stack.data_dir / ENGINE_FAULT_FILE
        half = path.with_suffix(".half")
        half.write_text(json.dumps({"mode": mode, "stage": stage, "until": None}))
        half.replace(path)

    def fill_disk(self) -> None:
        """No file of a bridge may grow, as on a disk without room; its sockets do not notice."""
        self._limit_files(0)

    def free_disk(self) -> None:
        self._limit_files(psutil.RLIM_INFINITY)

    def _limit_files(self, limit: int) -> None:
        for name in self.bridges:
            pid = self.stack.status(name)["pid"]
            if pid is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (limit, psutil.RLIM_INFINITY))

    def heal(self, names: Sequence[str]) -> None:
        """Whatever a fault left: every process up, and running."""
        self.signal(signal.SIGCONT, *names)
        self.stack.release(*names)
        self.break_engine("none")


def _shared_out(number: int, among: int) -> list[int]:
    return [number // among + (place < number % among) for place in range(among)]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

