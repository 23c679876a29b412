"""Starts the whole stack, keeps it, and stops it in order, from the lock on the data folder to its release.

Owns the order of things. One process is the supervisor's, the terminal is ``output``'s, and which parts there are comes
from whoever builds the :class:`Stack` (``run_all``, or a test with parts of its own).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from console.environment import STATE_FILE
from console.launcher import leftovers
from console.launcher.data_folder import DataFolder
from console.launcher.errors import StartError
from console.launcher.output import Output
from console.launcher.parts import Part, StartPhase, StopOrder
from console.launcher.remote import RemoteServer
from console.launcher.scaling import LOOK_S, Limits, Load, Scale
from console.launcher.supervisor import Supervised, command

POLL_S = 0.1
# Redis loads its append-only file before it answers; a large one takes seconds.
DATA_READY_LIMIT_S = 30.0
# The first callers should meet a whole product; but one part that never gets ready is what the rest is built for.
SERVICES_READY_LIMIT_S = 60.0
STILL_WAITING_EVERY_S = 10.0
# make, a shell and a terminal may each pass on the same Ctrl-C; only a later one means "now".
SECOND_SIGNAL_AFTER_S = 1.0
# Every process is gone by then; what is left to do is a look for leftovers (3 s at most) and the last lines.
LAST_TASKS_S = 5.0
SOCKET_NAME = "launcher.sock"
SOURCE_DIR = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Stack:
    """``prepare`` runs to its end between the first two phases; ``state`` goes to the state file."""

    parts: Sequence[Part]
    env: Mapping[str, str]
    state: Mapping[str, str]
    cwd: Path
    ready_line: str
    prepare: Part | None = None
    scaling: Scaling | None = None


@dataclass(frozen=True, slots=True)
class Scaling:
    """The spare ones of ``parts`` are called in and sent home by the rule; ``look`` is asked in a thread."""

    parts: Sequence[str]
    limits: Limits
    look: Callable[[], Load | None]


class Launcher:
    """One run, within a running loop, in one data folder that its caller has opened and given a runtime folder."""

    def __init__(self, folder: DataFolder, stack: Stack, stream: TextIO) -> None:
        self._folder = folder
        self._runtime = folder.runtime or folder.make_runtime()
        self._stack = stack
        self._name = leftovers.stack_name(folder.path)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._first_signal_s: float | None = None
        self._loop = asyncio.get_running_loop()
        names = [part.name for part in stack.parts]
        self._output = Output(stream, names, gone=self._on_output_gone)
        self._supervised = {part.name: self._supervise(part) for part in stack.parts}
        self._tasks: list[asyncio.Task[None]] = []
        self._scaler: asyncio.Task[None] | None = None
        self._ready = False

    async def run(self) -> None:
        """Returns when a signal has stopped everything. Raises StartError when the start fails, with all of it gone."""
        if killed := await asyncio.to_thread(leftovers.kill, self._name):
            self._output.say(f"killed {killed} processes that an earlier run had left")
        keeper = self._start_keeper()
        remote = RemoteServer(self._runtime / SOCKET_NAME, self._supervised, lambda: self._ready, self._output.say)
        try:
            with self._signals():
                try:
                    async with remote:
                        await self._until_stopped()
                finally:
                    await self._stop_all()
        finally:
            keeper.communicate()  # closes its standard input, which is its signal
            self._output.close()

    def _supervise(self, part: Part) -> Supervised:
        return Supervised(part, self._stack.env, self._name, self._stack.cwd, self._output)

    def _start_keeper(self) -> subprocess.Popen[bytes]:
        arguments = [self._name, str(self._folder.path / STATE_FILE), str(self._runtime)]
        return subprocess.Popen(
            [sys.executable, "-m", "console.launcher.keeper", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=SOURCE_DIR,
            start_new_session=True,
        )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Listens for the signals that mean "stop". A SIGHUP that was ignored before (nohup) stays ignored."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in numbers:
                self._loop.remove_signal_handler(number)

    def _on_output_gone(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    def _on_signal(self) -> None:
        now_s = time.monotonic()
        if self._first_signal_s is None:
            self._first_signal_s = now_s
            self._stop.set()
        elif now_s - self._first_signal_s > SECOND_SIGNAL_AFTER_S:
            self._hurry.set()

    async def _until_stopped(self) -> None:
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    async def _start(self) -> None:
        waiting = await self._start_phase(StartPhase.DATA, DATA_READY_LIMIT_S)
        if waiting:
            raise StartError(f"{', '.join(waiting)} did not start; the lines above say why.")
        self._folder.write_state(self._stack.state)
        if self._stack.prepare is not None:
            await self._run_prepare(self._stack.prepare)
        waiting = await self._start_phase(StartPhase.SERVICES, SERVICES_READY_LIMIT_S)
        if waiting:
            self._output.say(f"callers come although {', '.join(waiting)} did not get ready")
        await self._start_phase(StartPhase.CALLERS, 0.0)
        await self._wait_ready(self._stack.parts, None)
        self._ready = True
        self._output.bare(self._stack.ready_line)
        if self._stack.scaling is not None:
            self._scaler = asyncio.create_task(self._scale(self._stack.scaling))
            self._scaler.add_done_callback(self._on_scaler_end)

    async def _start_phase(self, phase: StartPhase, limit_s: float) -> list[str]:
        parts = [part for part in self._stack.parts if part.phase is phase]
        self._run(parts)
        return await self._wait_ready(parts, limit_s)

    def _run(self, parts: Sequence[Part]) -> None:
        for part in parts:
            task = asyncio.create_task(self._supervised[part.name].run(), name=part.name)
            task.add_done_callback(self._on_supervisor_end)
            self._tasks.append(task)

    def _on_supervisor_end(self, task: asyncio.Task[None]) -> None:
        """A supervisor ends when it is told to; one that fails is our own error, and nobody would restart its part."""
        if not task.cancelled() and task.exception() is not None:
            self._output.say(f"the supervisor of {task.get_name()} failed ({task.exception()!r}): stopping")
            self._stop.set()

    async def _run_prepare(self, part: Part) -> None:
        """Once, to its end, under the same guard as the others."""
        process = await asyncio.create_subprocess_exec(
            *command(part),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**self._stack.env, **part.env, leftovers.MARK: f"{self._name}/{part.name}"},
            cwd=self._stack.cwd,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._output.line(part.name, line.rstrip(b"\n"))
            exit_code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        if exit_code != 0:
            raise StartError(f"{part.name} failed (exit {exit_code}); the lines above say why.")

    async def _wait_ready(self, parts: Sequence[Part], limit_s: float | None) -> list[str]:
        """Until all of them are ready, or the limit. Returns the names of those that are not."""
        began_s = said_s = time.monotonic()
        waiting = [part for part in parts if not self._supervised[part.name].is_spare]
        while waiting:
            answers = await asyncio.gather(*(self._supervised[part.name].is_ready() for part in waiting))
            waiting = [part for part, ready in zip(waiting, answers, strict=True) if not ready]
            now_s = time.monotonic()
            if not waiting or (limit_s is not None and now_s - began_s >= limit_s):
                break
            if now_s - said_s > STILL_WAITING_EVERY_S:
                said_s = now_s
                self._output.say(f"still waiting for {', '.join(part.name for part in waiting)}")
            await asyncio.sleep(POLL_S)
        return [part.name for part in waiting]

    def _on_scaler_end(self, task: asyncio.Task[None]) -> None:
        """Calls go on without it."""
        if not task.cancelled() and task.exception() is not None:
            self._output.say(f"workers are no longer called in or sent home ({task.exception()!r})")

    async def _scale(self, wanted: Scaling) -> None:
        scale = Scale(wanted.limits)
        parts = [self._supervised[name] for name in wanted.parts]
        while True:
            await asyncio.sleep(LOOK_S)
            load = await asyncio.to_thread(wanted.look)
            needed = [part for part in parts if not part.is_spare]
            step = scale.step(load, sum(1 for part in needed if not part.is_held), time.monotonic())
            spare = [part for part in parts if part.is_spare and not part.is_held]
            may_go = [part for part in needed if part.part.spare]
            if step > 0 and spare and load is not None:
                why = f"{load.waiting} turns wait, {load.turns} of {load.places} places are taken"
                self._output.say(f"{spare[0].part.name} is called in: {why}")
                spare[0].call_in()
                await self._wait_ready([spare[0].part], SERVICES_READY_LIMIT_S)
            elif step < 0 and may_go:
                self._output.say(f"{may_go[-1].part.name} is not needed any more")
                await may_go[-1].send_home()

    async def _stop_all(self) -> None:
        """Simulator first, Redis last; within one number all at once. A second signal kills what is left."""
        self._output.say("stopping")
        if self._scaler is not None:
            self._scaler.cancel()
        hurry = asyncio.create_task(self._kill_on_hurry())
        for order in StopOrder:
            stopping = [s.stop() for s in self._supervised.values() if s.part.stop_order is order]
            await asyncio.gather(*stopping)
        if self._tasks:  # each ends by itself now; the limit is for one that does not
            await asyncio.wait(self._tasks, timeout=LAST_TASKS_S)
        hurry.cancel()
        await asyncio.gather(hurry, return_exceptions=True)
        await asyncio.to_thread(leftovers.kill, self._name)
        self._output.say("stopped")

    async def _kill_on_hurry(self) -> None:
        await self._hurry.wait()
        for supervised in self._supervised.values():
            supervised.kill()
