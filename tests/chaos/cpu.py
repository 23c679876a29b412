"""Where a run's processor time goes, by process, and what is left: whose limit a size of run is.

Owns the counting. Times are read from the kernel every two seconds, so that what a killed process had used still counts.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Used:
    """``cores`` by name, of the machine's ``count``; ``others`` is what ran beside this run. All are averages."""

    cores: dict[str, float]
    others: float
    idle: float
    count: int
    lasted_s: float


class CpuMeter:
    """``roots`` answers each name's process ids, children not included; asked anew each time."""

    def __init__(self, roots: Callable[[], Mapping[str, int]]) -> None:
        self._roots = roots
        self._seconds: dict[str, float] = defaultdict(float)
        self._last: dict[tuple[int, float], float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> CpuMeter:
        self._began_s = time.monotonic()
        self._machine = psutil.cpu_times()
        self._look(first=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(EVERY_S * 10)

    def used(self) -> Used:
        lasted_s = time.monotonic() - self._began_s
        now = psutil.cpu_times()
        idle = (now.idle + now.iowait - self._machine.idle - self._machine.iowait) / lasted_s
        cores = {name: seconds / lasted_s for name, seconds in sorted(self._seconds.items(), key=lambda one: -one[1])}
        count = psutil.cpu_count() or 1
        return Used(cores, max(0.0, count - idle - sum(cores.values())), idle, count, lasted_s)

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            self._look()

    def _look(self, *, first: bool = False) -> None:
        names = {pid: name for name, pid in self._roots().items()}
        found = {process.pid: process.info for process in psutil.process_iter(["ppid", "create_time", "cpu_times"])}
        for pid, about in found.items():
            name = _nearest(pid, names, found)
            if name is None or about["cpu_times"] is None:
                continue
            key, seconds = (pid, about["create_time"]), about["cpu_times"].user + about["cpu_times"].system
            # One that began meanwhile counts from its beginning.
            self._seconds[name] += 0.0 if first else seconds - self._last.get(key, 0.0)
            self._last[key] = seconds


def _nearest(pid: int, names: Mapping[int, str], found: Mapping[int, Mapping[str, Any]]) -> str | None:
    """The name of the process or of the nearest it descends from."""
    while pid in found:
        if pid in names:
            return names[pid]
        pid = int(found[pid]["ppid"])
    return None
