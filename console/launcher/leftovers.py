"""Finds and kills what a part of the stack left running: grandchildren, whatever session or parent they have by now.

Every process of a stack inherits ``LIFELINE_RUN_STACK=<stack>/<part>`` in its environment; that mark is what is looked
for. It is read from the kernel, so a process that never calls anything of ours is found as well.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import psutil

MARK = "LIFELINE_RUN_STACK"
# A process that was just killed is gone within milliseconds unless it is in an uninterruptible read.
KILL_WAIT_S = 3.0


def stack_name(data_dir: Path) -> str:
    """The same for every run in one data folder, whose lock says that there is one run at a time."""
    return hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]


def find(mark: str) -> list[psutil.Process]:
    """Processes marked ``mark``, or below it (``stack`` finds ``stack/part`` too)."""
    found = []
    for process in psutil.process_iter():
        try:
            value = process.environ().get(MARK, "")
            if (value == mark or value.startswith(mark + "/")) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
    return found


def kill(mark: str, *, wait_s: float = KILL_WAIT_S) -> int:
    """SIGKILL to all of them, again until none is left (one may fork), for at most ``wait_s``. Returns how many."""
    deadline = time.monotonic() + wait_s
    killed: set[int] = set()
    while processes := find(mark):
        for process in processes:
            try:
                process.kill()
                killed.add(process.pid)
            except psutil.Error:
                continue
        if time.monotonic() > deadline:
            break
        # Not psutil.wait_procs: it would collect the exit code of the launcher's own children before asyncio does.
        time.sleep(0.02)
    return len(killed)
