"""How the local engine is told to misbehave: one small file in the data folder, written whole, read ten times a second.

Owns the file and what it means. A file needs no port: it can be written while the engine is down, outlives a restart,
and its time limit ends a fault even when whoever set it is gone. Only demonstration mode reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from enum import StrEnum
from pathlib import Path

import msgspec

from ai_engine.engines.config import Stage
from callflows.definition.errors import UNREADABLE

FILE_NAME = "engine_fault.json"
# Short beside the shortest limit that a client has (1.2 s for a first byte), so that a fault is felt at once.
POLL_S = 0.1
# Longer than a whole turn's budget for one engine: a delayed answer must be too late.
DELAY_S = 3.0


class Mode(StrEnum):
    NONE = "none"
    REFUSE = "refuse"
    DELAY = "delay"
    HANG = "hang"
    GARBAGE = "garbage"
    ERROR = "error"
    SILENT = "silent"


class Fault(msgspec.Struct, frozen=True):
    """``stage`` None means all; ``until`` is seconds since the epoch, None means until it is mended."""

    mode: Mode = Mode.NONE
    stage: Stage | None = None
    until: float | None = None

    def over(self, now: float) -> bool:
        return self.until is not None and now >= self.until

    def mode_for(self, stage: Stage) -> Mode:
        return self.mode if self.stage in (None, stage) else Mode.NONE


NO_FAULT = Fault()


def set_fault(mode: Mode | str, stage: Stage | str | None = None, seconds: float | None = None, *, folder: Path) -> Fault:
    """Replace the fault; mode ``none`` mends. Raises ValueError for an unknown mode or stage, or seconds below 0."""
    if seconds is not None and seconds <= 0:
        raise ValueError(f"seconds is {seconds:g}, use more than 0")
    until = None if seconds is None else time.time() + seconds
    fault = Fault(Mode(mode), None if stage is None else Stage(stage), until)
    folder.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=folder, prefix=f".{FILE_NAME}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(fault))
        Path(partial).replace(folder / FILE_NAME)
    except OSError:
        Path(partial).unlink(missing_ok=True)
        raise
    return fault


def current_fault(folder: Path) -> Fault:
    """No file, an unreadable one and a fault whose time is over are all no fault."""
    try:
        fault = msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=Fault)
    except (OSError, *UNREADABLE):
        return NO_FAULT
    return NO_FAULT if fault.over(time.time()) else fault


class FaultWatch:
    """The fault in force, as the servers ask for it. ``changed`` wakes whoever waits for another one."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder (outside demonstration mode) there is never a fault."""
        self._folder = folder
        self._waiting: set[asyncio.Event] = set()
        self.fault = NO_FAULT if folder is None else current_fault(folder)

    def mode_for(self, stage: Stage) -> Mode:
        return self.fault.mode_for(stage)

    async def run(self) -> None:
        """Until cancelled."""
        if self._folder is None:
            await asyncio.Event().wait()
            return
        while True:
            # One small read from the page cache, below a tenth of a millisecond: no thread is worth it.
            fault = current_fault(self._folder)
            if fault != self.fault:
                self.fault = fault
                for event in self._waiting:
                    event.set()
            await asyncio.sleep(POLL_S)

    async def changed(self, timeout_s: float | None = None) -> bool:
        """Wait for the next change; False when it did not come in time."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await event.wait()
            return event.is_set()
        finally:
            self._waiting.discard(event)
