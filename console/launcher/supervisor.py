"""Keeps one part of the stack running: starts it, notices its end, starts it again with back-off, holds it, stops it.

Owns that part's process and everything it left behind; which parts there are, and in which order they stop, is the
launcher's. honcho's own manager is not used, because it ends everything when one process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from console.launcher import leftovers
from console.launcher.output import LineReader, Output
from console.launcher.parts import Part, PartState, StartPhase

BACKOFF_S = (2, 4, 8, 16, 30)
# A part that ran this long was well; its next end starts the back-off anew.
WELL_AFTER_S = 60.0
# The last lines of a process that is gone are in its pipe already.
LAST_LINES_S = 0.5
CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True)
class PartStatus:
    name: str
    state: PartState
    pid: int | None
    up_s: float | None
    restarts: int
    last_exit: int | None
    phase: StartPhase
    grace_s: float


def command(part: Part) -> list[str]:
    """The part's, by way of ``child.py``, with a Python that reads neither site-packages nor the user's start-up files."""
    return [sys.executable, "-I", "-S", str(CHILD), str(os.getpid()), str(part.nice), *part.argv]


class Supervised:
    """``run()`` is one task for the whole life of the stack; the other methods may be called at any time beside it."""

    def __init__(self, part: Part, env: Mapping[str, str], stack: str, cwd: Path, output: Output) -> None:
        self.part = part
        self.mark = f"{stack}/{part.name}"
        self._env = {**env, **part.env, leftovers.MARK: self.mark}
        self._cwd = cwd
        self._output = output
        self._process: asyncio.subprocess.Process | None = None
        self._started_s = 0.0
        self._wake = asyncio.Event()  # ends a back-off or a hold
        self._held = self._stopping = self._start_at_once = False
        self._spare = part.spare
        self._starts = 0
        self._last_exit: int | None = None

    @property
    def running(self) -> bool:
        """Until it has ended: what it leaves is still swept up afterwards, and whoever asks meanwhile must not take it for up."""
        return self._process is not None and self._process.returncode is None

    def status(self) -> PartStatus:
        pid = up_s = None
        if self._process is not None and self.running:
            state, pid, up_s = PartState.RUNNING, self._process.pid, round(time.monotonic() - self._started_s, 1)
        elif self._held:
            state = PartState.HELD
        elif self._spare and not self._stopping:
            state = PartState.SPARE
        else:
            state = PartState.STOPPED if self._stopping else PartState.WAITING
        restarts = max(0, self._starts - 1)
        return PartStatus(self.part.name, state, pid, up_s, restarts, self._last_exit, self.part.phase, self.part.grace_s)

    async def is_ready(self) -> bool:
        """By the part's own sign; without one it is ready as soon as it runs."""
        if not self.running:
            return False
        return self.part.ready is None or await asyncio.to_thread(self.part.ready)

    async def run(self) -> None:
        """Returns once ``stop()`` was called. Cancelling it kills the process."""
        failures = 0
        while not self._stopping:
            if self._held:
                self._output.say(f"{self.part.name} is held down")
                await self._sleep(None)
                continue
            if self._spare:
                await self._sleep(None)
                continue
            exit_code = await self._run_once()
            if self._stopping or self._held or self._spare or self._start_at_once:
                self._start_at_once = False
                failures = 0
                continue
            failures = 1 if time.monotonic() - self._started_s >= WELL_AFTER_S else failures + 1
            delay_s = BACKOFF_S[min(failures, len(BACKOFF_S)) - 1]
            self._output.say(f"{self.part.name} stopped (exit {exit_code}), starting again in {delay_s} s")
            await self._sleep(delay_s)

    async def hold(self) -> None:
        """Kills it, as kill -9 would, and keeps it down until ``release()``. Returns when it is down."""
        self._held = True
        self._wake.set()
        if (process := self._process) is not None:
            _kill(process)
            await process.wait()
            await asyncio.to_thread(leftovers.kill, self.mark)

    def release(self) -> None:
        """Starts it again now, if it is held; otherwise does nothing."""
        if self._held:
            self._held = False
            self._start_at_once = self._process is not None  # it is dead, and what it left is being swept up
            self._wake.set()

    async def restart(self) -> None:
        """Stops it in good order and starts it again at once, without back-off; one that is held is released."""
        self._held = False
        if self._process is not None:
            self._start_at_once = True
            await self._end(self._process)
        self._wake.set()

    @property
    def is_held(self) -> bool:
        return self._held

    @property
    def is_spare(self) -> bool:
        return self._spare

    def call_in(self) -> None:
        """A spare one is needed now: it is started, unless it is held."""
        self._spare = False
        self._wake.set()

    async def send_home(self) -> None:
        """It is needed no more: stopped in good order, and spare again."""
        self._spare = True
        if self._process is not None:
            await self._end(self._process)

    async def stop(self) -> None:
        """SIGTERM, the part's grace, SIGKILL. It is not started again."""
        self._stopping = True
        self._wake.set()
        if self._process is not None:
            await self._end(self._process)

    def kill(self) -> None:
        """At once, and not started again: for the second Ctrl-C."""
        self._stopping = True
        self._wake.set()
        if self._process is not None:
            _kill(self._process)

    async def _sleep(self, delay_s: float | None) -> None:
        self._wake.clear()
        if self._stopping:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), delay_s)

    async def _run_once(self) -> int:
        self._started_s = time.monotonic()
        loop = asyncio.get_running_loop()
        read_fd, write_fd = os.pipe()
        # A pipe of our own: with asyncio's the wait below would last until every grandchild that holds it is gone.
        lines = LineReader(lambda line: self._output.line(self.part.name, line))
        transport, _ = await loop.connect_read_pipe(lambda: lines, os.fdopen(read_fd, "rb", 0))
        try:
            try:
                self._process = await self._start(write_fd)
            finally:
                # Not before: a start that is counted and not running has failed, for whoever asks meanwhile.
                self._starts += 1
            self._last_exit = await self._process.wait()
            await asyncio.to_thread(leftovers.kill, self.mark)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lines.ended.wait(), LAST_LINES_S)
        except OSError as error:  # no memory, no process numbers, no file descriptors: may pass
            self._output.say(f"{self.part.name} cannot be started: {error.strerror}")
            self._last_exit = -1
        finally:
            transport.close()
            if (process := self._process) is not None and process.returncode is None:  # cancelled
                _kill(process)
                leftovers.kill(self.mark)
            self._process = None
        return self._last_exit

    async def _start(self, write_fd: int) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command(self.part),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_fd,
                stderr=write_fd,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        finally:
            os.close(write_fd)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self.part.grace_s)
        except TimeoutError:
            self._output.say(f"{self.part.name} did not stop within {self.part.grace_s:g} s: killed")
            _kill(process)
            await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
