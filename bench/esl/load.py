"""One real bridge on one core, real Redis, thousands of calls: what it costs and how long a command takes.

Owns the processes of this part and the windows in which they are measured. Bridge on one core; the load, both Redis
servers and this program on the other. The AI is held off by an operator, the hour for which the bridge is built: every
caller is in the keypad menu.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
import psutil

from bench.esl.bridge_process import read_lags
from bench.esl.percentile import percentile
from callflows.definition.flow import FlowVersion, Snapshot, encode_snapshot
from tests.esl_bridge.calls.flow import demonstration
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
LEVELS = (100, 300, 1_000, 3_000, 10_000)
RAMP_PER_S = 300.0
IDLE_S, WARM_S, ACTIVE_S = 4.0, 3.0, 10.0
EVERY_S = 10.0
SETUP_RATES = (150.0, 300.0, 450.0, 600.0, 750.0, 900.0)
SETUP_S, HOLD_S = 6.0, 3.0
SETUP_LIMIT_MS = 100.0
START_LIMIT_S = 30.0
POLL_S = 0.05
RATE_HZ = 8000
# A prompt is over when the generator says so.
LONG_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Level:
    calls: int
    setup_p99_ms: float
    kb_per_call: float
    idle_cpu: float
    active_cpu: float
    to_command_p50_ms: float
    to_command_p99_ms: float
    lag_p99_ms: float
    commands: int
    lost: int
    load_cpu: float
    load_lag_p99_ms: float
    foreign_cpu: float
    """What else ran on the bridge's core meanwhile, interrupts included: none of it is ours, all of it delays us."""

    @property
    def cpu_per_1000(self) -> float:
        return self.active_cpu / self.calls * 1000


class Load:
    """The generator's process."""

    def __init__(self, port: int, core: int) -> None:
        command = [sys.executable, "-m", "bench.esl.generator", str(port), str(core)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def do(self, what: str, **arguments: float) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, float] = json.loads(self._process.stdout.readline())
        return answer


class BridgeProcess:
    def __init__(self, folder: Path, core: int, durable: str, volatile: str) -> None:
        self.port = free_port()
        self.core = core
        self._lags = folder / f"lags-{self.port}"
        self._lags.touch()
        self._log = (folder / f"bridge-{self.port}.log").open("wb")
        environment = {**os.environ, **bridge_environment(folder, durable, volatile), "LIFELINE_ESL_PORT": str(self.port)}
        hold_ai_off(environment)
        command = [sys.executable, "-m", "bench.esl.bridge_process", str(core), str(self._lags)]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log)
        self._seen = psutil.Process(self._process.pid)

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the bridge did not start: {Path(self._log.name).read_text(encoding='utf-8')[-2000:]}")
            time.sleep(POLL_S)

    def __exit__(self, *_exc: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def cpu_s(self) -> float:
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def memory_kb(self) -> float:
        return float(self._seen.memory_full_info().pss) / 1024

    def lag_p99_ms(self, since: float, until: float) -> float:
        deadline = time.monotonic() + START_LIMIT_S
        while not read_lags(self._lags, until, math.inf):  # written by fifties: these hundredths of a second are not yet
            if time.monotonic() > deadline:
                raise RuntimeError("the bridge notes no lags any more")
            time.sleep(POLL_S)
        return percentile(read_lags(self._lags, since, until), 99) * 1000


def busy_s(core: int) -> float:
    times = psutil.cpu_times(percpu=True)[core]
    return float(sum(times) - times.idle - times.iowait)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def long_flow() -> FlowVersion:
    """The tests' demonstration flow, its prompts so long that only the generator ends them; it takes every number."""
    decoded = msgspec.json.decode(msgspec.json.encode(demonstration()))

    def lengthened(value: object) -> object:
        if isinstance(value, dict):
            changed = {key: lengthened(one) for key, one in value.items()}
            return {**changed, "duration_ms": LONG_MS} if "duration_ms" in changed else changed
        return [lengthened(one) for one in value] if isinstance(value, list) else value

    return msgspec.convert({**lengthened(decoded), "destination_number": "*"}, FlowVersion)  # type: ignore[dict-item]


def bridge_environment(folder: Path, durable: str, volatile: str) -> dict[str, str]:
    flow = long_flow()
    prompts = folder / "prompts"
    prompts.mkdir(exist_ok=True)
    for name in flow.files():
        with wave.open(str(prompts / name), "wb") as file:
            file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            file.writeframes(bytes(RATE_HZ))  # half a second of silence
    (folder / "flows.json").write_bytes(encode_snapshot(Snapshot((flow,))))
    return {
        "DJANGO_SETTINGS_MODULE": "console.settings", "LIFELINE_DEMO": "1", "LIFELINE_DATA_DIR": str(folder),
        "LIFELINE_REDIS_DURABLE_URL": durable, "LIFELINE_REDIS_VOLATILE_URL": volatile, "LIFELINE_PROMPT_DIR": str(prompts),
        "LIFELINE_MAX_CALLS": "100000", "PYTHONPATH": str(ROOT),
    }  # fmt: skip


def hold_ai_off(environment: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "circuit", "open", "nlu", "--why", "bench"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


@contextlib.contextmanager
def stage(cores: tuple[int, int]) -> Iterator[tuple[BridgeProcess, Load]]:
    """A fresh bridge, its Redis servers and the generator."""
    os.sched_setaffinity(0, {cores[0]})  # inherited by the Redis servers
    with (
        tempfile.TemporaryDirectory(prefix="ll-bench-") as name,
        RedisServer(durable=True) as durable,
        RedisServer(durable=False) as volatile,
        BridgeProcess(Path(name), cores[1], durable.url, volatile.url) as bridge,
        Load(bridge.port, cores[0]) as load,
    ):
        yield bridge, load


def measure_level(bridge: BridgeProcess, load: Load, calls: int, empty_kb: float, active_s: float = ACTIVE_S) -> Level:
    ramped = load.do("ramp", to=calls, rate=RAMP_PER_S)
    before = bridge.cpu_s()
    load.do("idle", seconds=IDLE_S)
    idle_cpu = (bridge.cpu_s() - before) / IDLE_S
    kb_per_call = (bridge.memory_kb() - empty_kb) / calls
    load.do("active", seconds=WARM_S, every_s=EVERY_S)
    before, since, busy_before = bridge.cpu_s(), time.monotonic(), busy_s(bridge.core)
    seen = load.do("active", seconds=active_s, every_s=EVERY_S)
    active_cpu, until = (bridge.cpu_s() - before) / active_s, time.monotonic()
    foreign_cpu = max(0.0, (busy_s(bridge.core) - busy_before) / (until - since) - active_cpu)
    return Level(
        calls=int(seen["calls"]), setup_p99_ms=ramped["setup_p99_ms"], kb_per_call=kb_per_call, idle_cpu=idle_cpu,
        active_cpu=active_cpu, to_command_p50_ms=seen["to_command_p50_ms"], to_command_p99_ms=seen["to_command_p99_ms"],
        lag_p99_ms=bridge.lag_p99_ms(since, until), commands=int(seen["commands"]), lost=int(seen["lost"]),
        load_cpu=seen["own_cpu"], load_lag_p99_ms=seen["own_lag_p99_ms"],
        foreign_cpu=foreign_cpu,
    )  # fmt: skip


def growth(cores: tuple[int, int], levels: tuple[int, ...] = LEVELS, active_s: float = ACTIVE_S) -> list[Level]:
    with stage(cores) as (bridge, load):
        load.do("ramp", to=20, rate=50.0)  # what the first calls load once is not theirs
        empty_kb = bridge.memory_kb()
        return [measure_level(bridge, load, calls, empty_kb, active_s) for calls in levels]


def setups_per_s(cores: tuple[int, int], rates: tuple[float, ...] = SETUP_RATES, seconds: float = SETUP_S) -> dict[float, float]:
    """P99 of the way from dialling to the first prompt, in ms, by rate, up to the first rate that is too much."""
    found: dict[float, float] = {}
    for rate in rates:
        with stage(cores) as (_, load):
            seen = load.do("setups", rate=rate, seconds=seconds, hold_s=HOLD_S)
        whole = seen["set_up"] == seen["began"]
        found[rate] = round(seen["setup_p99_ms"], 1) if whole else float("inf")
        if found[rate] >= SETUP_LIMIT_MS:
            break
    return found


